"""What ``forget`` takes out, whichever warehouse it is."""

import re
from dataclasses import dataclass

import polars as pl

from kly_mage.landing.left_out import FILE_LINE
from kly_mage.rows.persons import Forgotten

INSTEAD = r'\1(forgotten)\2'
"""What takes the place of a match of ``named``."""


@dataclass(frozen=True)
class Removed:
    """What went of a person: rows of bronze, and rejects."""

    source: str
    rows: int
    rejects: int


def named(person: str) -> str:
    """The regular expression of an id as a word of its own, with what stands around it as its first and second group."""
    return f'(^|[^0-9A-Za-z._-]){re.escape(person)}($|[^0-9A-Za-z._-])'


def without(person: str, text: str) -> str:
    """What was said, of nobody."""
    return re.sub(named(person), INSTEAD, text)


def part(forgotten: Forgotten, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of others, and those of the forgotten. What stands for a whole file is nobody's, and names none of them.

    Args:
        frame: with ``_line`` and ``_reject``, as readers give it.
    """
    is_file = frame['_line'] == FILE_LINE
    if not is_file.any():
        return forgotten.part(frame)
    others, theirs = forgotten.part(frame.filter(~is_file))
    return pl.concat([others, unnamed(forgotten, frame.filter(is_file))]), theirs


def unnamed(forgotten: Forgotten, frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, in whose ``_reject`` none of the forgotten is named: why a file is left out may quote a row of it."""
    texts = frame['_reject']
    for person in forgotten.spoken_of(texts):
        texts = pl.Series('_reject', [text and without(person, text) for text in texts], texts.dtype)
    return frame.with_columns(texts)
