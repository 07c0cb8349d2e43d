"""Reconciliation: every row and every cent of the source files, found again in bronze and in gold, or missed by name.

The files are read afresh, slice by slice, and hashed as a load hashes them; what they hold goes into temporary tables
of the warehouse, and set-based joins say where each row is. Memory follows the slice, never the file or the history.
The ledger is not summed up here: in a re-run, a copy of a known row counts as known, so its counts are those of a load,
not of the files. What the ledger does know is which load looked at which day and file, and that is what it is asked.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from kly_mage.checks.reconciliation import findings
from kly_mage.checks.reconciliation.model import DAMAGED, MISSING, Causes, Line, Report
from kly_mage.common.errors import LandingError
from kly_mage.common.settings import UTC, Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, Sum, mart_of
from kly_mage.landing import csv as landing_csv
from kly_mage.landing import files as landing
from kly_mage.landing.files import LandingFile
from kly_mage.loads.progress import Step, reading, silent
from kly_mage.rows import measures as read
from kly_mage.rows import rowhash
from kly_mage.rows.frames import Frames
from kly_mage.warehouse.postgres import measures as stored
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.ddl import bronze_table, conflicts_table, ensure_schema, registry, table_columns
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

_LINE_BITS = 40
_IN_NO_FILE = (
    "not exists (select from versions where versions._hashrow = stored._hashrow and place in ('bronze', 'changed'))"
)


def reconcile(
    settings: Settings,
    sources: Iterable[str] = tuple(SOURCES),
    window: Window | None = None,
    progress: Step = silent,
) -> Report:
    """Read the files again and find every row of them in the warehouse; leaves the result in ``ops.file_checks``.

    Args:
        settings: with a host (``database.server``).
        sources: their names.
        window: only rows of these days, and only the files a load of these days looks at; None for everything.
        progress: is told how many bytes of a source's files are read.
    """
    ensure_schema(settings)
    report = Report(window, datetime.now(UTC), sources=[name for name in SOURCES if name in set(sources)])
    with connect(settings) as connection:
        with connection.cursor() as cursor:  # one at a time, until the connection ends: both would leave their counts
            cursor.execute("select pg_advisory_lock(hashtext('kly_mage reconcile'))")
        for name in report.sources:
            _Check(connection, settings, SOURCES[name], report, progress).run()
        with connection.cursor() as cursor:
            _add_facts(cursor, report)
            _add_days(cursor, report)
    report.lines.sort(key=lambda line: (report.sources.index(line.source), line.day is None, line.day or date.min))
    report.findings = findings.find(report)
    return report


class _Check:
    """The reconciliation of one source."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        source: Source,
        report: Report,
        progress: Step,
    ) -> None:
        self.connection, self.settings, self.source = connection, settings, source
        self.report, self.progress, self.window = report, progress, report.window
        self.causes = report.causes[source.name] = Causes(source.name)
        self.mart = mart_of(source.name)
        self.measures = self.mart.additive if self.mart else ()
        self.money = self.mart.money if self.mart else None
        self.lines: dict[date | None, Line] = {}
        # What is kept of a row: the columns the hash leaves out, and the measures that are not among them.
        self.values = {column.name: POSTGRES_TYPES[column.kind] for column in source.value_columns}
        self.further = [measure for measure in self.measures if measure.name not in self.values]

    def run(self) -> None:
        """Fill in the report's lines and causes of this source."""
        files = self._files()
        with self.connection.cursor() as cursor:
            self._tables(cursor)
            self._read(cursor, files)
            cursor.execute('analyze fresh')
            self.connection.commit()
            # One snapshot for all that follows: a load that ends meanwhile is not seen by halves.
            cursor.execute('set transaction isolation level repeatable read')
            steps: list[Callable[[Cursor], None]] = [
                self._place,
                self._count_rows,
                self._count_rejects,
                self._count_stored,
                self._count_gold,
                lambda cursor: self._explain(cursor, files),
                lambda cursor: self._keep(cursor, files),
            ]
            for done, step in enumerate(steps):
                self.progress(f'comparing {self.source.name}', done, len(steps))
                step(cursor)
            self.progress(f'comparing {self.source.name}', len(steps), len(steps), told=self._told())
            cursor.execute('drop table fresh, fresh_rejects, versions')
        self.connection.commit()
        self.report.lines += self.lines.values()

    def _told(self) -> str:
        rows = sum(line.rows.get('read', 0) for line in self.lines.values())
        return f'{rows:,} rows of {len(self.lines):,} days'

    def line(self, day: date | None) -> Line:
        """The line of a day."""
        if day not in self.lines:
            self.lines[day] = Line(self.source.name, day, sums={measure.name: {} for measure in self.measures})
        return self.lines[day]

    def _files(self) -> list[LandingFile]:
        try:
            files = landing.find_files(self.source, self.settings.data_dir, self.settings.timezone)
        except LandingError as error:
            self.causes.unreadable.append(str(error))
            return []
        if self.window and not self.source.any_day:
            return landing.files_for(files, self.window, self.settings.late_days)
        return files

    # --- reading -------------------------------------------------------------------------------------------------------

    def _tables(self, cursor: Cursor) -> None:
        kinds = self.values | {measure.name: stored.type_per_row(measure) for measure in self.further}
        columns = ''.join(f', "{name}" {kind}' for name, kind in kinds.items())
        cursor.execute(
            # at: the place in the order of delivery, number of the file and line in one number
            f'create temp table fresh (_hashrow uuid, day date, at bigint, is_outside boolean, undeclared text{columns});'
            'create temp table fresh_rejects (at bigint, file text, line bigint, reject text, day date, is_outside boolean)'
        )

    def _read(self, cursor: Cursor, files: list[LandingFile]) -> None:
        """All rows of the files into the temporary tables."""
        frames = reading(Frames(lambda: self._frames(files)), self.progress, f'reading {self.source.name}', files)
        for frame in frames.ahead():
            number = int(frame['_number'][0])
            rejected = frame.filter(pl.col('_reject').is_not_null())
            rows = frame.filter(pl.col('_reject').is_null()) if rejected.height else frame
            at = (pl.col('_number').cast(pl.Int64) * (1 << _LINE_BITS) + pl.col('_line')).alias('at')
            if rows.height:
                named = rows.select(
                    rowhash.stored(rows['_hashrow']),
                    pl.col('_partition_date').alias('day'),
                    at,
                    pl.col('_outside').alias('is_outside'),
                    *self._undeclared(rows),
                    *(pl.col(name) for name in self.values),
                    *(read.per_row(measure).alias(measure.name) for measure in self.further),
                )
                copy(cursor, named, 'fresh ({})'.format(', '.join(f'"{name}"' for name in named.columns)))
            if rejected.height:
                named = rejected.select(
                    at,
                    pl.col('_file').alias('file'),
                    pl.col('_line').alias('line'),
                    pl.col('_reject').alias('reject'),
                    pl.coalesce('_partition_date', pl.lit(files[number].day, pl.Date)).alias('day'),
                    pl.col('_outside').alias('is_outside'),
                )
                copy(cursor, named, 'fresh_rejects (at, file, line, reject, day, is_outside)')

    def _frames(self, files: list[LandingFile]) -> Iterator[pl.DataFrame]:
        """Hashed rows of the days asked for, with the number of their file; a file that breaks off is noted."""
        for number, file in enumerate(files):
            frames = landing_csv.read(
                self.source, [file], None, timezone=self.settings.timezone, late_days=self.settings.late_days
            )
            try:
                for frame in frames:
                    rows = self._within(frame, file)
                    if rows.height:
                        rows = rows.with_columns(pl.lit(number, pl.Int32).alias('_number'))
                        yield rowhash.add_hashrow(rows, self.source)
            except LandingError as error:
                self.causes.unreadable.append(str(error))

    def _within(self, frame: pl.DataFrame, file: LandingFile) -> pl.DataFrame:
        """The rows of the days asked for; ``_outside`` marks those that no load takes from this file."""
        day, own = pl.col('_partition_date'), file.days(self.settings.late_days)
        outside = pl.lit(False)
        if own and not self.source.any_day:
            outside = ~day.is_between(own.start, own.end).fill_null(True)
        frame = frame.with_columns(outside.alias('_outside'))
        if self.window is None:
            return frame
        # A row without a readable day goes with its file, and with any day if the file has none.
        told = pl.coalesce(day, pl.lit(None if self.source.any_day else file.day, pl.Date))
        return frame.filter(told.is_between(self.window.start, self.window.end).fill_null(True))

    def _undeclared(self, rows: pl.DataFrame) -> list[pl.Expr]:
        """What the file says beyond the declaration: it may tell conflicting rows apart."""
        if not self.values:
            return []
        names = [name for name in rows.columns if name not in self.source.names and not name.startswith('_')]
        if not names:
            return []
        return [pl.struct(names).struct.json_encode().alias('undeclared')]

    # --- finding -------------------------------------------------------------------------------------------------------

    def _place(self, cursor: Cursor) -> None:
        """Find each distinct version of a row in bronze, the registry and the conflicts table."""
        names = [sql.Identifier(name) for name in self.values]

        def same(alias: str) -> sql.Composable:
            pairs = [sql.SQL('{0}.{1} is not distinct from v.{1}').format(sql.SQL(alias), name) for name in names]
            return sql.SQL(' and ').join([sql.SQL('true'), *pairs])

        cursor.execute(
            sql.SQL(
                'create temp table versions as'
                # A row that is as its load wrote it has that load's transaction, which the ledger has too; only others are
                # hashed again, which costs more than all the rest. (After a restore from a dump, that is all of them.)
                ' with written as ('
                '     select load_id, (array_agg(xmin))[1] as by from ops.load_days group by load_id'
                ' ), v as ('
                '     select _hashrow, min(day) as day, count(*) as copies, bool_and(is_outside) as is_outside,'
                '         min(at) as at {values} {further}'
                '     from fresh group by _hashrow {values}'
                ' )'
                ' select v.*, case'
                "     when stored._hashrow is null then 'not_loaded'"
                "     when stored.is_intact and {same} then 'bronze'"
                "     when stored.is_written then 'other'"
                "     else 'suspect'"
                ' end as place'
                ' from v left join ('
                '     select stored._hashrow {stored_values}, coalesce(stored.xmin = written.by, false) as is_written,'
                '     coalesce(stored.xmin = written.by, false) or ('
                '         {hash} = _hashrow'
                '         and _partition_date is not distinct from ({day} at time zone {zone})::date'
                '     ) as is_intact'
                '     from {bronze} as stored left join written on stored._load_id = written.load_id'
                ' ) as stored using (_hashrow)'
            ).format(
                values=sql.SQL('').join(sql.SQL(', {}').format(name) for name in names),
                stored_values=sql.SQL('').join(sql.SQL(', stored.{}').format(name) for name in names),
                further=sql.SQL('').join(sql.SQL(', min({0}) as {0}').format(sql.Identifier(m.name)) for m in self.further),
                same=same('stored'),
                hash=sql.SQL(rowhash.sql_hashrow(self.source, table_columns(cursor, self.source))),
                day=sql.Identifier(self.source.day_column),
                zone=sql.Literal(self.settings.timezone),
                bronze=bronze_table(self.source),
            )
        )
        cursor.execute('analyze versions')
        if self.values:
            conflicting = sql.SQL(
                "update versions as v set place = 'conflict' from {} as further"
                " where place in ('not_loaded', 'other', 'suspect') and further._hashrow = v._hashrow and {}"
            )
            cursor.execute(conflicting.format(conflicts_table(self.source), same('further')))
        # The registry has the numbers that count: those of the first version, unless restatements have come to count.
        loaded = sql.SQL(
            "update versions as v set place = case place when 'not_loaded' then 'lost' else 'changed' end from {} as known"
            " where place in ('not_loaded', 'suspect') and known._hashrow = v._hashrow and ({} or {})"
        )
        restated = sql.Literal(self._is_restated(cursor))
        cursor.execute(loaded.format(registry(self.source), same('known'), restated))
        cursor.execute(
            "update versions set place = case when is_outside then 'outside' else 'not_loaded' end"
            " where place in ('not_loaded', 'other', 'suspect')"
        )

    def _is_restated(self, cursor: Cursor) -> bool:
        """Whether newer versions have come to count instead of the first ones (``restatements: apply``)."""
        cursor.execute('select to_regclass(%s) is not null', (f'bronze.{self.source.name}_restatements',))
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(sql.SQL('select exists (select from bronze.{})').format(self._restatements()))
        return bool(cursor.fetchone()[0])

    def _restatements(self) -> sql.Identifier:
        return sql.Identifier(f'{self.source.name}_restatements')

    def _count_rows(self, cursor: Cursor) -> None:
        # Both are counted for themselves, so that a row in two places or in none shows.
        sums = ''.join(f', sum("{m.name}")' for m in self.measures)
        cursor.execute(f'select day, count(*){sums} from fresh group by day')
        for day, rows, *amounts in cursor.fetchall():
            self._add(day, 'read', rows, amounts)
        sums = ''.join(f', sum("{m.name}"), sum("{m.name}" * (copies - 1))' for m in self.measures)
        cursor.execute(f'select day, place, count(*), sum(copies - 1){sums} from versions group by day, place')
        for day, place, rows, equal, *amounts in cursor.fetchall():
            self._add(day, place, rows, amounts[::2])
            self._add(day, 'duplicate', int(equal), amounts[1::2])
        alike = ''.join(f' and fresh."{name}" is not distinct from versions."{name}"' for name in self.values)
        cursor.execute(
            f"""
            with files as (
                select versions._hashrow, versions.at, min(versions.day) as day, count(*) as copies,
                    count(distinct fresh.at >> {_LINE_BITS}) as files
                from versions inner join fresh on versions._hashrow = fresh._hashrow{alike}
                where versions.copies > 1
                group by versions._hashrow, versions.at
            )
            select day, sum(copies - files) from files group by day
            """
        )
        for day, rows in cursor.fetchall():
            self.line(day).count('duplicate_same_file', int(rows))
        cursor.execute(
            f"""
            select v.day, count(*)
            from versions as v
            where place = 'conflict' and exists (
                select from versions as other
                where other._hashrow = v._hashrow and other.at < v.at and other.at >> {_LINE_BITS} = v.at >> {_LINE_BITS}
            )
            group by v.day
            """
        )
        for day, rows in cursor.fetchall():
            self.line(day).count('conflict_same_file', rows)

    def _add(self, day: date | None, place: str, rows: int, amounts: Iterable[Decimal | None]) -> None:
        line = self.line(day)
        line.count(place, rows)
        for measure, amount in zip(self.measures, amounts, strict=True):
            line.add(measure.name, place, amount)

    def _count_rejects(self, cursor: Cursor) -> None:
        cursor.execute(
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
            (self.money, self.source.name),
        )
        for day, place, rows, amount in cursor.fetchall():
            line = self.line(day)
            for name in ('read', place):
                line.count(name, rows)
                if self.money:
                    line.add(self.money, name, amount)

    def _count_stored(self, cursor: Cursor) -> None:
        """What bronze holds by day, and what of it no file holds."""
        self._count_bronze(cursor, 'stored', 'true')
        found = sum(line.rows.get(place, 0) for line in self.lines.values() for place in ('bronze', 'changed'))
        if found != sum(line.rows.get('stored', 0) for line in self.lines.values()):
            self._count_bronze(cursor, 'in_no_file', _IN_NO_FILE)

    def _count_bronze(self, cursor: Cursor, place: str, condition: str) -> None:
        sums = sql.SQL('').join(sql.SQL(', sum({})').format(stored.per_row(m)) for m in self.measures)
        cursor.execute(
            sql.SQL('select _partition_date, count(*){} from {} as stored where {} and {} group by 1').format(
                sums, bronze_table(self.source), sql.SQL(condition), self._days('_partition_date')
            )
        )
        for day, rows, *amounts in cursor.fetchall():
            self._add(day, place, rows, amounts)

    def _count_gold(self, cursor: Cursor) -> None:
        if self.mart is None:
            return
        sums = ', '.join(f'sum({m.name})' for m in self.measures)
        tables = [('gold', self.mart.table, self.mart.day.name)]
        cursor.execute('select to_regclass(%s) is not null', (DAILY_SUMMARY.table,))
        if cursor.fetchone()[0] and self.mart.name in DAILY_SUMMARY.marts:
            tables.append(('summary', DAILY_SUMMARY.table, DAILY_SUMMARY.day))
        for place, table, day_column in tables:
            cursor.execute(
                sql.SQL('select {day}, {sums} from {table} where {days} group by 1').format(
                    day=sql.Identifier(day_column), sums=sql.SQL(sums), table=sql.SQL(table), days=self._days(day_column)
                )
            )
            for day, *amounts in cursor.fetchall():
                if day in self.lines or any(amounts):
                    self._add(day, place, 0, amounts)

        if self._is_restated(cursor):
            changes = (
                f'sum("{m.of.column}" - "counted_{m.of.column}")' if isinstance(m.of, Sum) else 'null' for m in self.measures
            )
            cursor.execute(
                sql.SQL('select _partition_date, {} from bronze.{} where {} group by 1').format(
                    sql.SQL(', '.join(changes)), self._restatements(), self._days('_partition_date')
                )
            )
            for day, *amounts in cursor.fetchall():
                self._add(day, 'applied', 0, amounts)

    def _days(self, column: str) -> sql.Composable:
        if self.window is None:
            return sql.SQL('true')
        return sql.SQL('coalesce({} between {} and {}, true)').format(
            sql.Identifier(column), sql.Literal(self.window.start), sql.Literal(self.window.end)
        )

    # --- explaining ----------------------------------------------------------------------------------------------------

    def _explain(self, cursor: Cursor, files: list[LandingFile]) -> None:
        """What the findings say beyond the counts."""
        causes, name = self.causes, self.source.name
        cursor.execute(
            "select distinct day::date from ops.loads, generate_series(start_day, end_day, interval '1 day') as day"
            " where source = %s and status = 'done' and end_day - start_day < 36500",
            (name,),
        )
        causes.covered = {day for (day,) in cursor.fetchall()}
        cursor.execute(
            f"""
            with missing as (
                select place, at, day from versions where place in ('not_loaded', 'outside')
                union all
                select case when is_outside then 'outside' else 'not_loaded' end, at, day from fresh_rejects as fresh
                where not exists (
                    select from bronze.rejects as known where known.source = %s and known.resolved_at is null
                    and known.reject_id = md5(concat_ws(e'\\x1f', fresh.file, fresh.line, fresh.reject))::uuid
                )
            )
            select place, at >> {_LINE_BITS}, count(*), min(day), max(day), min(at) & {(1 << _LINE_BITS) - 1}
            from missing group by 1, 2 order by 2
            """,
            (name,),
        )
        for place, number, rows, first, last, line in cursor.fetchall():
            file = files[number]
            if place == 'not_loaded':
                causes.not_loaded.append((file.name, file.day, rows, first, last))
            elif file.day:
                causes.outside.append((file.name, file.day, rows, first, last, line))
        cursor.execute(
            f'select place, day, at >> {_LINE_BITS}, at & {(1 << _LINE_BITS) - 1}, _hashrow::text from versions'
            f" where place in ('lost', 'changed') order by day, at limit {DAMAGED}"
        )
        for place, day, number, line, row in cursor.fetchall():
            causes.damaged.setdefault(place, []).append((day, files[number].name, line, row))
        if any(line.rows.get('in_no_file') for line in self.lines.values()):
            cursor.execute(
                sql.SQL(
                    'select _partition_date, _hashrow::text, exists ('
                    '     select from {} as known where known._hashrow = stored._hashrow'
                    ' ) from {} as stored where {} and {} order by 1 limit {}'
                ).format(
                    registry(self.source),
                    bronze_table(self.source),
                    self._days('_partition_date'),
                    sql.SQL(_IN_NO_FILE),
                    sql.Literal(DAMAGED),
                )
            )
            for day, row, is_registered in cursor.fetchall():
                causes.damaged.setdefault('in_no_file', []).append((day, None, None, row))
                if not is_registered:
                    causes.damaged.setdefault('unregistered', []).append((day, None, None, row))
        self._explain_files(cursor, files)
        if self.mart:
            tables = [bronze_table(self.source)]
            if self._is_restated(cursor):
                tables.append(sql.SQL('bronze.{}').format(self._restatements()))
            for table in tables:
                cursor.execute(
                    sql.SQL(
                        'select count(*) from {} where _updated_at > (select watermark from ops.watermarks where mart = %s)'
                    ).format(table),
                    (self.mart.table,),
                )
                causes.uncounted += cursor.fetchone()[0]
        cursor.execute(
            sql.SQL(
                'select count(*) from bronze.rejects as known where source = %s and resolved_at is null'
                ' and file = any(%s) and {} and not exists ('
                '     select from fresh_rejects as fresh where fresh.file = known.file and fresh.line = known.line'
                "     and md5(concat_ws(e'\\x1f', fresh.file, fresh.line, fresh.reject))::uuid = known.reject_id"
                ' )'
            ).format(sql.SQL('day is not null and {}').format(self._days('day')) if self.window else sql.SQL('true')),
            (name, [file.name for file in files]),
        )
        causes.stale_rejects = cursor.fetchone()[0]
        self._tell_apart(cursor)

    def _explain_files(self, cursor: Cursor, files: list[LandingFile]) -> None:
        cursor.execute('select file, size, modified_at from ops.files where source = %s', (self.source.name,))
        seen = {file: (size, modified) for file, size, modified in cursor.fetchall()}
        for file in files:
            if file.name in seen and seen[file.name] != (file.size, file.modified_at):
                self.causes.changed.append((file.name, file.day, seen[file.name][0], file.size))
        for name in sorted(seen.keys() - {file.name for file in files}):
            if not (self.settings.data_dir / name).exists():
                day = day_of_file(name)
                near = self.window is None or (
                    day and self.window.start <= day and (day - self.window.end).days <= self.settings.late_days
                )
                if near:
                    self.causes.gone.append((name, day))

    def _tell_apart(self, cursor: Cursor) -> None:
        """Find the columns in which rows of one file and one key differ: these are no restatements but finer rows."""
        words = [column.name for column in self.source.value_columns if column.kind in ('text', 'id')]
        if not any(line.rows.get('conflict_same_file') for line in self.lines.values()):
            return
        named = ''.join(f', \'{name}\', fresh."{name}"' for name in words)
        cursor.execute(
            f"""
            select fresh._hashrow, fresh.at >> {_LINE_BITS}, array_agg(distinct versions.at),
                jsonb_agg(coalesce(fresh.undeclared, '{{}}')::jsonb || jsonb_build_object('_at', versions.at{named}))
            from versions inner join fresh using (_hashrow)
            where versions.copies > 0 and fresh._hashrow in (select _hashrow from versions where place = 'conflict')
                {''.join(f' and fresh."{name}" is not distinct from versions."{name}"' for name in self.values)}
            group by 1, 2 having count(distinct versions.at) > 1
            limit 10000
            """
        )
        candidates: set[str] | None = None
        for _, _, _, rows in cursor.fetchall():
            names = {name for row in rows for name in row} - {'_at'}
            apart = set()
            for name in names:
                versions: dict[int, set[Any]] = {}
                for row in rows:
                    versions.setdefault(row['_at'], set()).add(row.get(name))
                seen = [value for values in versions.values() for value in values]
                if len(set(seen)) == len(seen):
                    apart.add(name)
            candidates = apart if candidates is None else candidates & apart
        self.causes.same_file = sorted(candidates or ())

    def _count_late(self, cursor: Cursor, files: list[LandingFile]) -> None:
        """Distinct rows by the days from their own to that of the file that brought them first."""
        cursor.execute(
            f"""
            with first as (
                select {'distinct on (_hashrow)' if self.values else ''} day, at from versions
                where not is_outside and place not in ('not_loaded', 'outside')
                {'order by _hashrow, at' if self.values else ''}
            ),
            files as (
                select number - 1 as number, day from unnest(%s::date[]) with ordinality as file (day, number)
            )
            select first.day, files.day - first.day, count(*)
            from first inner join files on first.at >> {_LINE_BITS} = files.number
            where files.day > first.day group by 1, 2
            """,
            ([file.day for file in files],),
        )
        for day, lag, rows in cursor.fetchall():
            self.line(day).late[lag] = rows

    def _keep(self, cursor: Cursor, files: list[LandingFile]) -> None:
        """Leave the counts for ``gold.reconciliation``."""
        if not self.source.any_day:  # articles may be of any day when they are delivered
            self._count_late(cursor, files)
        cursor.execute(
            sql.SQL('delete from ops.file_checks where source = %s and {}').format(self._days('day')), (self.source.name,)
        )
        rows_kept = []
        for line in self.lines.values():
            money = self.money is not None
            of = line.rows.get
            rows_kept.append(
                {
                    'source': line.source,
                    'day': line.day.isoformat() if line.day else None,
                    'rows_in_files': of('read', 0),
                    'rows_duplicate_same_file': of('duplicate_same_file', 0),
                    'rows_duplicate_later_file': of('duplicate', 0) - of('duplicate_same_file', 0),
                    'rows_conflicting_same_file': of('conflict_same_file', 0),
                    'rows_not_loaded': of('not_loaded', 0),
                    'rows_outside': of('outside', 0),
                    'rows_lost': of('lost', 0),
                    'rows_changed': of('changed', 0),
                    'rows_in_no_file': of('in_no_file', 0),
                    'rows_late': {str(lag): rows for lag, rows in sorted(line.late.items())},
                    'revenue_in_files': str(line.money_in('read')) if money else None,
                    'revenue_in_duplicate_rows': str(line.money_in('duplicate')) if money else None,
                    'revenue_missing': str(line.money_in(*MISSING)) if money else None,
                    'revenue_in_no_file': str(line.money_in('in_no_file')) if money else None,
                    'checked_at': self.report.checked_at.isoformat(),
                }
            )
        cursor.execute(
            'insert into ops.file_checks select * from json_populate_recordset(null::ops.file_checks, %s)'
            ' on conflict (source, day) do nothing',
            (json.dumps(rows_kept),),
        )


def _add_facts(cursor: Cursor, report: Report) -> None:
    cursor.execute('select * from gold.reconciliation where source = any(%s)', (report.sources,))
    names = [column.name for column in cursor.description]
    facts = {(row[0], row[1]): dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
    for line in report.lines:
        line.facts = facts.get((line.source, line.day), {})


def _add_days(cursor: Cursor, report: Report) -> None:
    window = report.window or Window(date.min, date.max)
    cursor.execute(
        """
        select coalesce(ga4.day, gam.day), coalesce(ga4.pageviews, 0), coalesce(ga4.sessions, 0), coalesce(gam.revenue, 0)
        from (
            select event_date as day, sum(pageviews) as pageviews, sum(sessions) as sessions
            from gold.ga4_daily_summary group by event_date
        ) as ga4
        full join (
            select served_date as day, sum(revenue_usd) as revenue from gold.gam_daily_summary group by served_date
        ) as gam on ga4.day = gam.day
        where coalesce(ga4.day, gam.day) between %s and %s
        order by 1
        """,
        (window.start, window.end),
    )
    names = ('pageviews', 'sessions', 'revenue_usd')
    report.days = {day: dict(zip(names, map(Decimal, numbers), strict=True)) for day, *numbers in cursor.fetchall()}


def day_of_file(name: str) -> date | None:
    """The day in the name of a file, which need not be there any more."""
    found = re.search(r'_(\d{8})[^/]*$', name)
    return datetime.strptime(found[1], '%Y%m%d').replace(tzinfo=UTC).date() if found else None
