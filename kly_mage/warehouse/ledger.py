"""What the ledger tells of loads, whichever warehouse keeps it: the places of rows, rejects, days that never came."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import days_held_before
from kly_mage.landing.files import LandingFile

PARTS = ('new', 'already_loaded', 'unchanged', 'duplicate', 'rejected', 'conflicting', 'restated', 'superseded', 'forgotten')
CORRECTED = ('replaced', 'withdrawn', 'returned')  # rows of bronze whose counting a newer delivery has changed


def word(part: str) -> str:
    """A part of a load as people read it."""
    return 'already loaded (file unchanged)' if part == 'unchanged' else part.replace('_', ' ')


@dataclass(frozen=True)
class Reject:
    """One row that cannot be used."""

    file: str
    line: int
    column: str | None
    value: str | None
    reason: str

    def __str__(self) -> str:
        where = f'{self.file}, line {self.line}'
        if self.column is None:
            return f'{where}: {self.reason}'
        value = f' {_short(self.value)}' if self.value else ''
        verb = '' if self.reason.startswith(('is ', 'holds ')) else 'is '
        return f'{where}: {self.column}{value} {verb}{self.reason}'


def days_without_file(source: Source, files: Iterable[LandingFile], window: Window) -> list[date]:
    """The days of ``window`` without a file of that date, or of a later one that holds them whole.

    Nobody publishes every day: a source that is loaded whole (``any_day``) from an undated file misses no day.
    """
    found = list(files)
    dated = {file.day for file in found} | days_held_before(source, (file.name for file in found))
    return [] if source.any_day and None in dated else [day for day in window if day not in dated]


def _short(value: str | None) -> str:
    """A value as part of a message: on one line, and not a megabyte of it."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:50]}… ({len(value or "")} characters)'
