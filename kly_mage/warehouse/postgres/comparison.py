"""The files' rows beside the tables of one source: where each of them is, found by set-based joins.

What the files hold goes into temporary tables; memory follows the slice, never the file or the history. A row is placed once
(``find``), then counted and explained from one snapshot.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, mart_of
from kly_mage.rows import measures as of_frame
from kly_mage.rows import rowhash
from kly_mage.rows.seen import Seen
from kly_mage.warehouse.account import LINE_BITS, Count
from kly_mage.warehouse.postgres import few_days, intact
from kly_mage.warehouse.postgres import measures as of_table
from kly_mage.warehouse.postgres.completion import LateColumns
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.equal_days import EqualDays, are_told
from kly_mage.warehouse.postgres.tables import bronze_table, conflicts_table, corrections_table, registry
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES
from kly_mage.warehouse.postgres.versions_in_files import versions

# Of the version ``v``: another one of its row stands before it in the first file that has it.
SAME_FILE = '(v._hashrow, v.at) in (table behind)'


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[Connection]:
    """A connection for a reconciliation; a second one waits until it ends, or both would leave their counts."""
    with connect(settings) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(hashtext('kly_mage reconcile'))")
        yield connection


class Comparison:
    """One source: its files' rows go in (``put``, ``put_rejects``), are placed (``find``), and come out as counts.

    Args:
        window: only these days are asked for; None for all.
    """

    def __init__(self, connection: Connection, settings: Settings, source: Source, window: Window | None) -> None:
        self.connection, self.settings, self.source, self.window = connection, settings, source, window
        self.bronze: sql.Composable = bronze_table(source)  # of few days: their rows alone (``find``)
        self._seen = Seen()
        self.equal = EqualDays(source) if are_told(source) else None
        self.with_superseded, self.cursor, self.mart = False, connection.cursor(), mart_of(source.name)
        self.measures = self.mart.additive if self.mart else ()
        # What is kept of a row: the columns the hash leaves out, and the measures that are not among them.
        self.values = {column.name: POSTGRES_TYPES[column.kind] for column in source.version_columns}
        self.further = [measure for measure in self.measures if measure.name not in self.values]
        kinds = self.values | {measure.name: of_table.type_per_row(measure) for measure in self.further}
        columns = ''.join(f', "{name}" {kind}' for name, kind in kinds.items())
        self.cursor.execute(
            f'create temp table fresh (_hashrow uuid, day date, at bigint, is_outside boolean, is_superseded boolean,'
            f' may_repeat boolean, _undeclared_values json{columns});'
            'create temp table fresh_rejects (at bigint, file text, line bigint, reject text, day date, is_outside boolean)'
        )

    def put(self, rows: pl.DataFrame) -> None:
        """Usable, hashed rows; ``_number`` is their file's, ``_outside`` marks rows that no load takes from it."""
        named = rows.with_columns(rowhash.stored_undeclared(rows, self.source)).select(
            '_hashrow',
            pl.col('_partition_date').alias('day'),
            _at(),
            pl.col('_outside').alias('is_outside'),
            pl.col('_superseded').alias('is_superseded'),
            *(rowhash.undeclared_values(rows, self.source) if self.values else ()),
            *(pl.col(name) for name in self.values),
            *(of_frame.per_row(measure).alias(measure.name) for measure in self.further),
        )
        if self.equal:
            self.equal.put(named.with_columns(rows['_number'].alias('number')))
            return
        again = self._seen.again(rows['_hashrow']).alias('may_repeat')
        self._copy(named.with_columns(rowhash.stored(rows['_hashrow']), again))

    def _copy(self, rows: pl.DataFrame) -> None:
        self.with_superseded |= bool(rows['is_superseded'].any())
        copy(self.cursor, rows, 'fresh ({})'.format(', '.join(f'"{name}"' for name in rows.columns)))

    def put_rejects(self, rows: pl.DataFrame) -> None:
        """Rejected rows; one without a readable day goes with ``_file_day``, that of its file."""
        named = rows.select(
            _at(),
            pl.col('_file').alias('file'),
            pl.col('_line').alias('line'),
            pl.col('_reject').alias('reject'),
            pl.coalesce('_partition_date', '_file_day').alias('day'),
            pl.col('_outside').alias('is_outside'),
        )
        copy(self.cursor, named, 'fresh_rejects (at, file, line, reject, day, is_outside)')

    def leave_out(self, numbers: list[int]) -> None:
        """Take back the rows of these files: no load takes a part of a file."""
        if self.equal:
            self.equal.leave_out(numbers)
        for table in ('fresh', 'fresh_rejects'):
            self.cursor.execute(f'delete from {table} where at >> {LINE_BITS} = any(%s)', (numbers,))

    def find(self) -> None:
        """Find each distinct version of a row in bronze, the registry and the conflicts table."""
        self.connection.commit()
        # One snapshot for all that follows: a load that ends meanwhile is not seen by halves.
        self.cursor.execute("set transaction isolation level repeatable read; set local work_mem = '256MB'")
        # Held before it is taken: a partition that takes the place of others is empty in older snapshots.
        self.cursor.execute(sql.SQL('lock table only {} in access share mode').format(bronze_table(self.source)))
        self.bronze = few_days.rows(self.cursor, self.source, self.window)
        late = LateColumns(self.cursor, self.source) if self.values else None
        stored = intact.rows(
            self.cursor, self.source, self.bronze, self.settings.timezone, late, is_corrected=self.is_corrected()
        )
        if self.equal:
            for rows in self.equal.find(self.cursor, stored, self.days('_partition_date')):
                self._copy(rows)
        sums = ''.join(f', sum("{m.name}") as "{m.name}"' for m in self.measures)
        older = f'{self.with_superseded} and is_superseded'
        self.cursor.execute(
            f'create temp table superseded as select day, count(*) as rows{sums} from fresh where {older} group by day;'
            f' delete from fresh where {older}; analyze fresh'
        )
        if late:
            late.as_stored('fresh')
        self.cursor.execute(
            sql.SQL(
                'create temp table versions as with {versions}'
                ' select v.*, case'
                # Loaded when its file might hold it: a setting says less now, so nothing that counts delivers it.
                "     when is_outside then 'outside'"
                "     when stored._hashrow is null then 'not_loaded'"
                "     when is_gone then 'other'"
                "     when stored.is_intact and {same} then 'bronze'"
                "     when stored.is_written then 'other'"
                "     else 'suspect'"
                ' end as place'
                ' from v left join {stored} as stored using (_hashrow)'
            ).format(
                versions=versions(list(self.values), [measure.name for measure in self.further], LINE_BITS),
                same=self._same('stored'),
                stored=stored,
            )
        )
        self.cursor.execute(
            'analyze versions; create temp table behind as select _hashrow, at from ('
            f'    select _hashrow, at, min(at) over (partition by _hashrow, at >> {LINE_BITS}) < at as is_behind'
            f'    from fresh where {bool(self.values)}'
            "    and _hashrow in (select _hashrow from versions where place <> 'bronze')"
            ') as placed where is_behind; analyze behind'  # bronze has one version of a row
        )
        self._find_elsewhere()

    def _find_elsewhere(self) -> None:
        """Place the versions that bronze does not hold as they are."""
        few_days.find_moved(self.cursor, self.source, self.window)
        if self.values:
            self.cursor.execute(
                sql.SQL(
                    "update versions as v set place = 'conflict' from {} as further"
                    " where place in ('not_loaded', 'other', 'suspect') and further._hashrow = v._hashrow and {}"
                ).format(conflicts_table(self.source), self._same('further'))
            )
        # The registry has the numbers that count: those of the first version, unless restatements have come to count.
        self.cursor.execute(
            sql.SQL(
                "update versions as v set place = case place when 'not_loaded' then 'lost' else 'changed' end"
                ' from {} as known'
                " where place in ('not_loaded', 'suspect') and known._hashrow = v._hashrow and ({} or {})"
            ).format(registry(self.source), self._same('known'), sql.Literal(self.is_restated()))
        )
        self.cursor.execute("update versions set place = 'not_loaded' where place in ('other', 'suspect')")

    def is_restated(self) -> bool:
        """Whether newer versions may have come to count instead of the first ones."""
        if self.source.applies_restatements:
            return True
        return bool(self.source.version_columns) and self.is_corrected()

    def is_corrected(self) -> bool:
        """Whether anything ever was: as long as it was not, nobody needs to look who counts."""
        if not self.source.may_be_corrected:
            return False
        self.cursor.execute(sql.SQL('select exists (select from {})').format(corrections_table(self.source)))
        return bool(self.cursor.fetchone()[0])

    def delivered(self) -> Iterator[Count]:
        """All rows of the files (``read``), and the versions in their places with the rows that repeat them (``duplicate``).

        Both are counted for themselves, so that a row in two places or in none shows.
        """
        if self.equal:
            yield from self.equal.delivered()
        sums = ''.join(f', sum("{m.name}")' for m in self.measures)
        self.cursor.execute(f'select day, count(*){sums} from fresh group by day')
        for day, rows, *amounts in self.cursor.fetchall():
            yield Count(day, 'read', rows, tuple(amounts))
        self.cursor.execute('table superseded')
        for day, rows, *amounts in self.cursor.fetchall():
            for place in ('read', 'superseded'):
                yield Count(day, place, rows, tuple(amounts))
        sums = ''.join(f', sum("{m.name}"), sum("{m.name}" * (copies - 1))' for m in self.measures)
        self.cursor.execute(f'select day, place, count(*), sum(copies - 1){sums} from versions group by day, place')
        for day, place, rows, copies, *amounts in self.cursor.fetchall():
            yield Count(day, place, rows, tuple(amounts[::2]))
            yield Count(day, 'duplicate', int(copies), tuple(amounts[1::2]))

    def same_file(self) -> Iterator[Count]:
        """Of the duplicate and the conflicting rows, those in the file of the row they repeat or contradict."""
        if self.equal:
            yield from self.equal.same_file()
        alike = ''.join(f' and fresh."{name}" is not distinct from versions."{name}"' for name in self.values)
        self.cursor.execute(
            f"""
            with files as (
                select versions._hashrow, versions.at, min(versions.day) as day, count(*) as copies,
                    count(distinct fresh.at >> {LINE_BITS}) as files
                from versions inner join fresh on versions._hashrow = fresh._hashrow{alike}
                where versions.copies > 1
                group by versions._hashrow, versions.at
            )
            select day, 'duplicate_same_file', sum(copies - files)::bigint from files group by day
            union all
            select v.day, 'conflict_same_file', count(*)
            from versions as v
            where place = 'conflict' and {SAME_FILE}
            group by v.day
            """
        )
        for day, place, rows in self.cursor.fetchall():
            yield Count(day, place, rows, ())

    def waiting(self) -> Iterator[Count]:
        """Of the conflicting rows, those that wait for a decision (``waiting``): not what somebody has accepted."""
        if not self.values:
            return
        self.cursor.execute(
            sql.SQL(
                'select v.day, count(*) {} from versions as v'
                ' inner join {} as further on further._hashrow = v._hashrow and {}'
                " where place = 'conflict' and accepted_at is null group by v.day"
            ).format(
                sql.SQL(''.join(f', sum(v."{m.name}")' for m in self.measures)),
                conflicts_table(self.source),
                self._same('further'),
            )
        )
        for day, rows, *amounts in self.cursor.fetchall():
            yield Count(day, 'waiting', rows, tuple(amounts))

    def rejects(self, money: str | None) -> Iterator[Count]:
        """The files' rejected rows, with what they hold in the column ``money``, as far as it can be read."""
        self.cursor.execute(
            """
            with told as (
                select
                    fresh.day,
                    case
                        when known.reject_id is not null then 'rejected'
                        when is_outside then 'outside'
                        else 'not_loaded'
                    end as place,
                    ops.readable_money(fresh.reject::jsonb #>> array['row', %s]) as amount
                from fresh_rejects as fresh
                left join bronze.rejects as known
                    on known.source = %s and known.resolved_at is null
                    and known.reject_id = md5(concat_ws(e'\\x1f', fresh.file, fresh.line, fresh.reject))::uuid
            )
            select day, place, count(*), sum(amount) from told group by day, place
            """,
            (money, self.source.name),
        )
        for day, place, rows, amount in self.cursor.fetchall():
            yield Count(day, place, rows, (amount,))

    def gold(self) -> Iterator[Count]:
        """What the mart says (``gold``), and what the joined view says (``summary``)."""
        if self.mart is None:
            return
        sums = ', '.join(f'sum({m.name})' for m in self.measures)
        tables = [('gold', self.mart.table, self.mart.day.name)]
        self.cursor.execute('select to_regclass(%s) is not null', (DAILY_SUMMARY.table,))
        if self.cursor.fetchone()[0] and self.mart.name in DAILY_SUMMARY.marts:
            tables.append(('summary', DAILY_SUMMARY.table, DAILY_SUMMARY.day.name))
        for place, table, day_column in tables:
            self.cursor.execute(
                sql.SQL('select {day}, {sums} from {table} where {days} group by 1').format(
                    day=sql.Identifier(day_column), sums=sql.SQL(sums), table=sql.SQL(table), days=self.days(day_column)
                )
            )
            for day, *amounts in self.cursor.fetchall():
                yield Count(day, place, 0, tuple(amounts))

    def close(self) -> None:
        """Drop what was put in; what was kept for the view is committed."""
        self.cursor.execute('drop table fresh, fresh_rejects, versions, superseded, behind')
        self.cursor.close()
        self.connection.commit()

    def days(self, column: str) -> sql.Composable:
        """The condition that a day column is in the window; rows without a day always are."""
        if self.window is None:
            return sql.SQL('true')
        return sql.SQL('coalesce({} between {} and {}, true)').format(
            sql.Identifier(column), sql.Literal(self.window.start), sql.Literal(self.window.end)
        )

    def _same(self, alias: str) -> sql.Composable:
        """The condition that another table's row has the values of the version ``v``."""
        pairs = [
            sql.SQL('{0}.{1} is not distinct from v.{1}').format(sql.SQL(alias), sql.Identifier(name))
            for name in self.values
        ]
        return sql.SQL(' and ').join([sql.SQL('true'), *pairs])


def _at() -> pl.Expr:
    return (pl.col('_number').cast(pl.Int64) * (1 << LINE_BITS) + pl.col('_line')).alias('at')
