"""Which rows of a load bronze knows already: its registry of hashes, asked in the cheaper of two ways.

Files bring the rows of a day together. What the registry has of a day is then fetched once and compared here, which costs
an eighth of looking every row up. A late batch is the opposite, a few rows against many known ones: its rows are looked up
in the registry's index. Either way the cost follows the rows of the load, not the history.
"""

import io
from collections.abc import Iterator

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.rows.rowhash import joined, split
from kly_mage.warehouse.postgres import place
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.tables import registry
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

FETCHED_PER_LOOKUP = 8  # hashes fetched in the time one row is looked up
MOST_KEPT = 2_000_000  # hashes in memory, some 100 MB
_ANSWER = {'i': pl.UInt32(), 'duplicate': pl.Boolean(), 'other': pl.Boolean()}


class KnownRows:
    """The registry of a source, as one load sees it.

    Args:
        cursor: the load's transaction; it holds the locks of its days, so nobody else adds hashes of them.
        stamp: the load's ``_updated_at`` as a SQL literal: it tells the rows of this load from those of others.
    """

    def __init__(self, cursor: Cursor, source: Source, stamp: sql.Literal) -> None:
        self.cursor, self.source, self.stamp = cursor, source, stamp
        self.values = [column.name for column in source.version_columns]
        self.needed = ['_hashrow', *(place.COLUMNS if source.versioned else ()), *self.values]
        self.rows_seen = 0
        self.filled = False  # whether there are rows in the temp table
        self.kept: dict[str, list[pl.DataFrame]] = {}  # by day: all its hashes, and whether they are this load's
        declared = sql.SQL('').join(
            sql.SQL(', {} {}').format(sql.Identifier(c.name), sql.SQL(POSTGRES_TYPES[c.kind]))
            for c in source.version_columns
        )
        cursor.execute(
            sql.SQL(
                'create temp table incoming'
                ' (i int, _hashrow uuid, _delivered_at timestamptz, _file text, _line bigint{}) on commit drop'
            ).format(declared)
        )

    def find(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Which rows have their hash in the registry.

        Args:
            rows: with ``_hashrow`` (16 bytes), ``_utc_day`` (its first eight digits), the value columns and, of versions,
                their place; no hash twice.

        Returns:
            ``i`` (the place among ``rows``) of the known ones, in their order, ``duplicate`` (known from this load, with the
            same values), ``other`` (known with other values). Rows looked up are in the temp table ``incoming`` until the
            next call.
        """
        if self.filled:
            self.cursor.execute('truncate incoming')
        self.filled = False
        rows = rows.select('_utc_day', *self.needed).with_row_index('i')
        is_among_few = self._keep(rows)
        if is_among_few:
            known = pl.concat(frame for frames in self.kept.values() for frame in frames)
            asked = rows.select('i').with_columns(split(joined(rows['_hashrow'])))
            # By one half, which tells nearly all of them apart and is a number: half the work of a join by both.
            found = known.join(asked, on='low').filter(pl.col('high') == pl.col('high_right'))
            if not self.values and not self.source.versioned:
                return found.select('i', 'duplicate', other=False).sort('i')
            rows = rows.join(found, on='i', how='semi')
        return self._look_up(rows, is_among_few).sort('i') if rows.height else pl.DataFrame(schema=_ANSWER)

    def add(self, rows: pl.DataFrame) -> None:
        """Note rows that this load has put into the registry."""
        if self.kept:
            for own in rows.select('_utc_day', '_hashrow').partition_by('_utc_day'):
                self.kept[own['_utc_day'][0]].append(_hashes(joined(own['_hashrow']), duplicate=True))

    def _keep(self, rows: pl.DataFrame) -> bool:
        """Have the hashes of the days of these rows in ``kept``, and no others; False if look-ups cost less.

        What may be fetched grows with the rows seen: in the end, the rows of the load have paid for it.
        """
        self.rows_seen += rows.height
        days = set(rows['_utc_day'].unique())
        self.kept = {day: frames for day, frames in self.kept.items() if day in days}
        held = sum(frame.height for frames in self.kept.values() for frame in frames)
        room = min(self.rows_seen * FETCHED_PER_LOOKUP, MOST_KEPT) - held
        missing = sorted(days - self.kept.keys())
        if room < 0 or (missing and not (self._guess(missing) < 2 * room and self._fetch(missing, room))):
            self.kept.clear()
            return False
        return True

    def _guess(self, days: list[str]) -> int:
        """About how many hashes the registry has of some days: evenly spread, one in 256 begins with a zero byte."""
        self.cursor.execute(
            sql.SQL(
                'select 256 * count(*) from unnest({lowest}::uuid[], {highest}::uuid[]) as day (lowest, highest)'
                ' inner join {registry} as known on known._hashrow between day.lowest and day.highest'
            ).format(
                lowest=sql.Literal([day + '0' * 24 for day in days]),
                highest=sql.Literal([day + '00' + 'f' * 22 for day in days]),
                registry=registry(self.source),
            )
        )
        count: int = self.cursor.fetchone()[0]
        return count

    def _fetch(self, days: list[str], most: int) -> bool:
        """Add to ``kept`` what the registry has of some days, unless that is more than ``most`` hashes."""
        query = sql.SQL(
            'copy ('
            # Long values, not a row per hash: there is nothing to take apart.
            " select lowest, string_agg(uuid_send(_hashrow), '') filter (where not duplicate),"
            " string_agg(uuid_send(_hashrow), '') filter (where duplicate)"
            ' from ('
            '  select day.lowest, known._hashrow, known._updated_at = {stamp} as duplicate'
            '  from unnest({lowest}::uuid[], {highest}::uuid[]) as day (lowest, highest)'
            '  inner join {registry} as known on known._hashrow between day.lowest and day.highest'
            '  limit {limit}'
            ' ) as known group by lowest'
            ') to stdout (format binary)'
        ).format(
            stamp=self.stamp,
            lowest=sql.Literal([day + '0' * 24 for day in days]),
            highest=sql.Literal([day + 'f' * 24 for day in days]),
            registry=registry(self.source),
            limit=sql.Literal(max(most, 0) + 1),
        )
        answer = io.BytesIO()
        self.cursor.copy_expert(query, answer)
        fetched = {day.hex()[:8]: (known, own) for day, known, own in _binary_rows(answer.getvalue(), 3)}
        if sum(len(known) + len(own) for known, own in fetched.values()) > most * 16:
            return False
        for day in days:
            known, own = fetched.get(day, (b'', b''))
            self.kept[day] = [_hashes(known, duplicate=False), _hashes(own, duplicate=True)]
        return True

    def _look_up(self, rows: pl.DataFrame, is_among_few: bool) -> pl.DataFrame:
        # In the order of the hash, look-ups walk the registry's index from left to right.
        incoming = rows.select(pl.col('i').cast(pl.Int32), *self.needed).sort('_hashrow')
        names = sql.SQL(', ').join(map(sql.Identifier, incoming.columns))
        self.filled = True
        copy(self.cursor, incoming, sql.SQL('incoming ({})').format(names).as_string(self.cursor))
        other = sql.SQL('false')
        if self.values:
            other = sql.SQL('({}) is distinct from ({})').format(self._row('incoming'), self._row('known'))
        known = sql.SQL('{registry} as known using (_hashrow) where known._hashrow between {lowest} and {highest}')
        if not is_among_few:  # the planner cannot guess how many hashes are between these, and would go through all of them
            known = sql.SQL('lateral (select * from {registry} where _hashrow = incoming._hashrow limit 1) as known on true')
        query = sql.SQL(
            'copy (select i, known._updated_at = {stamp} and not {other}, {other}'
            ' from incoming inner join {known}) to stdout (format csv)'
        ).format(
            stamp=self.stamp,
            other=other,
            known=known.format(
                registry=registry(self.source),
                lowest=sql.Literal(incoming['_hashrow'][0].hex()),
                highest=sql.Literal(incoming['_hashrow'][-1].hex()),
            ),
        )
        answer = io.BytesIO()
        self.cursor.copy_expert(query, answer)
        if not answer.tell():
            return pl.DataFrame(schema=_ANSWER)
        text = {'i': pl.UInt32, 'duplicate': pl.String, 'other': pl.String}
        seen = pl.read_csv(answer.getvalue(), has_header=False, new_columns=list(text), schema=text)
        return seen.with_columns(pl.col('duplicate', 'other') == 't')

    def _row(self, table: str) -> sql.Composed:
        return sql.SQL(', ').join(sql.Identifier(table, name) for name in self.values)


def _hashes(data: bytes | memoryview, *, duplicate: bool) -> pl.DataFrame:
    return pl.DataFrame(split(data)).with_columns(duplicate=duplicate)


def _binary_rows(answer: bytes, fields: int) -> Iterator[list[bytes]]:
    """The rows of a binary COPY, NULL as no bytes: 19 bytes of header, then counts of fields and lengths before values."""
    place = 19
    while int.from_bytes(answer[place : place + 2], 'big') == fields:
        place, row = place + 2, []
        for _ in range(fields):
            length = max(int.from_bytes(answer[place : place + 4], 'big', signed=True), 0)
            row.append(answer[place + 4 : place + 4 + length])
            place += 4 + length
        yield row
