"""What the ledger tells of loads, whichever warehouse keeps it: the places of rows, rejects, days that never came."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import days_held_before
from kly_mage.landing.files import LandingFile, day_in_name

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


class Read(Protocol):
    """What a warehouse's ledger tells of the files of a source that loads have read."""

    def names(self) -> Collection[str]:
        """Their names, as far as they were not taken out since."""

    def loaded_as_own(self, days: Mapping[str, date]) -> set[date]:
        """Of the days in the names of files those for which a load that was asked for the day has read the file."""

    def days_with_rows(self, days: Collection[date]) -> set[date]:
        """Of these days those of which a load has seen a row."""


def missing_days(source: Source, files: Collection[LandingFile], window: Window, read: Read) -> list[date]:
    """The days of ``window`` without a file of their own, now or when they were loaded.

    A few late rows in the file of another day are no delivery, nor has a load of the days before, which looks into a file
    for late rows, taken any of the file's own day. Rows of an undated file are a delivery: where there are such files, a day
    of which a load has seen a row is not missing.

    Args:
        files: all files of the source, as ``landing.find_files`` gives them.
    """
    absent = days_without_file(source, files, window)
    if not absent:
        return []
    named = {name: day_in_name(source, name) for name in read.names()}
    own = {name: day for name, day in named.items() if day in absent}
    seen = days_held_before(source, named) | (set(own.values()) if source.any_day or not own else read.loaded_as_own(own))
    if None in named.values() or any(file.day is None for file in files):
        seen |= read.days_with_rows(absent)
    return [day for day in absent if day not in seen]


def _short(value: str | None) -> str:
    """A value as part of a message: on one line, and not a megabyte of it."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:50]}… ({len(value or "")} characters)'
