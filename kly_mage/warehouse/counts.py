"""What became of the rows of a load, in all and by day."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from kly_mage.declared.base import Source
from kly_mage.rows import rowhash

DAY_COUNTS = (
    *('rows_duplicate', 'rows_new', 'rows_already_loaded', 'rows_rejected', 'rows_conflicting'),
    *('rows_superseded', 'rows_forgotten', 'rows_unchanged', 'rows_restated'),
)


@dataclass
class Counts:
    """What a load did with the rows it read.

    ``rows_read`` is the sum of ``rows_duplicate``, ``rows_new``, ``rows_already_loaded``, ``rows_rejected``,
    ``rows_conflicting``, ``rows_restated``, ``rows_superseded``, ``rows_outside``, ``rows_forgotten`` and
    ``rows_unchanged``; the distinct rows are the new, the already loaded, the conflicting, the restated ones, and the
    unchanged: those of files that were not read, because earlier loads had taken them. ``money_read`` is the sum over the
    usable rows that were taken, None for a source without money. ``days`` has all but the rows outside, which ``outside``
    has by file and day: how many, and their money. ``files`` has the counts and the money by file and day.
    ``rejects_accepted`` and ``conflicts_accepted`` are those that nobody has to look at again. Of bronze are
    ``rows_replaced``, whose place another version has taken, ``rows_withdrawn``, which the newest delivery of their day
    does not have, and ``rows_returned``, which count again.
    """

    rows_read: int = 0
    rows_duplicate: int = 0
    rows_new: int = 0
    rows_already_loaded: int = 0
    rows_rejected: int = 0
    rows_conflicting: int = 0
    rows_restated: int = 0
    rows_superseded: int = 0
    rows_outside: int = 0
    rows_forgotten: int = 0
    rows_unchanged: int = 0
    rows_replaced: int = 0
    rows_withdrawn: int = 0
    rows_returned: int = 0
    rejects_accepted: int = 0
    conflicts_accepted: int = 0
    money_read: Decimal | None = None
    days: dict[date, dict[str, int]] = field(default_factory=dict)
    outside: dict[tuple[str, date], tuple[int, Decimal | None]] = field(default_factory=dict)
    files: dict[tuple[str, date | None], dict[str, Any]] = field(default_factory=dict)

    @property
    def rows_distinct(self) -> int:
        """Distinct usable rows."""
        taken = self.rows_new + self.rows_already_loaded + self.rows_unchanged
        return taken + self.rows_conflicting + self.rows_restated

    def add(self, kind: str, frame: pl.DataFrame, weight: str | None = None) -> None:
        """Count the rows of ``frame``, or what their column ``weight`` sums up to, as ``kind``, in all and by day."""
        if not frame.height:
            return
        amount = pl.len().cast(pl.Int64) if weight is None else pl.col(weight).sum()
        for file, day, count in _by_file(frame, amount):
            self.add_count(kind, file, day, count)

    def add_count(self, kind: str, file: str | None, day: date | None, count: int) -> None:
        """Count so many rows of a file and day as ``kind``."""
        for name in (kind, 'rows_read'):
            setattr(self, name, getattr(self, name) + count)
            if day and count:
                of_day = self.days.setdefault(day, dict.fromkeys((*DAY_COUNTS, 'rows_read'), 0))
                of_day[name] += count
        if file is not None and count:
            of_file = self.files.setdefault((file, day), {})
            of_file[kind] = of_file.get(kind, 0) + count

    def add_money(self, source: Source, rows: pl.DataFrame) -> None:
        """Add the money of these rows, each as often as it was read."""
        for name in source.money_columns:
            for file, day, money in _by_file(rows, (pl.col(name) * (pl.col('_duplicate_rows') + 1)).sum()):
                self.add_amount(file, day, money)

    def add_amount(self, file: str | None, day: date | None, money: Decimal) -> None:
        """Add money of a file and day."""
        self.money_read = (self.money_read or Decimal(0)) + money
        if file is not None and money:
            of_file = self.files.setdefault((file, day), {})
            of_file['money'] = of_file.get('money', Decimal(0)) + money

    def add_outside(self, source: Source, rows: pl.DataFrame) -> None:
        """Count rows whose day is not one their file may hold."""
        if not rows.height:
            return
        money = [pl.col(name).sum() for name in source.money_columns[:1]]
        for file, day, count, *amount in rows.group_by('_file', '_partition_date').agg(pl.len(), *money).iter_rows():
            self.add_outside_of(file, day, count, amount[0] if amount else None)

    def add_outside_of(self, file: str, day: date, count: int, money: Decimal | None) -> None:
        """Count so many rows of one file and day, and their money, None for a source without."""
        before, worth = self.outside.get((file, day), (0, Decimal(0)))
        self.outside[file, day] = before + count, None if money is None else (worth or Decimal(0)) + money
        self.rows_outside += count
        self.rows_read += count

    def summary(self) -> dict[str, Any]:
        """The totals by their names, as the ledger has them."""
        names = (each.name for each in fields(self) if each.name not in ('days', 'outside', 'files'))
        totals = {name: getattr(self, name) for name in names}
        return totals | {'rows_distinct': self.rows_distinct}


def _by_file(frame: pl.DataFrame, amount: pl.Expr) -> Iterator[tuple[str | None, date | None, Any]]:
    """Some sum over the rows, by file and day; without a file where a block of a user has dropped it."""
    if not frame.height:
        return
    if rowhash.of_several_files(frame):
        yield from frame.group_by('_file', '_partition_date').agg(amount.alias('n')).iter_rows()
        return
    file = frame['_file'][0] if '_file' in frame.columns else None
    for day, found in frame.group_by('_partition_date').agg(amount.alias('n')).iter_rows():
        yield file, day, found
