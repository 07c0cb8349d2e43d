"""Schemas, tables, partitions and columns: made when missing, by however many processes at once."""

import hashlib
import logging
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import UTC, Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import MARTS
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.mart_tables import mart_ddl
from kly_mage.warehouse.postgres.reconciliation_view import view_ddl
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

logger = logging.getLogger('kly_mage')
SYSTEM_COLUMNS = {
    '_partition_date': ('date', "Local day of the row's own timestamp; NULL if it has none."),
    '_hashrow': ('uuid not null', "The row's hash over canonical values; its rule is in kly_mage/rows/rowhash.py."),
    '_created_at': ('timestamptz not null', "When the row was inserted, by the server's clock."),
    '_updated_at': (
        'timestamptz not null',
        "Ingestion time: never behind the marts' watermarks, so refreshes go by it.",
    ),
    '_load_id': ('bigint not null', 'The load that inserted the row, see ops.loads.'),
}
_LOCK = "select pg_advisory_xact_lock(hashtext('kly_mage schema'))"


def bronze_table(source: Source) -> sql.Composed:
    """The quoted name of a source's table."""
    return sql.SQL('bronze.{}').format(sql.Identifier(source.name))


def registry(source: Source) -> sql.Composed:
    """The quoted name of the table that says which hashes are in bronze."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_hashrow'))


def conflicts_table(source: Source) -> sql.Composed:
    """The quoted name of the table for rows of a known hash with other numbers."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_conflicts'))


def restatements_table(source: Source) -> sql.Composed:
    """The quoted name of the table of versions that came to count in place of others."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_restatements'))


def ensure_schema(settings: Settings) -> None:
    """Create or complete everything but partitions; costs one query when there is nothing to do.

    Raises:
        WarehouseError: bronze was loaded with another time zone, so its days would not be these days.
    """
    ddl = _ddl()
    fingerprint = hashlib.sha256(ddl.encode()).hexdigest()
    with connect(settings) as connection, connection.cursor() as cursor:
        found = _facts(cursor)
        if found.get('schema') != fingerprint:
            cursor.execute(_LOCK)
            found = _facts(cursor)  # another process may have been faster, and load already
        if found.get('schema') != fingerprint:
            cursor.execute(ddl)
            for name, value in (('schema', fingerprint), ('timezone', settings.timezone)):
                keep = 'update set value = excluded.value' if name == 'schema' else 'nothing'
                cursor.execute(f'insert into ops.settings values (%s, %s) on conflict (name) do {keep}', (name, value))
            found = _facts(cursor)
    if found['timezone'] != settings.timezone:
        raise WarehouseError(
            f'this warehouse counts its days in {found["timezone"]}, not in {settings.timezone}: '
            f'set KLY_TIMEZONE={found["timezone"]}, or use another database'
        )


def ensure_columns(settings: Settings, source: Source, undeclared: list[str]) -> None:
    """Add columns that files have and the declaration has not, as text."""
    with connect(settings) as connection, connection.cursor() as cursor:
        missing = [name for name in undeclared if name not in table_columns(cursor, source)]
        if not missing:
            return
        cursor.execute(_LOCK)
        for name in missing:
            cursor.execute(
                sql.SQL('alter table {} add column if not exists {} text').format(bronze_table(source), sql.Identifier(name))
            )
            cursor.execute(
                sql.SQL('comment on column {}.{} is {}').format(
                    bronze_table(source), sql.Identifier(name), sql.Literal('Not declared: kept as the files have it.')
                )
            )


def table_columns(cursor: Cursor, source: Source) -> list[str]:
    """The columns of a source's bronze table, in its order."""
    cursor.execute(
        'select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum',
        (f'bronze.{source.name}',),
    )
    return [name for (name,) in cursor.fetchall()]


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


def summarize_partitions(settings: Settings, source: Source) -> None:
    """Bring the BRIN indexes of the latest partitions up to date with the loads so far.

    Pages that an index has not summarized yet are read by whoever looks for new rows: rules and refreshes would read the
    last load again. Autovacuum gets there some time; if it is there just now, it is left to it.
    """
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute("set local lock_timeout = '20ms'")
            cursor.execute(
                'select brin_summarize_new_values(index.indexrelid) from ('
                '  select relid from pg_partition_tree(%s) where isleaf order by relid::text collate "C" desc limit 3'
                ') as latest inner join pg_index as index on latest.relid = index.indrelid',
                (f'bronze.{source.name}',),
            )
    except psycopg2.errors.LockNotAvailable:
        logger.debug('%s: the index of new rows is at work elsewhere', source.name)


def _facts(cursor: Cursor) -> dict[str, str]:
    if not _exists(cursor, 'ops', 'settings'):
        return {}
    cursor.execute('select name, value from ops.settings')
    return dict(cursor.fetchall())


def has_partition(cursor: Cursor, source: Source, day: date) -> bool:
    """Whether rows stamped on that day (UTC) have a partition."""
    return _exists(cursor, 'bronze', _partition(source, day))


def _exists(cursor: Cursor, schema: str, table: str) -> bool:
    """Whether a table is there; not with ``to_regclass``, which remembers a no, also over a wait for a lock."""
    cursor.execute(
        'select exists (select from pg_class where relname = %s'
        ' and relnamespace = (select oid from pg_namespace where nspname = %s))',
        (table, schema),
    )
    return bool(cursor.fetchone()[0])


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


def _ddl() -> str:
    """Everything that must stand before the first load, as one text."""
    ops, articles, restatements, file_checks = (
        Path(__file__).with_name(f'{name}.sql').read_text('utf-8')
        for name in ('ops', 'articles', 'restatements', 'file_checks')
    )
    sources, marts = map(_source_ddl, SOURCES.values()), map(mart_ddl, MARTS)
    return '\n'.join([ops, *sources, articles, *marts, restatements, file_checks, view_ddl()])


def _source_ddl(source: Source) -> str:
    table, name = f'bronze.{source.name}', source.name
    columns = [(c.name, POSTGRES_TYPES[c.kind] + (' not null' if c.required else ''), c.description) for c in source.columns]
    columns += [(column, kind, text) for column, (kind, text) in SYSTEM_COLUMNS.items()]
    lines = [
        f'create table if not exists {table} (',
        ',\n'.join(f'    "{column}" {kind}' for column, kind, _ in columns),
        ') partition by range (_updated_at);',
        # A declared column that was added later; NOT NULL cannot be asked of the rows before it.
        *(f'alter table {table} add column if not exists "{c}" {kind.removesuffix(" not null")};' for c, kind, _ in columns),
        # Rows arrive in the order of _updated_at: a BRIN index of a few pages finds the new ones.
        f'create index if not exists {name}_updated_at_idx on {table} using brin (_updated_at) with (autosummarize = on);',
        _comment('table', table, source.grain + ' Append-only; partitioned by day of _updated_at (UTC).'),
        *(_comment('column', f'{table}."{column}"', text) for column, _, text in columns),
    ]
    counted = [(c.name, POSTGRES_TYPES[c.kind], f'{c.description} As the marts count it.') for c in source.value_columns]
    keys = [
        ('_hashrow', 'uuid primary key', 'Hash of a row in bronze.'),
        ('_updated_at', 'timestamptz not null', 'Leads to the row: its _updated_at.'),
    ]
    if source.versioned or counted:
        keys.append(('_delivered_at', 'timestamptz not null', 'When the row was last delivered: day and line of its file.'))
    keys += counted
    lines += [
        f'create table if not exists {table}_hashrow (',
        ',\n'.join(f'    "{column}" {kind}' for column, kind, _ in keys),
        ');',
        _comment('table', f'{table}_hashrow', f'One row per hash in bronze.{name}: makes it unique across partitions.'),
        *(_comment('column', f'{table}_hashrow."{column}"', text) for column, _, text in keys),
    ]
    if counted:
        lines += _conflicts_ddl(source)
    return '\n'.join(lines)


def _conflicts_ddl(source: Source) -> list[str]:
    table, values = f'bronze.{source.name}_conflicts', source.value_columns
    restated = f'bronze.{source.name}_restatements'
    columns = [('_hashrow', 'uuid not null', 'The hash the rows share.')]
    columns += [(c.name, POSTGRES_TYPES[c.kind], f'{c.description} In this version.') for c in source.columns]
    columns += [
        (f'counted_{c.name}', POSTGRES_TYPES[c.kind], f'{c.description} In the version that counts.') for c in values
    ]
    columns += [
        ('_partition_date', 'date', 'Local day of the row.'),
        ('_delivered_at', 'timestamptz not null', 'When this version was delivered: day and line of its file.'),
        ('_file', 'text not null', 'The file it stands in.'),
        ('_line', 'bigint not null', 'The line where it begins, from 1 (the header).'),
        ('_updated_at', 'timestamptz not null', 'Ingestion time.'),
        ('_load_id', 'bigint not null', 'The load that met it first.'),
    ]
    version = ', '.join(f'"{c.name}"' for c in values)
    return [
        f'create table if not exists {table} (',
        ',\n'.join(f'    "{column}" {kind}' for column, kind, _ in columns),
        ');',
        f'create unique index if not exists {source.name}_conflicts_key on {table} (_hashrow, {version})'
        ' nulls not distinct;',
        _comment('table', table, f'One row per further version of a row of bronze.{source.name}: same hash, other numbers.'),
        *(_comment('column', f'{table}."{column}"', text) for column, _, text in columns),
        f'create table if not exists {restated} (like {table});',
        f'create index if not exists {source.name}_restatements_updated_at_idx on {restated} (_updated_at);',
        _comment(
            'table',
            restated,
            f'One row per change of what counts, where restatements apply to bronze.{source.name}: new and old.',
        ),
        *(
            _comment('column', f'{restated}."{column}"', text.replace('that counts', 'that counted until then'))
            for column, _, text in columns
        ),
    ]


def _comment(kind: str, name: str, text: str) -> str:
    escaped = text.replace("'", "''")
    return f"comment on {kind} {name} is '{escaped}';"
