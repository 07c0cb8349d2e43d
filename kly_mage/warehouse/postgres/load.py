"""Bronze: one load is one transaction that inserts what is new and accounts for every row it read.

How two loads stay out of each other's way, and a refresh behind both:

- A load locks the table ROW EXCLUSIVE before it looks at the clock; a refresh locks it SHARE, so it waits for loads in
  flight and no load can publish rows stamped before a watermark that has moved on (kly_mage/data_exporters/*.sql).
- ``_updated_at`` is the clock after that lock, and beyond every watermark, should the clock have been set back.
- Equal rows have equal days, so loads lock their days: different days run side by side, and a day loaded twice at once
  waits its turn and then finds the rows known. What loads of different days share (rejects without a day, files) they
  write last and in one order, so nobody waits long or in a circle.
- The primary key of the registry stands behind it all: rows that get past the locks end in a unique violation and a
  second try, never in bronze twice.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import RetryableError, RuleError, first_line
from kly_mage.common.settings import UTC, Settings
from kly_mage.common.timer import timer
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.rows import rowhash
from kly_mage.rows.frames import SLICE_ROWS
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.ddl import (
    bronze_table,
    conflicts_table,
    ensure_columns,
    ensure_partitions,
    ensure_schema,
    has_partition,
    registry,
    restatements_table,
    summarize_partitions,
    table_columns,
)
from kly_mage.warehouse.postgres.known import KnownRows
from kly_mage.warehouse.postgres.retry import retrying

logger = logging.getLogger('kly_mage')
LOCKED_DAYS = 400  # a longer load locks the source as a whole: PostgreSQL's table of locks is finite
_DAY_COUNTS = ('rows_duplicate', 'rows_new', 'rows_already_loaded', 'rows_rejected', 'rows_conflicting')


@dataclass
class Counts:
    """What a load did with the rows it read.

    ``rows_read = rows_duplicate + rows_new + rows_already_loaded + rows_rejected + rows_conflicting``; the distinct rows
    are the new, the already loaded and the conflicting ones. ``money_read`` is the sum over the usable rows read, None
    for a source without money.
    """

    rows_read: int = 0
    rows_duplicate: int = 0
    rows_new: int = 0
    rows_already_loaded: int = 0
    rows_rejected: int = 0
    rows_conflicting: int = 0
    money_read: Decimal | None = None
    days: dict[date, dict[str, int]] = field(default_factory=dict)

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
                    of_day = self.days.setdefault(day, dict.fromkeys((*_DAY_COUNTS, 'rows_read'), 0))
                    of_day[name] += count

    def summary(self) -> dict[str, Any]:
        """The totals by their names, as the ledger has them."""
        totals = {name: value for name, value in asdict(self).items() if name != 'days'}
        return totals | {'rows_distinct': self.rows_distinct}


@dataclass(frozen=True)
class Request:
    """What is to be loaded, and who asked for it.

    Attributes:
        source: the source.
        window: the days.
        files: the files the load looks at.
        undeclared: columns of these files that the declaration does not have.
        started_by: the Mage trigger or the command.
        pipeline_run: id of the Mage pipeline run, if there is one.
    """

    source: Source
    window: Window
    files: list[LandingFile]
    undeclared: list[str]
    started_by: str
    pipeline_run: str | None = None


def load(settings: Settings, request: Request, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Insert the rows that are new, quarantine those that cannot be used, and write the ledger: all or nothing.

    Args:
        frames: hashed and distinct (``rowhash``), each with ``_reject``, ``_partition_date``, ``_delivered_at``, ``_file``
            and ``_line``.

    Returns:
        The load's number, source, days and counts.
    """
    source = request.source
    ensure_schema(settings)
    ensure_columns(settings, source, request.undeclared)
    ensure_partitions(settings, source)
    summarize_partitions(settings, source)
    load_id = _start(settings, request)
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            transaction = _Transaction(cursor, source, load_id, request.window)
            for frame in frames:
                for rows in frame.iter_slices(SLICE_ROWS):
                    transaction.insert(rows)
            counts = transaction.finish()
            _finish(cursor, load_id, counts)
            _remember_files(cursor, request, load_id, transaction.files_read)
    except BaseException as error:
        _fail(settings, load_id, error)
        raise
    done = {'load_id': load_id, 'source': source.name, 'days': str(request.window), **counts.summary()}
    logger.info('%s %s: %s', source.name, request.window, done)
    return done


def files_read(settings: Settings, source: Source) -> set[tuple[str, int, datetime]]:
    """Signatures of the files that finished loads have read, in the state they had then."""

    def work() -> set[tuple[str, int, datetime]]:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute('select file, size, modified_at from ops.files where source = %s', (source.name,))
            return set(cursor.fetchall())

    return retrying(work)


def last_day(settings: Settings, source: Source) -> date | None:
    """The last day a finished load of this source was asked for; None before the first.

    A load that was asked for days to come has seen nothing of them: it counts up to the day on which it ran.
    """

    def work() -> date | None:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(
                'select max(least(end_day, (started_at at time zone %s)::date)) from ops.loads'
                " where source = %s and status = 'done'",
                (settings.timezone, source.name),
            )
            day: date | None = cursor.fetchone()[0]
            return day

    return retrying(work)


class _Transaction:
    """The open transaction of one load."""

    def __init__(self, cursor: Cursor, source: Source, load_id: int, window: Window) -> None:
        self.cursor, self.source, self.load_id = cursor, source, load_id
        self.changed = False
        self.files_read: set[tuple[str, datetime]] = set()  # name and state, for a source whose files are read once
        self.counts = Counts(money_read=Decimal(0) if source.money_columns else None)
        self.broken = {rule: 0 for rule in source.rules if not rule.is_query}
        # Look hashes up in the registry's index: the cost then follows the rows at hand, not the history.
        cursor.execute('set local enable_hashjoin = off; set local random_page_cost = 1.1')  # until finish
        cursor.execute(sql.SQL('lock table only {} in row exclusive mode').format(bronze_table(source)))
        days = [f'{source.name} {day}' for day in window]
        # Articles may be in any load: they have one lock for all days.
        if source.any_day or len(days) > LOCKED_DAYS:
            cursor.execute('select pg_advisory_xact_lock(hashtextextended(%s, 0))', (source.name,))
        else:
            cursor.execute('select pg_advisory_xact_lock_shared(hashtextextended(%s, 0))', (source.name,))
            cursor.execute('select pg_advisory_xact_lock(hashtextextended(name, 0)) from unnest(%s) as name', (days,))
        # Beyond the watermark by the load's own number: no two loads then share a stamp, which tells their rows apart.
        cursor.execute(
            "select clock_timestamp(), greatest(clock_timestamp(), max(watermark) + %s * interval '1 microsecond')"
            ' from ops.watermarks where isfinite(watermark)',
            (load_id,),
        )
        self.created_at, self.stamp = cursor.fetchone()
        if not has_partition(cursor, source, self.stamp.astimezone(UTC).date()):
            raise RetryableError(f'no partition of bronze.{source.name} for {self.stamp}: the day has changed meanwhile')
        self.columns = [name for name in table_columns(cursor, source) if name not in _FILLED]
        self.known = KnownRows(cursor, source, sql.Literal(self.stamp))

    def insert(self, frame: pl.DataFrame) -> None:
        """Insert one slice and count it."""
        if self.source.any_day and '_modified_at' in frame.columns:
            self.files_read.update(frame.select('_file', '_modified_at').unique().rows())
        rejected, rows = frame.clear(), frame
        if frame['_reject'].null_count() < frame.height:
            rejected, rows = (frame.filter(kind) for kind in (pl.col('_reject').is_not_null(), pl.col('_reject').is_null()))
        self._reject(rejected)
        self.counts.add('rows_rejected', rejected)
        self.counts.add('rows_duplicate', rows, '_duplicate_rows')
        if not rows.height:
            return
        self._count_money(rows)
        day = pl.col('_hashrow').str.head(8).alias('_utc_day')
        rows = rows.with_columns(day, rowhash.stored(rows['_hashrow']))
        first, further = rows, rows.clear()
        if self.source.value_columns:
            is_first = rows['_hashrow'].is_first_distinct()
            first, further = rows.filter(is_first), rows.filter(~is_first)
        with timer('known?'):
            seen = self.known.find(first)
        new = _without(first, seen['i'])
        self._insert_new(new)
        self._check_rules(new)
        old = self._known(first, seen)
        if further.height:  # the registry knows the first of their key by now; they may differ from it, or be it again
            old = pl.concat([old, self._known(further, self.known.find(further))])
        self.changed |= new.height > 0
        self.counts.add('rows_new', new)
        self.counts.add('rows_duplicate', old.filter('duplicate'))
        self.counts.add('rows_already_loaded', old.filter(~pl.col('duplicate') & ~pl.col('other')))
        if self.source.value_columns:
            self._conflict(old.filter('other').drop('duplicate', 'other'))
        if self.source.applies_restatements:
            self._note_versions(old)
        if self.source.versioned:
            self._delivered_again()

    def _known(self, rows: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
        """The rows that ``seen`` is about, with its ``duplicate`` and ``other``; where nothing differs, just their days."""
        columns = rows.columns if self.source.value_columns else ['_partition_date']
        return rows.select(columns)[seen['i']].with_columns(seen['duplicate'], seen['other'])

    def finish(self) -> Counts:
        """Write what may touch other loads; say that articles have changed: nothing else tells ``gold.daily_summary``."""
        if self.counts.rows_rejected:
            self.cursor.execute(
                'insert into bronze.rejects select * from incoming_rejects order by reject_id'
                # A row that was repaired, and came back broken, waits again.
                ' on conflict (source, reject_id) do update set resolved_at = null where rejects.resolved_at is not null'
            )
        # Rules join all rows of the load, which the planner takes for one: a loop over them would never end. It would also
        # read the whole partition for them.
        self.cursor.execute('set local enable_hashjoin = on; set local enable_nestloop = off')
        self.cursor.execute('set local enable_seqscan = off')
        with timer('rules'):
            self._finish_rules()
        if self.source.applies_restatements:
            self._restate()
        if self.source.versioned and self.changed:
            self.cursor.execute(
                'insert into ops.watermarks (mart, watermark, refreshed_at) values (%s, %s, clock_timestamp())'
                ' on conflict (mart) do update set watermark = excluded.watermark, refreshed_at = excluded.refreshed_at',
                (f'bronze.{self.source.name}', self.stamp),
            )
        return self.counts

    def _check_rules(self, new: pl.DataFrame) -> None:
        """Count the new rows that break a rule; a rule that cannot be decided, for a NULL, is not broken."""
        if new.height and self.broken:
            found = new.select(pl.sql_expr(rule.broken).sum().alias(str(n)) for n, rule in enumerate(self.broken))
            for rule, count in zip(self.broken, found.row(0), strict=True):
                self.broken[rule] += count or 0

    def _finish_rules(self) -> None:
        """Ask the rules that look at other tables, leave the counts, and stop the load if a rule says so."""
        for rule in self.source.rules if self.counts.rows_new else ():
            if rule.is_query:
                query = sql.SQL('with new_rows as (select * from {} where _updated_at = {} and _load_id = {}) {}').format(
                    bronze_table(self.source), sql.Literal(self.stamp), sql.Literal(self.load_id), sql.SQL(rule.broken)
                )
                self.cursor.execute(query)
                self.broken[rule] = self.cursor.fetchone()[0]
        broken = {rule: count for rule, count in self.broken.items() if count}
        stops = [f'{count:,} rows break "{rule.name}"' for rule, count in broken.items() if rule.level == 'stop']
        if stops:
            raise RuleError(
                f'{self.source.name}: {"; ".join(stops)}; nothing of this load was written. Repair the files, or let the '
                f'rule warn in kly_mage/declared/{self.source.name}.py'
            )
        for rule, count in broken.items():
            self.cursor.execute('insert into ops.load_rules values (%s, %s, %s)', (self.load_id, rule.name, count))

    def _count_money(self, rows: pl.DataFrame) -> None:
        """Add the money of these rows, each as often as it was read."""
        for name in self.source.money_columns:
            money = rows.select((pl.col(name) * (pl.col('_duplicate_rows') + 1)).sum()).item()
            self.counts.money_read = (self.counts.money_read or Decimal(0)) + money

    def _insert_new(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        instant = pl.Datetime('us', 'UTC')
        stamped = rows.with_columns(
            pl.lit(self.created_at).cast(instant).alias('_created_at'),
            pl.lit(self.stamp).cast(instant).alias('_updated_at'),
            pl.lit(self.load_id, pl.Int64).alias('_load_id'),
        )
        keys = ['_hashrow', '_updated_at']
        if self.source.versioned or self.source.value_columns:
            keys += ['_delivered_at', *(column.name for column in self.source.value_columns)]
        with timer('registry'):
            self._copy(stamped.select(keys)[rowhash.order(stamped['_hashrow'])], registry(self.source))
        self.known.add(rows)
        own = [name for name in self.columns if name in rows.columns]
        with timer('COPY'):
            self._copy(stamped.select(*own, *_FILLED), bronze_table(self.source))

    def _copy(self, frame: pl.DataFrame, table: sql.Composable) -> None:
        names = sql.SQL(', ').join(map(sql.Identifier, frame.columns))
        copy(self.cursor, frame, sql.SQL('{} ({})').format(table, names).as_string(self.cursor))

    def _conflict(self, rows: pl.DataFrame) -> None:
        """Keep every further version of a row, once, beside the version that counts."""
        self.counts.add('rows_conflicting', rows)
        if not rows.height:
            return
        values = [column.name for column in self.source.value_columns]
        own = ['_hashrow', *self.source.names, '_partition_date', '_delivered_at', '_file', '_line']
        table = conflicts_table(self.source)
        self.cursor.execute(
            sql.SQL('create temp table if not exists versions (like {} including defaults) on commit drop').format(table)
        )
        self.cursor.execute('alter table versions alter _updated_at drop not null, alter _load_id drop not null')
        self._copy(rows.select(own), sql.SQL('versions'))
        self.cursor.execute(
            sql.SQL(
                'insert into {table} ({own}, {counted}, _updated_at, _load_id)'
                ' select {version_own}, {known}, {stamp}, {load_id}'
                ' from versions inner join {registry} as known using (_hashrow)'
                ' order by versions._delivered_at on conflict do nothing; truncate versions'
            ).format(
                table=table,
                own=sql.SQL(', ').join(map(sql.Identifier, own)),
                counted=sql.SQL(', ').join(sql.Identifier(f'counted_{name}') for name in values),
                version_own=sql.SQL(', ').join(sql.Identifier('versions', name) for name in own),
                known=sql.SQL(', ').join(sql.Identifier('known', name) for name in values),
                stamp=sql.Literal(self.stamp),
                load_id=sql.Literal(self.load_id),
                registry=registry(self.source),
            )
        )

    def _note_versions(self, rows: pl.DataFrame) -> None:
        """Put the versions of known rows aside, equal ones too: what was restated and taken back counts again."""
        self.cursor.execute(
            sql.SQL('create temp table if not exists delivered (like {}) on commit drop').format(
                restatements_table(self.source)
            )
        )
        self.cursor.execute('alter table delivered alter _updated_at drop not null, alter _load_id drop not null')
        if rows.height:
            own = ['_hashrow', *self.source.names, '_partition_date', '_delivered_at', '_file', '_line']
            self._copy(rows.select(own), sql.SQL('delivered'))

    def _restate(self) -> None:
        """Let the version of the newest file count, of its rows the first; the marts add the difference, once.

        The files of a day are a minute apart in the order of delivery, so the minute tells the files apart.
        """
        self._note_versions(pl.DataFrame())
        values = [column.name for column in self.source.value_columns]
        own = ['_hashrow', *self.source.names, '_partition_date', '_delivered_at', '_file', '_line']
        self.cursor.execute(
            sql.SQL(
                'with newest as ('
                '  select distinct on (_hashrow) {own} from delivered'
                "  order by _hashrow, date_trunc('minute', _delivered_at) desc, _delivered_at"
                '), later as ('
                '  select {newest_own}, {known_as} from newest inner join {registry} as known using (_hashrow)'
                "  where date_trunc('minute', newest._delivered_at) > date_trunc('minute', known._delivered_at)"
                '), noted as ('
                '  insert into {table} ({own}, {counted}, _updated_at, _load_id)'
                '  select {own}, {counted}, {stamp}, {load_id} from later where ({now}) is distinct from ({counted})'
                ') update {registry} as known set _delivered_at = later._delivered_at, {set} from later'
                ' where known._hashrow = later._hashrow'
            ).format(
                own=sql.SQL(', ').join(map(sql.Identifier, own)),
                newest_own=sql.SQL(', ').join(sql.Identifier('newest', name) for name in own),
                known_as=sql.SQL(', ').join(
                    sql.SQL('{} as {}').format(sql.Identifier('known', name), sql.Identifier(f'counted_{name}'))
                    for name in values
                ),
                registry=registry(self.source),
                table=restatements_table(self.source),
                counted=sql.SQL(', ').join(sql.Identifier(f'counted_{name}') for name in values),
                now=sql.SQL(', ').join(map(sql.Identifier, values)),
                stamp=sql.Literal(self.stamp),
                load_id=sql.Literal(self.load_id),
                set=sql.SQL(', ').join(
                    sql.SQL('{} = {}').format(sql.Identifier(name), sql.Identifier('later', name)) for name in values
                ),
            )
        )

    def _delivered_again(self) -> None:
        """Note that known versions were delivered again, later: what was edited back counts again."""
        self.cursor.execute(
            sql.SQL(
                'update {registry} as known set _delivered_at = incoming._delivered_at from incoming'
                ' where incoming._hashrow = known._hashrow and incoming._delivered_at > known._delivered_at'
            ).format(registry=registry(self.source))
        )
        self.changed |= self.cursor.rowcount > 0

    def _reject(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        told = rows.select('_file', '_line', '_reject', pl.col('_partition_date').cast(pl.String).alias('day')).write_json()
        self.cursor.execute(
            """
            create temp table if not exists incoming_rejects (like bronze.rejects including defaults) on commit drop;
            insert into incoming_rejects (source, reject_id, file, line, column_name, value, reason, row, day, load_id)
            select
                %s,
                md5(concat_ws(e'\\x1f', _file, _line, _reject))::uuid,
                _file,
                _line,
                _reject::jsonb ->> 'column',
                _reject::jsonb ->> 'value',
                _reject::jsonb ->> 'reason',
                _reject::jsonb -> 'row',
                day,
                %s
            from json_to_recordset(%s) as told (_file text, _line bigint, _reject text, day date)
            """,
            (self.source.name, self.load_id, told),
        )


def _without(rows: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """The rows, those at some places left out."""
    if not len(places):
        return rows
    return rows.filter(pl.repeat(True, rows.height, eager=True).scatter(places, False))


_FILLED = ('_partition_date', '_hashrow', '_created_at', '_updated_at', '_load_id')


def _states(files: list[LandingFile]) -> str:
    """The files and what tells their states apart, as the ledger keeps them."""
    return json.dumps([{'file': f.name, 'size': f.size, 'modified_at': f.modified_at.isoformat()} for f in files])


def _start(settings: Settings, request: Request) -> int:
    """Write the ledger's row before the work, in a transaction of its own: a load that dies stays visible."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'insert into ops.loads (source, start_day, end_day, files, started_by, pipeline_run)'
            ' values (%s, %s, %s, %s, %s, %s) returning load_id',
            (
                request.source.name,
                request.window.start,
                request.window.end,
                _states(request.files),
                request.started_by,
                request.pipeline_run,
            ),
        )
        return int(cursor.fetchone()[0])


def _finish(cursor: Cursor, load_id: int, counts: Counts) -> None:
    totals = counts.summary()
    cursor.execute(
        sql.SQL("update ops.loads set status = 'done', finished_at = clock_timestamp(), {} where load_id = {}").format(
            sql.SQL(', ').join(sql.SQL('{} = {}').format(sql.Identifier(k), sql.Literal(v)) for k, v in totals.items()),
            sql.Literal(load_id),
        )
    )
    names = ('rows_read', *_DAY_COUNTS)
    days = [{'day': day.isoformat(), **{name: count[name] for name in names}} for day, count in counts.days.items()]
    cursor.execute(
        sql.SQL(
            'insert into ops.load_days (load_id, day, {names})'
            ' select {load_id}, day, {names} from json_populate_recordset(null::ops.load_days, {days})'
        ).format(
            names=sql.SQL(', ').join(map(sql.Identifier, names)),
            load_id=sql.Literal(load_id),
            days=sql.Literal(json.dumps(days)),
        )
    )


def _remember_files(cursor: Cursor, request: Request, load_id: int, read: set[tuple[str, datetime]]) -> None:
    """Note the state of the files; where a file noted is not read again, only those whose rows this load has had.

    A file may have come or changed since the rows were read: in Mage minutes lie between the loader and the exporter.
    """
    files = [f for f in request.files if not request.source.any_day or (f.name, f.modified_at) in read]
    cursor.execute(
        'insert into ops.files (source, file, size, modified_at, load_id)'
        ' select %s, file, size, modified_at, %s from json_populate_recordset(null::ops.files, %s) order by file'
        ' on conflict (source, file) do update'
        ' set size = excluded.size, modified_at = excluded.modified_at, load_id = excluded.load_id',
        (request.source.name, load_id, _states(files)),
    )


def _fail(settings: Settings, load_id: int, error: BaseException) -> None:
    """Say in the ledger why the load failed; if not even that works, the row stays `running`, which says enough."""
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(
                "update ops.loads set status = 'failed', finished_at = clock_timestamp(), error = %s"
                " where load_id = %s and status = 'running'",  # the connection may have broken after the commit
                (first_line(error), load_id),
            )
    except Exception as second:
        logger.warning('load %s failed, and the ledger cannot be told: %s', load_id, first_line(second))
