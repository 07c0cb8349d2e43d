"""What rows of files amount to by day: how many there are, how many differ, and a sum over those that do."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl

from kly_mage.rows.frames import SLICE_ROWS


def repeated(numbers: pl.Series) -> pl.Series:
    """Of each number whether it is there more than once."""
    ordered = np.sort(numbers.to_numpy())  # a group of each would take ten times the memory
    return numbers.is_in(pl.Series(ordered[1:][ordered[1:] == ordered[:-1]]).implode())


@dataclass
class DaySum:
    """A day of the files.

    Attributes:
        rows: all of them.
        distinct: of rows that are equal, one.
        check: the sum over the distinct rows of a number each, by their hash.
        is_plain: whether all rows are of days that their files may hold, and of deliveries in force.
        amounts: of all rows, one per measure.
        of_distinct: of the distinct rows.
        same_file: rows that repeat one of their own file.
        first_in: distinct rows by the number of the file that has them first.
    """

    rows: int = 0
    distinct: int = 0
    check: int = 0
    is_plain: bool = True
    amounts: list[Decimal] = field(default_factory=list)
    of_distinct: list[Decimal] = field(default_factory=list)
    same_file: int = 0
    first_in: Counter[int] = field(default_factory=Counter)


class DaySums:
    """The sums of a stream of frames by day; equal rows are in one frame, in the order of their delivery.

    A frame has ``high`` and ``low`` (the halves of the hash), ``day``, ``number`` (of the file), ``is_outside``,
    ``is_superseded``, and the measures.

    Args:
        measures: their names.
        number: makes of the halves of hashes a number of 64 bits each.
    """

    def __init__(self, measures: Sequence[str], number: Callable[[pl.Series, pl.Series], pl.Series]) -> None:
        self._measures, self._number = measures, number
        self.days: dict[date | None, DaySum] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Add the rows of a frame."""
        firsts = rows.with_columns(self._repeated(rows))
        for each in firsts.iter_slices(SLICE_ROWS):
            self._add(each)

    def _add(self, rows: pl.DataFrame) -> None:
        exact = [pl.col(name).cast(pl.Int128) if rows[name].dtype.is_integer() else pl.col(name) for name in self._measures]
        sums = (
            rows.with_columns(self._number(rows['high'], rows['low']).alias('check'))
            .group_by('day')
            .agg(
                pl.len().alias('rows'),
                pl.col('first').sum().alias('distinct'),
                pl.col('check').cast(pl.Int128).filter('first').sum(),
                (pl.col('is_outside') | pl.col('is_superseded')).any().alias('is_odd'),
                *(amount.sum() for amount in exact),
                *(amount.filter('first').sum().name.suffix(' first') for amount in exact),
            )
        )
        for day, count, distinct, check, is_odd, *amounts in sums.iter_rows():
            of = self._day(day)
            of.rows += count
            of.distinct += distinct
            of.check += check
            of.is_plain &= not is_odd
            for place, amount in enumerate(amounts):
                to = of.amounts if place < len(self._measures) else of.of_distinct
                to[place % len(self._measures)] += Decimal(amount or 0)
        for day, number, count in rows.filter('first').group_by('day', 'number').len().iter_rows():
            self._day(day).first_in[number] += count

    def _repeated(self, rows: pl.DataFrame) -> pl.Series:
        """Whether each row is the first of its hash; counts the others that stand in one file with it."""
        again = repeated(rows['low'])
        first = ~again
        if again.any():
            some = rows.select('day', 'number', 'high', 'low').filter(again)
            of_hash = some.group_by('high', 'low').agg(
                pl.col('day').first(), (pl.len() - pl.col('number').n_unique()).alias('same_file')
            )
            for day, count in of_hash.group_by('day').agg(pl.col('same_file').sum()).iter_rows():
                self._day(day).same_file += count
            marked = first.to_numpy().copy()
            marked[again.to_numpy()] = some.select(pl.struct('high', 'low').is_first_distinct()).to_series().to_numpy()
            first = pl.Series(marked)
        return first.alias('first')

    def _day(self, day: date | None) -> DaySum:
        if day not in self.days:
            nothing = [Decimal(0)] * len(self._measures)
            self.days[day] = DaySum(amounts=nothing, of_distinct=[*nothing])
        return self.days[day]
