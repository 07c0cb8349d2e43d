"""What ``forget`` takes out, whichever warehouse it is."""

import json
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
    is_file = (frame['_line'] == FILE_LINE).fill_null(value=False)
    if not is_file.any():
        return forgotten.part(frame)
    others, theirs = forgotten.part(frame.filter(~is_file))
    return pl.concat([others, unnamed(forgotten, frame.filter(is_file))]), theirs


def unnamed(forgotten: Forgotten, frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, in whose reasons none of the forgotten is named: why a file is left out may quote a row of it."""
    told = [json.loads(text) for text in frame['_reject']]
    persons = forgotten.spoken_of(pl.Series([each['reason'] for each in told], dtype=pl.String))
    if not persons:
        return frame
    for person in persons:
        for each in told:
            each['reason'] = without(person, each['reason'])
    return frame.with_columns(pl.Series('_reject', map(json.dumps, told), pl.String))
