"""What became of the rows of a load, in all and by day."""

from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from kly_mage.declared.base import Source

DAY_COUNTS = (
    *('rows_duplicate', 'rows_new', 'rows_already_loaded', 'rows_rejected', 'rows_conflicting'),
    *('rows_superseded', 'rows_forgotten'),
)


@dataclass
class Counts:
    """What a load did with the rows it read.

    ``rows_read`` is the sum of ``rows_duplicate``, ``rows_new``, ``rows_already_loaded``, ``rows_rejected``,
    ``rows_conflicting``, ``rows_superseded``, ``rows_outside`` and ``rows_forgotten``; the distinct rows are the new, the
    already loaded and the conflicting ones. ``money_read`` is the sum over the usable rows that were taken, None for a
    source without money. ``days`` has all but the rows outside, which ``outside`` has by file and day: how many, and their
    money. ``rejects_accepted`` and ``conflicts_accepted`` are those that nobody has to look at again. Of bronze are
    ``rows_replaced``, whose place another version has taken, ``rows_withdrawn``, which the newest delivery of their day does
    not have, and ``rows_returned``, which count again.
    """

    rows_read: int = 0
    rows_duplicate: int = 0
    rows_new: int = 0
    rows_already_loaded: int = 0
    rows_rejected: int = 0
    rows_conflicting: int = 0
    rows_superseded: int = 0
    rows_outside: int = 0
    rows_forgotten: int = 0
    rows_replaced: int = 0
    rows_withdrawn: int = 0
    rows_returned: int = 0
    rejects_accepted: int = 0
    conflicts_accepted: int = 0
    money_read: Decimal | None = None
    days: dict[date, dict[str, int]] = field(default_factory=dict)
    outside: dict[tuple[str, date], tuple[int, Decimal | None]] = field(default_factory=dict)

    @property
    def rows_distinct(self) -> int:
        """Distinct usable rows."""
        return self.rows_new + self.rows_already_loaded + self.rows_conflicting

    def add(self, kind: str, frame: pl.DataFrame, weight: str | None = None) -> None:
        """Count the rows of ``frame``, or what their column ``weight`` sums up to, as ``kind``, in all and by day."""
        if not frame.height:
            return
        amount = pl.len().cast(pl.Int64) if weight is None else pl.col(weight).sum()
        for day, count in frame.group_by('_partition_date').agg(amount.alias('n')).iter_rows():
            for name in (kind, 'rows_read'):
                setattr(self, name, getattr(self, name) + count)
                if day and count:
                    of_day = self.days.setdefault(day, dict.fromkeys((*DAY_COUNTS, 'rows_read'), 0))
                    of_day[name] += count

    def add_money(self, source: Source, rows: pl.DataFrame) -> None:
        """Add the money of these rows, each as often as it was read."""
        for name in source.money_columns:
            money = rows.select((pl.col(name) * (pl.col('_duplicate_rows') + 1)).sum()).item()
            self.money_read = (self.money_read or Decimal(0)) + money

    def add_outside(self, source: Source, rows: pl.DataFrame) -> None:
        """Count rows whose day is not one their file may hold."""
        if not rows.height:
            return
        money = [pl.col(name).sum() for name in source.money_columns[:1]]
        for file, day, count, *amount in rows.group_by('_file', '_partition_date').agg(pl.len(), *money).iter_rows():
            before, worth = self.outside.get((file, day), (0, Decimal(0)))
            self.outside[file, day] = before + count, (worth or Decimal(0)) + amount[0] if amount else None
        self.rows_outside += rows.height
        self.rows_read += rows.height

    def summary(self) -> dict[str, Any]:
        """The totals by their names, as the ledger has them."""
        totals = {name: value for name, value in asdict(self).items() if name not in ('days', 'outside')}
        return totals | {'rows_distinct': self.rows_distinct}
