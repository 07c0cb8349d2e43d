"""Rows of the files that are of forgotten persons: counted for themselves, and compared with nothing."""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from kly_mage.declared.marts import Measure
from kly_mage.rows import measures as of_frame
from kly_mage.warehouse.account import Account, Count


class ForgottenRows:
    """Takes them out of the frames of one source (``part``), and tells how many there were (``counts``)."""

    def __init__(self, account: Account, measures: Sequence[Measure]) -> None:
        self._measures, self._persons = measures, account.persons()
        self._found: list[pl.DataFrame] = []

    def part(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of others.

        Args:
            frame: as ``Reading.frames`` gives it.
        """
        if self._persons is None:
            return frame
        others, theirs = self._persons.part(frame)
        if theirs.height:
            day, number = pl.coalesce('_partition_date', '_file_day').alias('day'), pl.col('_number').alias('number')
            usable = pl.when(pl.col('_reject').is_null())
            sums = [usable.then(of_frame.per_row(measure)).sum().alias(measure.name) for measure in self._measures]
            self._found.append(theirs.group_by(day, number).agg(pl.len().alias('rows'), *sums))
        return others

    def counts(self, left_out: Iterable[int]) -> Iterator[Count]:
        """Per day all of them, as ``read`` and as ``forgotten``.

        Args:
            left_out: numbers of the files that cannot be read to their end.
        """
        for found in self._found:
            for day, number, rows, *amounts in found.iter_rows():
                if number not in set(left_out):
                    for place in ('read', 'forgotten'):
                        yield Count(day, place, rows, tuple(amounts))
