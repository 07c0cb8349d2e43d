"""What each file held of each day when a load read it (``ops.file_days``), so that a file that has changed since is noticed.

A load knows what it read: per file and day the usable rows, their money, and a checksum that does not depend on their order.
Held against what the file held before, three things are possible: it is the same; it has rows more, and those are new with
this load, whichever of its files has brought them first; or rows of it are gone or other than before. The last is what no
counting of new rows shows: bronze then has rows that the files do not have. What was held before stays noted until
``repair`` has put that right, so it is said by every load and by ``status``. Articles may be of any day: their files are
noted as a whole.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import polars as pl
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.rows import rowhash
from kly_mage.rows.casting import MONEY
from kly_mage.warehouse.postgres import unchanged
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.standing import Changed

_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)  # odd: no count is lost in a sum
_ALL_OF_IT = 2**64
_Key = tuple[str, date | None]
Sums = list[tuple[str, date | None, int, int, Decimal, datetime | None]]  # what rows hold of each file and day
_SUMS = ('_file', 'day', 'rows', 'checksum', 'money', '_modified_at')


@dataclass
class _Held:
    """Rows of one file and day, as an order-free sum."""

    rows: int = 0
    checksum: int = 0
    money: Decimal = Decimal(0)

    def add(self, rows: int, checksum: int, money: Decimal) -> None:
        self.rows, self.money = self.rows + rows, self.money + money
        self.checksum = (self.checksum + checksum) % _ALL_OF_IT


class Contents:
    """What one load reads, by file and day."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.states: dict[str, datetime] = {}  # when each file that was read had been changed last
        self.changed: set[str] = set()  # files that hold other rows than they were loaded with; once settled
        self.moved: set[date] = set()  # days of which a file holds something else than it held before; once settled
        self._held: dict[_Key, _Held] = {}
        self._new: dict[_Key, _Held] = {}

    def hold(self, found: Sums) -> None:
        """Take in what usable rows hold."""
        for file, day, rows, checksum, money, modified_at in found:
            self._held.setdefault((file, day), _Held()).add(rows, checksum, money)
            if modified_at is not None:
                self.states[file] = modified_at

    def bring(self, found: Sums) -> None:
        """Take in what those of them hold that this load has put into bronze, each as often as it stands in a file."""
        for file, day, rows, checksum, money, _ in found:
            self._new.setdefault((file, day), _Held()).add(rows, checksum, money)

    def sums(self, rows: pl.DataFrame) -> Sums:
        """What rows hold of each file and day; each has ``_hashrow`` as it is stored and ``_duplicate_rows``."""
        if not rows.height or '_file' not in rows.columns:  # a block of a user may have dropped it
            return []
        money, times = self.source.money_columns[:1], pl.col('_duplicate_rows') + 1
        own = rows.select(
            '_file',
            pl.lit(None, pl.Date).alias('day') if self.source.any_day else pl.col('_partition_date').alias('day'),
            times.alias('rows'),
            self._fingerprints(rows).alias('checksum') * times.cast(pl.UInt64),
            *(pl.col(column).alias('money') * times for column in money),
            '_modified_at' if '_modified_at' in rows.columns else pl.lit(None, pl.Datetime).alias('_modified_at'),
        )
        key, first = ['_file', 'day'], pl.col('_modified_at').first()
        if not rowhash.of_several_files(own):  # a day is found faster than a day of a name
            key, first = ['day'], pl.col('_file', '_modified_at').first()
        found = own.group_by(key).agg(first, pl.col('rows', 'checksum', *('money' for _ in money)).sum())
        return found.with_columns(() if money else pl.lit(Decimal(0)).alias('money')).select(_SUMS).rows()

    def _fingerprints(self, rows: pl.DataFrame) -> pl.Series:
        """64 bits of each row: its hash tied to the numbers that the hash leaves out, so that none can be swapped."""
        fingerprints = rowhash.tails(rows['_hashrow'])
        if not self.source.value_columns:
            return fingerprints
        numbers = pl.repeat(0, rows.height, dtype=pl.UInt64, eager=True)
        for column, factor in zip(self.source.value_columns, _FACTORS, strict=False):
            if column.kind in ('count', 'money'):
                value = rows[column.name].cast(MONEY if column.kind == 'money' else pl.Int64).to_physical().fill_null(0)
                numbers = numbers + value.cast(pl.UInt64, wrap_numerical=True) * factor
        return fingerprints * (2 * numbers + 1)

    def sum_of(self, files: Iterable[str], day: date) -> tuple[int, int]:
        """Rows and checksum of what some files hold of a day."""
        held = [found for file in files if (found := self._held.get((file, day)))]
        return sum(each.rows for each in held), sum(each.checksum for each in held) % _ALL_OF_IT

    def settle(
        self,
        cursor: Cursor,
        load_id: int,
        files: dict[str, Window | None],
        window: Window,
        may_lose_rows: Callable[[str, date | None], bool],
        is_skipped: Callable[[str, date | None], bool],
    ) -> None:
        """Hold what was read against what the same files held before, in the load's transaction, and note both.

        Args:
            files: what the load has looked at, and the days whose rows each may hold (None: any); one that gave no row of
                such a day has none now.
            may_lose_rows: whether what a file held of a day and holds no longer is corrected by the load itself.
            is_skipped: whether the rows of a file and day were not read, because they are as they were.
        """
        named = sorted({*files, *(file for file, _ in self._held)})
        cursor.execute(
            'select file, day, rows, checksum, money, rows_now is not null from ops.file_days'
            ' where source = %s and file = any(%s) and (day is null or day between %s and %s) and checksum >= 0',
            (self.source.name, named, window.start, window.end),
        )
        before = {
            (file, day): (_Held(rows, int(sum_), money or Decimal(0)), off) for file, day, rows, sum_, money, off in cursor
        }
        same: list[tuple[_Key, _Held]] = []
        changed: list[tuple[_Key, _Held]] = []
        for key in {*before, *self._held}:
            now, (then, was_off) = self._held.get(key, _Held()), before.get(key, (None, False))
            may_hold = files.get(key[0])
            if is_skipped(*key):
                continue
            if key not in self._held and key[1] and may_hold and key[1] not in may_hold:
                continue  # no load takes such rows from it any more: a setting has changed, not the file
            if then == now:
                if was_off:
                    same.append((key, now))
                continue
            self.moved |= {key[1]} if key[1] else set()
            if then is None or self._grew(key, then, now) or may_lose_rows(*key):
                same.append((key, now))
            else:
                changed.append((key, now))
        self._write(
            cursor,
            same,
            'insert into ops.file_days (source, file, day, rows, checksum, money, load_id)'
            ' select %s, file, day, rows, checksum, money, %s'
            ' from json_populate_recordset(null::ops.file_days, %s) order by file, day'
            ' on conflict (source, file, day) do update set rows = excluded.rows, checksum = excluded.checksum,'
            ' money = excluded.money, load_id = excluded.load_id, rows_now = null, money_now = null, changed_by = null',
            load_id,
        )
        self._write(
            cursor,
            changed,
            'with told as (select %s as source, %s as load_id, * from json_to_recordset(%s)'
            ' as told (file text, day date, rows bigint, money numeric))'
            ' update ops.file_days as known set rows_now = told.rows, money_now = told.money, changed_by = told.load_id'
            ' from told where known.source = told.source and known.file = told.file'
            ' and known.day is not distinct from told.day',
            load_id,
        )
        self.changed = {file for (file, _), _ in changed}

    def _grew(self, key: _Key, then: _Held, now: _Held) -> bool:
        """Whether the file has what it had, and beside it nothing but rows that this load was the first to bring."""
        new = self._new.get(key, _Held())
        return (now.rows - new.rows, (now.checksum - new.checksum) % _ALL_OF_IT, now.money - new.money) == (
            then.rows,
            then.checksum,
            then.money,
        )

    def _write(self, cursor: Cursor, found: list[tuple[_Key, _Held]], statement: str, load_id: int) -> None:
        if not found:
            return
        has_money = bool(self.source.money_columns)
        told = [
            {
                'file': file,
                'day': day.isoformat() if day else None,
                'rows': held.rows,
                'checksum': held.checksum,
                'money': str(held.money) if has_money else None,
            }
            for (file, day), held in found
        ]
        cursor.execute(statement, (self.source.name, load_id, json.dumps(told)))


def changed(settings: Settings, source: Source, window: Window | None = None) -> list[Changed]:
    """The files that hold other rows now than they were loaded with, by day."""
    with connect(settings) as connection, connection.cursor() as cursor:
        return changed_files(cursor, source, window)


def changed_files(cursor: Cursor, source: Source, window: Window | None = None) -> list[Changed]:
    """The same over an open connection."""
    asked = window or Window(date.min, date.max)
    cursor.execute(
        'select file, day, load_id, rows, rows_now, trim_scale(money), trim_scale(money_now) from ops.file_days'
        ' where source = %s and changed_by is not null and (day is null or day between %s and %s) order by file, day',
        (source.name, asked.start, asked.end),
    )
    return [Changed(*told) for told in cursor.fetchall()]


def forget(cursor: Cursor, source: Source, window: Window | None = None) -> None:
    """Let the next loads note anew what the files hold: bronze is what they say, or is being made so."""
    asked = window or Window(date.min, date.max)
    cursor.execute(
        'delete from ops.file_days where source = %s and (day is null or day between %s and %s)',
        (source.name, asked.start, asked.end),
    )
    unchanged.drop(cursor, source.name)


def note_anew(cursor: Cursor, source: Source) -> None:
    """Let the next loads note anew what the files hold, where they did not differ: rows of them count no more."""
    cursor.execute('update ops.file_days set checksum = -1 where source = %s and changed_by is null', (source.name,))
    unchanged.drop(cursor, source.name)
