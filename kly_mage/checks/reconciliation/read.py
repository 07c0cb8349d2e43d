"""The files of one source, read afresh for a reconciliation: typed and hashed as a load does it, slice by slice."""

from collections.abc import Iterator
from datetime import date
from functools import cache
from itertools import groupby

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import cut, readers, together
from kly_mage.landing import files as landing
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import SMALL_BYTES
from kly_mage.loads import found
from kly_mage.rows import rowhash
from kly_mage.warehouse.account import Account
from kly_mage.warehouse.choice import warehouse

_PLACES = {'_file': pl.String, '_number': pl.Int32, '_file_day': pl.Date, '_first': pl.Date, '_last': pl.Date}
_OLDER = {'_file': pl.String, '_partition_date': pl.Date, '_superseded': pl.Boolean}


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
        self._numbers = {file.name: number for number, file in enumerate(self.files)}

    def frames(self, account: Account) -> Iterator[pl.DataFrame]:
        """Hashed rows of the days asked for, with ``_number`` and ``_file_day``, ``_outside`` and ``_superseded``.

        ``_outside`` marks rows that no load takes from their file, because it is of another day; ``_superseded`` those in
        whose place a newer delivery stands that has been loaded. Small files are read together, as loads do.
        """
        for some, frame in self._typed():
            for each in self._of_file(some[0]) if frame is None else [frame]:
                rows = self._within(cut.take(each, self._taken), some, account)
                if rows.height:
                    yield rowhash.add_hashrow(rows, self.source)

    def _typed(self) -> Iterator[tuple[list[LandingFile], pl.DataFrame | None]]:
        """Files in their order, small ones with all their rows, typed; without them, where one is read by itself."""
        files = (file for file in self.files if not file.is_table)  # a table the account looks at where it stands
        for is_small, these in groupby(files, key=lambda file: file.size < SMALL_BYTES):
            if is_small:
                yield from together.typed(self.source, these, self.settings.timezone)
            else:
                yield from (([file], None) for file in these)

    def _of_file(self, file: LandingFile) -> Iterator[pl.DataFrame]:
        late_days = self.settings.late_days
        try:
            yield from readers.read(self.source, [file], None, timezone=self.settings.timezone, late_days=late_days)
        except LandingError as error:
            self.unreadable.append((str(error), file.days(late_days)))
            self.left_out.append(self._numbers[file.name])

    def _within(self, frame: pl.DataFrame, files: list[LandingFile], account: Account) -> pl.DataFrame:
        places = [(file.name, self._numbers[file.name], file.day, *self._bounds(file)) for file in files]
        frame = frame.join(pl.DataFrame(places, schema=_PLACES, orient='row'), on='_file', how='left', maintain_order='left')
        older = [(file.name, each, True) for file in files for each in account.days_of_newer(file.name)]
        by_newer = pl.DataFrame(older, schema=_OLDER, orient='row')
        frame = frame.join(by_newer, on=['_file', '_partition_date'], how='left', maintain_order='left')
        day = pl.col('_partition_date')
        outside = ~day.is_between('_first', '_last').fill_null(True)
        frame = frame.with_columns(outside.alias('_outside'), pl.col('_superseded').fill_null(False) & ~outside)
        frame = frame.drop('_first', '_last')
        if self.window is None:
            return frame
        # A row without a readable day goes with its file, and with any day if the file has none.
        told = day if self.source.any_day else pl.coalesce(day, '_file_day')
        return frame.filter(told.is_between(self.window.start, self.window.end).fill_null(True))

    def _bounds(self, file: LandingFile) -> tuple[date | None, date | None]:
        """The days of which a load takes rows from a file; of any day without."""
        own = None if self.source.any_day else file.days(self.settings.late_days)
        return (own.start, own.end) if own else (None, None)
