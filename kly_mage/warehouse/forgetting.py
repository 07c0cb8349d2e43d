"""What ``forget`` takes out, whichever warehouse it is."""

import re
from dataclasses import dataclass

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
