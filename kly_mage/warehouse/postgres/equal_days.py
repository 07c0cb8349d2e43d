"""Days of which bronze holds just what the files hold: told by sums, so that their rows need not be looked for one by one.

Where a row is its hash, a day of the files and a day of bronze are the same if their distinct hashes are: as many of them,
with the same sum of 64 bits of each, and in bronze all as their loads wrote them. Of the other days all rows are compared.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.declared.marts import Measure, mart_of
from kly_mage.rows import rowhash
from kly_mage.rows.day_sums import DaySum, DaySums, repeated
from kly_mage.rows.piles import Piles
from kly_mage.warehouse.account import Count
from kly_mage.warehouse.postgres.uuid_hash import agrees, uuid_hash


def are_told(source: Source) -> bool:
    """Whether a source's days are compared by sums: a row of it is its hash, and of one day, and no matter of its place."""
    return not (source.version_columns or source.any_day or source.versioned)


class EqualDays:
    """The files' rows of one source, kept until all are there, and which of their days bronze has as they are.

    Attributes:
        days: those days, and what the files say of them.
        stored: what of bronze counts, by day, of all days.
    """

    def __init__(self, source: Source) -> None:
        mart = mart_of(source.name)
        self._measures: Sequence[Measure] = mart.additive if mart else ()
        self._rows = Piles('low')
        self._left_out: list[int] = []
        self.days: dict[date, DaySum] = {}
        self.stored: list[Count] = []

    def put(self, named: pl.DataFrame) -> None:
        """Keep rows: ``_hashrow`` as text, ``day``, ``at``, ``number``, ``is_outside``, ``is_superseded``, the measures."""
        self._rows.put(named.drop('_hashrow').with_columns(rowhash.halves(named['_hashrow'])))

    def leave_out(self, numbers: list[int]) -> None:
        """Take back the rows of these files."""
        self._left_out += numbers

    def find(self, cursor: Cursor, stored: sql.Composable, days: sql.Composable) -> Iterator[pl.DataFrame]:
        """Find the days that are the same; gives the rows of the others.

        Args:
            stored: rows of bronze, with ``is_gone``, and ``is_intact`` for those that are as their load wrote them.
            days: the condition on ``_partition_date`` for the days asked for.
        """
        sums = DaySums([measure.name for measure in self._measures], uuid_hash)
        with ThreadPoolExecutor(1) as beside:
            answer = beside.submit(self._of_bronze, cursor, stored, days)
            for rows in self._kept():
                sums.add(rows)
            of_bronze = answer.result()
        for day, of in sums.days.items():
            if day and of.is_plain and of_bronze.get(day) == (of.distinct, of.distinct, of.check % (1 << 64)):
                self.days[day] = of
        for rows in self._kept() if len(self.days) < len(sums.days) else ():
            others = rows.filter(~pl.col('day').is_in(list(self.days)).fill_null(False))
            if others.height:
                again = repeated(others['low']).alias('may_repeat')
                yield others.select(
                    rowhash.of_halves(others['high'], others['low']), *others.drop('high', 'low', 'number'), again
                )
        self._rows.close()

    def _kept(self) -> Iterator[pl.DataFrame]:
        for rows in self._rows:
            yield rows.filter(~pl.col('number').is_in(self._left_out)) if self._left_out else rows

    def _of_bronze(
        self, cursor: Cursor, stored: sql.Composable, days: sql.Composable
    ) -> dict[date | None, tuple[int, int, int]]:
        """Per day the rows of bronze, those of them that are intact and count, and the sum of these; keeps what counts.

        There is nothing to compare with where the server hashes otherwise.
        """
        is_comparable = agrees(cursor)
        sums = sql.SQL('').join(
            sql.SQL(', sum({}) filter (where not is_gone)').format(sql.Identifier(measure.name))
            for measure in self._measures
        )
        cursor.execute(
            sql.SQL(
                'select _partition_date, count(*), count(*) filter (where is_intact and not is_gone),'
                ' sum(uuid_hash_extended(_hashrow, 0)) filter (where is_intact and not is_gone),'
                ' count(*) filter (where not is_gone) {} from {} as stored where {} group by _partition_date'
            ).format(sums, stored, days)
        )
        found: dict[date | None, tuple[int, int, int]] = {}
        for day, rows, intact, check, counting, *amounts in cursor.fetchall():
            if counting:
                self.stored.append(Count(day, 'stored', counting, tuple(amounts)))
            found[day] = (rows, intact, int(check or 0) % (1 << 64))
        return found if is_comparable else {}

    def delivered(self) -> Iterator[Count]:
        """The rows of these days: all (``read``), as bronze has them (``bronze``), and what repeats one (``duplicate``)."""
        for day, of in self.days.items():
            again = tuple(every - once for every, once in zip(of.amounts, of.of_distinct, strict=True))
            yield Count(day, 'read', of.rows, tuple(of.amounts))
            yield Count(day, 'bronze', of.distinct, tuple(of.of_distinct))
            yield Count(day, 'duplicate', of.rows - of.distinct, again)

    def same_file(self) -> Iterator[Count]:
        """The rows that repeat one of their own file."""
        for day, of in self.days.items():
            yield Count(day, 'duplicate_same_file', of.same_file, ())

    def lateness(self, days: Sequence[date | None]) -> list[tuple[date, int, int]]:
        """Distinct rows by the days from their own to that of the file that brought them first.

        Args:
            days: of the files, in the order of their numbers.
        """
        late = Counter[tuple[date, int]]()
        for day, of in self.days.items():
            for number, rows in of.first_in.items():
                file_day = days[number]
                if file_day and file_day > day:
                    late[day, (file_day - day).days] += rows
        return [(day, lag, rows) for (day, lag), rows in late.items()]

    def others(self, column: str) -> sql.Composable:
        """The condition that a row is of another day."""
        return sql.SQL('not coalesce({} = any({}::date[]), false)').format(sql.SQL(column), sql.Literal(list(self.days)))
