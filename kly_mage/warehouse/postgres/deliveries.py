"""Of each day of an export counts what its newest delivery holds: a load corrects what others have loaded of it before.

Which delivery is in force for the rows of a local day is noted (``ops.deliveries``), with a sum over its rows: a delivery
that is as it was has nothing to correct, and nothing is compared. Rows of an older kind are not taken at all. Where the sum
is another one, the rows of bronze that came from that day's files are held against those the load has met: what it has not
met counts no longer, what did not count and is met counts again. Bronze keeps every row; each change of what counts is one
row of ``bronze.<source>_corrections``, which the marts add like new rows, with its sign.

Days are those of the rows, as for all loads: a load of one day corrects what the files around it hold of this day.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import NamedTuple

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from kly_mage.common.errors import ReadAgainError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import READ, Delivery, delivery_of, rank
from kly_mage.rows import rowhash
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.contents import Contents
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.counting import gone
from kly_mage.warehouse.postgres.tables import (
    bronze_table,
    corrections_table,
    loaded_at,
    registry,
    rows_of_days,
    table_columns,
)

KEPT_ROWS = 500_000  # hashes of rows met that are held in memory, some 20 MB; beyond, a temporary table has them
_MET = {'_hashrow': pl.Binary(), '_partition_date': pl.Date()}


class _Noted(NamedTuple):
    """The delivery in force for the rows of one local day in the files of one day of the export (``Delivery.place``)."""

    kind: str
    named_day: date
    rows: int
    checksum: int


class Deliveries:
    """The deliveries that one load meets.

    Args:
        cursor: the load's transaction; it holds the locks of its days.
        stamp: the load's ``_updated_at`` as a SQL literal.
    """

    def __init__(self, cursor: Cursor, source: Source, window: Window, stamp: sql.Literal) -> None:
        self.cursor, self.source, self.window, self.stamp = cursor, source, window, stamp
        self.noted: dict[tuple[date, date], _Noted] = {}
        self.read: dict[str, Delivery] = {}  # by the file's name
        self.met: list[pl.DataFrame] = []
        self.in_table = False  # whether the temporary table has rows met
        self.is_corrected = False  # whether rows of these days have ceased to count
        self.others: set[date] = set()  # days of which other loads may have brought rows: only these can be corrected
        self.are_sure = False  # whether they have
        if source.holds_whole_days:
            self.others = self._days_with_hashes()
            cursor.execute(
                'select file_day, day, kind, coalesce(named_day, file_day), rows, checksum from ops.deliveries'
                ' where source = %s and day between %s and %s',
                (source.name, window.start, window.end),
            )
            self.noted = {
                (of, day): _Noted(kind, named, rows, int(checksum))
                for of, day, kind, named, rows, checksum in cursor.fetchall()
            }
            cursor.execute(
                sql.SQL('select exists (select from {} where _partition_date between %s and %s)').format(
                    corrections_table(source)
                ),
                (window.start, window.end),
            )
            (self.is_corrected,) = cursor.fetchone()

    def begin(self, rejected: pl.DataFrame) -> pl.DataFrame:
        """Take note of the files that are announced; gives the other rejects."""
        is_announced = pl.col('_reject') == READ
        for name in rejected.filter(is_announced)['_file']:
            if found := delivery_of(self.source, name):
                self.read[name] = found
        return rejected.filter(~is_announced)

    def divide(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows a load takes, those of an export with ``_file_day``, and those in whose place a newer delivery stands.

        The latter have ``copies``: how many rows of the file each of them stands for.
        """
        if not self.read or not rows.height:
            return rows, rows.clear()
        are_several, place = rowhash.of_several_files(rows), ['_file', '_partition_date']
        names = rows['_file'].unique() if are_several else rows['_file'][:1]
        days = {name: found.day for name in names if (found := self.read.get(name))}
        if not days:
            return rows, rows.clear()
        of_one = pl.lit(next(iter(days.values())), pl.Date)
        of_each = pl.col('_file').replace_strict(days, default=None, return_dtype=pl.Date)
        file_day = of_each if are_several else of_one
        if self.source.whole_days is not None:
            file_day = pl.when(file_day.is_not_null()).then(pl.col('_partition_date'))
        rows = rows.with_columns(file_day.alias('_file_day'))
        places = (
            rows.select(place).unique() if are_several else rows.select(place).filter(pl.col(place[1]).is_first_distinct())
        )
        older = places.filter(pl.Series([self.is_older(*each) for each in places.iter_rows()], dtype=pl.Boolean))
        if not older.height:
            return rows, rows.clear()
        superseded = rows.join(older, on=place, how='semi').with_columns((pl.col('_duplicate_rows') + 1).alias('copies'))
        return rows.join(older, on=place, how='anti', maintain_order='left'), superseded

    def is_older(self, file: str, day: date | None) -> bool:
        """Whether a newer delivery than the file's is in force for its rows of a local day."""
        own = self.read.get(file)
        if own is None or day is None:
            return False
        newest = max(self._whole(own.place(day)), default=own.order)
        if known := self.noted.get(own.place(day)):
            newest = max(newest, (known.named_day, rank(self.source, known.kind)))
        return newest > own.order

    def may_lose_rows(self, file: str, day: date | None) -> bool:
        """Whether rows of a local day that a file held and holds no longer are corrected here."""
        own = self.read.get(file)
        return own is not None and day is not None and (bool(self._whole(own.place(day))) or self.is_older(file, day))

    def _whole(self, place: tuple[date, date]) -> list[tuple[date, int]]:
        """The order of the deliveries that this load has read and that hold all there is of a place."""
        return [
            found.order for found in self.read.values() if found.holds_whole(place[1]) and found.place(place[1]) == place
        ]

    def meet(self, rows: pl.DataFrame) -> None:
        """Take in rows that are to count, with ``_hashrow`` as it is stored."""
        if not self.others or (not self.read and not self.is_corrected):
            return
        self.met.append(rows.select(_MET).filter(pl.col('_partition_date').is_in(self.others)))
        if sum(frame.height for frame in self.met) > KEPT_ROWS:
            self._make_sure()
            if self.others:
                self._put_met(self.met)
            self.met = []

    def settle(
        self,
        load_id: int,
        contents: Contents,
        may_hold: Callable[[str], Window | None],
        counts: Counts,
        unread: Mapping[date, set[str]],
    ) -> None:
        """Correct what counts, in the load's transaction, and note which deliveries are in force.

        Args:
            contents: settled.
            may_hold: the days whose rows a file may hold.
            counts: gets the rows of bronze whose place another version takes, that are withdrawn, and that are back.
            unread: the files with rows of a day that were not read, because they are as they were.

        Raises:
            ReadAgainError: rows would cease to count that a file may have that was not read.
        """
        if not self.read and not self.is_corrected:
            return
        now = self._in_force(contents, may_hold)
        changed = {place: found for place, found in now.items() if self.noted.get(place) != found}
        touched = {day for _, day in changed} | (contents.moved & set(self.window))
        if touched & self.others:
            self._make_sure()
        if days := sorted(touched & self.others):
            self._correct(load_id, [place for place in now if place[1] in days], days, counts, unread)
        execute_values(
            self.cursor,
            'insert into ops.deliveries (source, file_day, day, kind, named_day, rows, checksum, load_id) values %s'
            ' on conflict (source, file_day, day) do update set kind = excluded.kind, named_day = excluded.named_day,'
            ' rows = excluded.rows, checksum = excluded.checksum, load_id = excluded.load_id',
            [(self.source.name, *place, *found, load_id) for place, found in sorted(changed.items())],
        )

    def _in_force(self, contents: Contents, may_hold: Callable[[str], Window | None]) -> dict[tuple[date, date], _Noted]:
        """By place: what the newest complete delivery holds, if this load has read it."""
        files: dict[tuple[date, date], list[str]] = {}
        for name, found in self.read.items():
            days = may_hold(name)
            for day in days if days and found.is_complete else ():
                if day in self.window and found.holds_whole(day) and not self.is_older(name, day):
                    files.setdefault(found.place(day), []).append(name)
        newest = {place: self.read[names[0]] for place, names in files.items()}
        return {
            place: _Noted(newest[place].kind, newest[place].day, *contents.sum_of(names, place[1]))
            for place, names in files.items()
        }

    def _days_with_hashes(self) -> set[date]:
        """The days of which bronze may have rows: their hashes, which begin with the day in UTC, are next to each other."""
        utc = [moved(self.window.start, -1), *self.window, moved(self.window.end, 1)]
        digits = [f'{day:%Y%m%d}' for day in utc]
        self.cursor.execute(
            sql.SQL(
                'select day from unnest(%s::date[], %s::uuid[], %s::uuid[]) as utc (day, first, last)'
                ' where exists (select from {} where _hashrow between first and last)'
            ).format(registry(self.source)),
            (utc, [text.ljust(32, '0') for text in digits], [text.ljust(32, 'f') for text in digits]),
        )
        found = {day for (day,) in self.cursor.fetchall()}
        return {day for day in self.window if found & {moved(day, -1), day, moved(day, 1)}}

    def _make_sure(self) -> None:
        """Look into bronze for the rows that other loads have brought of these days."""
        if self.are_sure:
            return
        days = sorted(self.others)
        self.cursor.execute(sql.SQL('select array_remove({}(%s), {})').format(loaded_at(self.source), self.stamp), (days,))
        (stamps,) = self.cursor.fetchone()
        self.cursor.execute(
            sql.SQL(
                'select distinct _partition_date from {} where _updated_at = any(%s) and _partition_date = any(%s)'
            ).format(bronze_table(self.source)),
            (stamps, days),
        )
        self.others, self.are_sure = {day for (day,) in self.cursor.fetchall()}, True
        self.met = [frame.filter(pl.col('_partition_date').is_in(self.others)) for frame in self.met]

    def _correct(
        self,
        load_id: int,
        places: list[tuple[date, date]],
        days: list[date],
        counts: Counts,
        unread: Mapping[date, set[str]],
    ) -> None:
        self._put_met([frame.filter(pl.col('_partition_date').is_in(days)) for frame in self.met])
        names = set(table_columns(self.cursor, self.source))
        self.cursor.execute('set local enable_hashjoin = on; set local enable_seqscan = on')
        self.cursor.execute(
            sql.SQL(
                'create temp table stored on commit drop as'
                ' select _hashrow, stored._partition_date, stored._file_day, jsonb_build_array({key})::text as key,'
                '     met._hashrow is not null as is_met, gone._hashrow is not null as is_gone'
                ' from {rows}({days}) as stored'
                ' left join (select distinct _hashrow from met) as met using (_hashrow)'
                ' left join {gone} as gone using (_hashrow);'
                'with counting as (select distinct key from stored where is_met),'
                ' places as (select * from unnest(%s::date[], %s::date[]) as place (_file_day, _partition_date)),'
                ' changes as ('
                '  select _hashrow, -1 as sign, _partition_date, _file_day,'
                "      case when counting.key is null then 'withdrawn' else 'superseded' end as why"
                '  from stored inner join places using (_file_day, _partition_date) left join counting using (key)'
                '  where not is_met and not is_gone'
                "  union all select _hashrow, 1, _partition_date, _file_day, 'returned' from stored where is_met and is_gone"
                '), noted as ('
                '  insert into {corrections} (_hashrow, sign, _partition_date, _file_day, why, _updated_at, _load_id)'
                '  select *, {stamp}, {load_id} from changes returning why, sign, _partition_date'
                ') select why, count(*), array_agg(distinct _partition_date) filter (where sign < 0) from noted group by why'
            ).format(
                key=sql.SQL(', ').join(sql.Identifier(name) for name in self.source.key_columns if name in names),
                rows=rows_of_days(self.source),
                days=sql.Literal(days),
                gone=sql.SQL(gone(self.source, f"_partition_date = any('{{{', '.join(map(str, days))}}}'::date[])")),
                corrections=corrections_table(self.source),
                stamp=self.stamp,
                load_id=sql.Literal(load_id),
            ),
            ([of for of, _ in places], [day for _, day in places]),
        )
        found: dict[str, int] = {}
        for why, rows, gone_of in self.cursor.fetchall():
            found[why] = rows
            if files := {file for day in gone_of or () for file in unread.get(day, ())}:
                raise ReadAgainError(f'{self.source.name}: rows that files have that were not read cease to count', files)
        counts.rows_replaced += found.get('superseded', 0)
        counts.rows_withdrawn += found.get('withdrawn', 0)
        counts.rows_returned += found.get('returned', 0)

    def _put_met(self, frames: Iterable[pl.DataFrame]) -> None:
        if not self.in_table:
            self.cursor.execute('create temp table met (_hashrow uuid, _partition_date date) on commit drop')
            self.in_table = True
        for frame in frames:
            copy(self.cursor, frame, 'met (_hashrow, _partition_date)')


class InForce:
    """The deliveries that loads have brought into force."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self.source = source
        self.found: list[tuple[tuple[date, date], tuple[date, int]]] = []  # place and order
        if source.holds_whole_days:
            with connect(settings) as connection, connection.cursor() as cursor:
                cursor.execute(
                    'select file_day, day, coalesce(named_day, file_day), kind from ops.deliveries where source = %s',
                    (source.name,),
                )
                self.found = [((of, day), (named, rank(source, kind))) for of, day, named, kind in cursor.fetchall()]

    def days_of_newer(self, file: str) -> list[date]:
        """The local days of which a newer delivery than a file's is in force."""
        own = delivery_of(self.source, file) if self.found else None
        return [place[1] for place, order in self.found if own and place == own.place(place[1]) and order > own.order]


def rehash_corrections(cursor: Cursor, source: Source) -> None:
    """Put the corrections under new hashes, which ``judged`` has (``Rehash``).

    Of rows that are one row now, some may have counted and others not: then it counts, as the newest delivery holds it.
    """
    cursor.execute(
        sql.SQL(
            'delete from {corrections} as corrected using judged inner join ('
            '     select hash, bool_and(gone._hashrow is not null) as is_gone'
            '     from judged left join {gone} as gone on judged.old = gone._hashrow'
            '     where is_stored group by hash having count(*) > 1'
            ' ) as merged using (hash)'
            ' where corrected._hashrow = judged.old and not (merged.is_gone and judged.rank = 1);'
            'update {corrections} as corrected set _hashrow = judged.hash from judged'
            ' where corrected._hashrow = judged.old and judged.hash <> judged.old'
        ).format(corrections=corrections_table(source), gone=sql.SQL(gone(source)))
    )
