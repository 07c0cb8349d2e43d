"""What one load hears of its files (``landing/unchanged.py``): which of them were read, and which are as they were."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import polars as pl

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import unchanged
from kly_mage.landing.files import day_in_name


class Announced:
    """The files that are announced to a load of some days."""

    def __init__(self, source: Source, window: Window) -> None:
        self.source, self.window = source, window
        self.told: dict[str, dict[str, Any]] = {}  # what is announced, by the file's name

    def begin(self, frame: pl.DataFrame, states: dict[str, datetime]) -> pl.DataFrame:
        """Take note of the files that are announced; gives the other rows.

        Args:
            states: gets when each of these files had been changed last.
        """
        if '_file' not in frame.columns or not frame.height:  # a block of a user may have dropped it
            return frame
        is_announcement = frame.select(unchanged.is_announcement()).to_series()
        if not is_announcement.any():
            return frame
        rows = frame.filter(is_announcement)
        for file, reject, modified_at in rows.select('_file', '_reject', '_modified_at').iter_rows():
            self.told[file] = unchanged.told(reject)
            states[file] = modified_at
        return frame.filter(~is_announcement)

    @property
    def skipped(self) -> dict[str, list[str]]:
        """The files of which something was not read, and of which days; none if it was not read at all."""
        return {
            name: told['loaded'] if told['is_read'] else []
            for name, told in self.told.items()
            if not told['is_read'] or told['loaded']
        }

    def is_skipped(self, file: str, day: date | None = None) -> bool:
        """Whether the rows of a file, or those of one of its days, were not read because they had been loaded."""
        told = self.told.get(file)
        return told is not None and (not told['is_read'] or (day is not None and day.isoformat() in told['loaded']))

    def own_day(self, file: str) -> date | None:
        """The day in its name."""
        return day_in_name(self.source, file)

    def days_read(self, file: str) -> tuple[list[str], list[str]]:
        """Of a file that was read: the days that are to be kept of it, and those among them that the load has taken."""
        told, own = self.told[file], self.own_day(file)
        seen = sorted({*told['days'], own.isoformat()} if own and not self.source.any_day else told['days'])
        taken = [day for day in seen if self.source.any_day or date.fromisoformat(day) in self.window]
        return seen, [day for day in taken if day not in told['loaded']]


def days_of(texts: Iterable[str]) -> frozenset[date]:
    """Days as a load has kept them, without the empty text, which stands for rows without one."""
    return frozenset(date.fromisoformat(text) for text in texts if text)
