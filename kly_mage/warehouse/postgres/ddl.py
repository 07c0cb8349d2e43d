"""Schemas, tables, partitions and columns: made when missing, by however many processes at once."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage import __version__
from kly_mage.common.errors import LimitError, WarehouseError
from kly_mage.common.settings import UTC, Settings
from kly_mage.common.text import printable
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS
from kly_mage.warehouse.postgres import agreed, declarations
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.declarations import MIGRATE
from kly_mage.warehouse.postgres.partitions import warn_if_crowded
from kly_mage.warehouse.postgres.tables import bronze_table, everything, exists, relations, table_columns, text_of
from kly_mage.warehouse.postgres.versions import migrations

if TYPE_CHECKING:
    from kly_mage.warehouse.postgres.gold_checks import Block

logger = logging.getLogger('kly_mage')
MAX_COLUMNS = 1_600  # of a table in PostgreSQL
_LOCK = "select pg_advisory_xact_lock(hashtext('kly_mage schema'))"


def ensure_schema(settings: Settings) -> None:
    """Create or complete everything but partitions; costs one query when there is nothing to do.

    Raises:
        WarehouseError: the database is newer than this code, or was completed for other declarations since; what is to
            be done is left to ``migrate``; tables of bronze or the ledger were dropped; or bronze was loaded with
            another time zone, so its days would not be these days, or with other articles of exported events.
    """
    ddl = everything()
    with connect(settings) as connection, connection.cursor() as cursor:
        found = _state(cursor, ddl)
        if found is None or not found.is_complete(ddl):
            found = _complete(cursor, settings, ddl, None)[0]
    if found.timezone != settings.timezone:
        raise WarehouseError(
            f'this warehouse counts its days in {found.timezone}, not in {settings.timezone}: '
            f'set KLY_TIMEZONE={found.timezone}, or use another database'
        )
    if found.article not in (None, agreed.text(settings)):
        agreed.let_go(settings)


def is_made(settings: Settings) -> bool:
    """Whether the database was ever loaded into; nothing is made to find out."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('ops.settings') is not null")
        return bool(cursor.fetchone()[0])


def migrate(settings: Settings, block: Block) -> list[str]:
    """Bring the database to this code, also where other commands leave that to a person.

    Args:
        block: gives the SQL blocks of the marts, which are built again if bronze changes.

    Returns:
        What was done, one line each.

    Raises:
        WarehouseError: the database is newer than this code, or something stands in the way.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        return _complete(cursor, settings, everything(), block)[1]


@dataclass(frozen=True)
class _State:
    """How far a database is: schema version, declarations it was completed for, what loads agree on, tables it lacks."""

    version: int
    fingerprint: str | None
    timezone: str | None
    article: str | None
    missing: list[str]

    def is_complete(self, ddl: str) -> bool:
        return (self.version, self.fingerprint, self.missing) == (_newest(), _fingerprint(ddl), [])


def _state(cursor: Cursor, ddl: str) -> _State | None:
    """One cheap query; None for a database that is empty or older than ``ops.schema_version``."""
    try:
        # The savepoint keeps the transaction, and with it the lock of whoever asks behind one.
        cursor.execute(
            'savepoint asking; select coalesce((select max(version) from ops.schema_version), 0),'
            ' (select fingerprint from ops.declarations order by number desc limit 1),'
            " (select value from ops.settings where name = 'timezone'),"
            " (select value from ops.settings where name = 'ga4_article'),"
            ' array(select name from unnest(%s) as name where to_regclass(name) is null)',
            (relations(ddl),),
        )
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        cursor.execute('rollback to asking')
        return None
    return _State(*cursor.fetchone())


def _complete(cursor: Cursor, settings: Settings, ddl: str, block: Block | None) -> tuple[_State, list[str]]:
    """Under the lock and in the open transaction: the migrations that are due, then all that is derived.

    Args:
        block: as ``migrate`` has it; None for every other command.
    """
    explicit = block is not None
    cursor.execute(_LOCK)
    found = _state(cursor, ddl)  # another process may have been faster, and load already
    if found is None:
        found = _State(0, None, None, None, [])
    if found.is_complete(ddl):
        return found, []
    _refuse_newer(cursor, found)
    is_new = not exists(cursor, 'ops', 'settings')
    cursor.execute(text_of('set_aside'))
    due = [step for step in migrations() if step.version > found.version]
    for step in due if not is_new else ():
        if step.is_explicit and not explicit:
            raise WarehouseError(f'this database needs "{step.name}", which is not done in passing: {MIGRATE}')
        cursor.execute(step.statements)
    lost = found.missing if found.fingerprint == _fingerprint(ddl) else []  # they were there
    _refuse_lost_rows(lost)
    if found.fingerprint != _fingerprint(ddl) and not explicit:
        _refuse_going_back(cursor, found, ddl)
    done = [f'schema version {step.version}: {step.name}' for step in due if not is_new]
    changes = [] if is_new else declarations.changes(cursor)
    from kly_mage.warehouse.postgres import redeclare  # nearly always the schema is complete, and nobody needs it

    if not changes:
        redeclare.derive(cursor, ddl)
    elif block is None:
        raise WarehouseError(f'{"; ".join(map(str, changes))}: the rows stored have to follow: {MIGRATE}')
    else:
        done += redeclare.carry_through(cursor, changes, ddl, found.timezone or settings.timezone, block)
    declarations.note_rules(cursor)
    _start_again(cursor, lost)
    for step in due:
        cursor.execute('insert into ops.schema_version values (%s, %s, default, %s)', (step.version, step.name, __version__))
    if found.fingerprint != _fingerprint(ddl):
        cursor.execute('delete from ops.declarations where fingerprint = %s', (_fingerprint(ddl),))
        cursor.execute(
            'insert into ops.declarations (fingerprint, applied_by) values (%s, %s)', (_fingerprint(ddl), __version__)
        )
    cursor.execute("insert into ops.settings values ('timezone', %s) on conflict (name) do nothing", (settings.timezone,))
    complete = _state(cursor, ddl)
    if complete is None or not complete.is_complete(ddl):
        raise AssertionError(f'the schema is not what its own statements make: {complete}')
    return complete, done


def _refuse_newer(cursor: Cursor, found: _State) -> None:
    if found.version > _newest():
        cursor.execute('select name, applied_by from ops.schema_version where version = %s', (found.version,))
        name, code = cursor.fetchone()
        raise WarehouseError(
            f'this database has schema version {found.version} ("{name}", by kly_mage {code}), and kly_mage {__version__} '
            f'knows no version beyond {_newest()}: use kly_mage {code} or newer'
        )


def _refuse_going_back(cursor: Cursor, found: _State, ddl: str) -> None:
    """Two checkouts with other declarations must not rewrite each other's tables in turns: the later one stays."""
    if found.fingerprint is None:
        return
    cursor.execute(
        'select later.applied_by, later.applied_at::timestamp(0)::text'
        ' from ops.declarations as own inner join ops.declarations as later on own.number < later.number'
        ' where own.fingerprint = %s order by later.number desc limit 1',
        (_fingerprint(ddl),),
    )
    if later := cursor.fetchone():
        raise WarehouseError(
            f'this database was completed for other declarations since (by kly_mage {later[0]} at {later[1]} UTC): '
            f'run the code that did it, or, to go back to this one, {MIGRATE}'
        )


def _refuse_lost_rows(lost: list[str]) -> None:
    """Bronze, its registries and the ledger hold what nothing else does: made again, empty, they would let rows in twice."""
    if rows := [name for name in lost if not name.startswith('gold.')]:
        raise WarehouseError(
            f'this database has lost {", ".join(rows)}: restore it from a backup, or load the files into a new database'
        )


def _start_again(cursor: Cursor, lost: list[str]) -> None:
    """Gold follows from bronze: a mart that was lost, or its registry, is filled from all of it by the next refresh."""
    for mart in MARTS:
        if not set(mart.tables).isdisjoint(lost):
            cursor.execute(sql.SQL('truncate {}').format(sql.SQL(', ').join(map(sql.SQL, mart.tables))))
            cursor.execute("update ops.watermarks set watermark = '-infinity' where mart = %s", (mart.table,))
    if lost:
        cursor.execute('update ops.watermarks set built_from = null where mart = %s', (DAILY_SUMMARY.table,))
        logger.warning('made again: %s; the next refresh fills it', ', '.join(lost))


def _newest() -> int:
    return max(step.version for step in migrations())


def _fingerprint(ddl: str) -> str:
    return hashlib.sha256(ddl.encode()).hexdigest()


def ensure_columns(settings: Settings, source: Source, undeclared: list[str]) -> None:
    """Add columns that files have and the declaration has not, as text.

    Raises:
        LimitError: with them the table would have more columns than PostgreSQL takes.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        missing = [name for name in undeclared if name not in table_columns(cursor, source)]
        if not missing:
            return
        cursor.execute(_LOCK)
        cursor.execute(  # dropped columns among them: they count until the table is made anew
            'select count(*) from pg_attribute where attrelid = %s::regclass and attnum > 0', (f'bronze.{source.name}',)
        )
        if cursor.fetchone()[0] + len(missing) > MAX_COLUMNS:
            raise LimitError(
                f'bronze.{source.name} would have more than the {MAX_COLUMNS:,} columns PostgreSQL takes: '
                f'{len(missing):,} are new ({printable(", ".join(missing), 80)})'
            )
        for name in missing:
            cursor.execute(
                sql.SQL('alter table {} add column if not exists {} text').format(bronze_table(source), sql.Identifier(name))
            )
            cursor.execute(
                sql.SQL('comment on column {}.{} is {}').format(
                    bronze_table(source), sql.Identifier(name), sql.Literal('Not declared: kept as the files have it.')
                )
            )


def ensure_partitions(settings: Settings, source: Source) -> None:
    """Have the partitions ready for rows stamped from now on.

    A partition is attached, not created in place: that lets loads and readers of the table go on.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('select greatest(clock_timestamp(), max(watermark)) from ops.watermarks where isfinite(watermark)')
        first = cursor.fetchone()[0].astimezone(UTC).date()
        for day in (first, first + timedelta(days=1)):
            if not has_partition(cursor, source, day):
                cursor.execute(_LOCK)
                if not has_partition(cursor, source, day):
                    _attach_partition(cursor, source, day)
                    warn_if_crowded(cursor)


def summarize_partitions(settings: Settings, source: Source) -> None:
    """Bring the BRIN indexes of the latest partitions up to date with the loads so far.

    Pages that an index has not summarized yet are read by whoever looks for new rows: rules and refreshes would read the
    last load again. Autovacuum gets there some time; if it is there just now, it is left to it.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("set local lock_timeout = '20ms'")
        try:
            cursor.execute(
                'select brin_summarize_new_values(index.indexrelid) from ('
                '  select relid from pg_partition_tree(%s) where isleaf order by relid::text collate "C" desc limit 3'
                ') as latest inner join pg_index as index on latest.relid = index.indrelid'
                ' inner join pg_class as kind on kind.oid = index.indexrelid'
                " where kind.relam = (select oid from pg_am where amname = 'brin')",  # people add others
                (f'bronze.{source.name}',),
            )
        except psycopg2.errors.LockNotAvailable:
            logger.debug('%s: the index of new rows is at work elsewhere', source.name)


def has_partition(cursor: Cursor, source: Source, day: date) -> bool:
    """Whether rows stamped on that day (UTC) have a partition."""
    return exists(cursor, 'bronze', _partition(source, day))


def _partition(source: Source, day: date) -> str:
    return f'{source.name}_{day:%Y%m%d}'


def _attach_partition(cursor: Cursor, source: Source, day: date) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    cursor.execute(
        sql.SQL(
            'create table {partition} (like {parent} including defaults including constraints);'
            'comment on table {partition} is {comment};'
            'alter table {parent} attach partition {partition} for values from ({start}) to ({end})'
        ).format(
            partition=sql.SQL('bronze.{}').format(sql.Identifier(_partition(source, day))),
            parent=bronze_table(source),
            comment=sql.Literal(f'Rows of {source.name} ingested on {day} (UTC).'),
            start=sql.Literal(start.isoformat()),
            end=sql.Literal((start + timedelta(days=1)).isoformat()),
        )
    )
