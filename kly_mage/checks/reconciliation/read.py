"""The files of one source, read afresh for a reconciliation: typed and hashed as a load does it, slice by slice."""

from collections.abc import Iterator
from datetime import date
from functools import cache

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import cut, readers
from kly_mage.landing import files as landing
from kly_mage.landing.files import LandingFile
from kly_mage.loads import found
from kly_mage.rows import rowhash
from kly_mage.warehouse.account import Account
from kly_mage.warehouse.choice import warehouse


def find_files(settings: Settings, source: Source) -> list[LandingFile]:
    """All files of a source; none where the landing zone cannot be used, which ``Reading`` tells."""
    try:
        return found.find_files(settings, source)
    except LandingError:
        return []


class Reading:
    """The rows of a source's files; what cannot be read is noted, never raised.

    Attributes:
        files: what is read, in the order of delivery; a row's ``_number`` is its file's place here.
        unreadable: why files, or the landing zone, cannot be read, a sentence each, with the days they may hold or None.
        left_out: numbers of the files that cannot be read to their end; frames of them may have come before that was seen.
    """

    def __init__(self, settings: Settings, source: Source, window: Window | None) -> None:
        self.settings, self.source, self.window = settings, source, window
        self._taken = cache(lambda: warehouse(settings).taken(source.name))
        self.unreadable: list[tuple[str, Window | None]] = []
        self.left_out: list[int] = []
        self.files: list[LandingFile] = []
        try:
            self.files = found.find_files(settings, source)
        except LandingError as error:
            self.unreadable.append((str(error), None))
        if window and not source.any_day:
            self.files = landing.files_for(self.files, window, settings.late_days)

    def frames(self, account: Account) -> Iterator[pl.DataFrame]:
        """Hashed rows of the days asked for, each frame of one file, with ``_number``, ``_outside`` and ``_superseded``.

        ``_outside`` marks rows that no load takes from their file, because it is of another day; ``_superseded`` those in
        whose place a newer delivery stands that has been loaded.
        """
        for number, file in enumerate(self.files):
            if file.is_table:  # the account looks at it where it stands
                continue
            frames = readers.read(
                self.source, [file], None, timezone=self.settings.timezone, late_days=self.settings.late_days
            )
            try:
                for frame in frames:
                    rows = self._within(cut.take(frame, self._taken), file, account.days_of_newer(file.name))
                    if rows.height:
                        rows = rows.with_columns(pl.lit(number, pl.Int32).alias('_number'))
                        yield rowhash.add_hashrow(rows, self.source)
            except LandingError as error:
                self.unreadable.append((str(error), file.days(self.settings.late_days)))
                self.left_out.append(number)

    def _within(self, frame: pl.DataFrame, file: LandingFile, older: list[date]) -> pl.DataFrame:
        day, own = pl.col('_partition_date'), file.days(self.settings.late_days)
        outside = pl.lit(False)
        if own and not self.source.any_day:
            outside = ~day.is_between(own.start, own.end).fill_null(True)
        frame = frame.with_columns(outside.alias('_outside'), (day.is_in(older) & ~outside).alias('_superseded'))
        if self.window is None:
            return frame
        # A row without a readable day goes with its file, and with any day if the file has none.
        told = pl.coalesce(day, pl.lit(None if self.source.any_day else file.day, pl.Date))
        return frame.filter(told.is_between(self.window.start, self.window.end).fill_null(True))
