"""Rows that wait for somebody: rejects, and further versions of a row."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Waiting:
    """A row in ``bronze.rejects`` that nobody has resolved; its line is ``FILE_LINE`` if it is about a whole file."""

    source: str
    reject_id: str
    file: str
    line: int
    column: str | None
    value: str | None
    reason: str
    day: date | None


@dataclass(frozen=True)
class Cause:
    """What is wrong in the same way with some of the rows that wait."""

    file: str
    column: str | None
    reason: str
    rows: int


@dataclass(frozen=True)
class Conflict:
    """A further version of a row, about which nobody has decided.

    Attributes:
        source: whose.
        file: where it stands.
        line: where it begins.
        key: the values the versions share, as text.
        differences: by column, what it says and what counts, as text.
    """

    source: str
    file: str
    line: int
    key: str
    differences: dict[str, tuple[str | None, str | None]]
