"""The tables: what they are called, and the statements that create them and say what is in them."""

import re
from functools import cache, lru_cache
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared import SOURCES
from kly_mage.declared.base import UNDECLARED, Column, Source
from kly_mage.declared.marts import GAM_DAILY_SUMMARY, MARTS, Mart, mart_of
from kly_mage.rows.rowhash import VERSION
from kly_mage.warehouse.postgres.ads_sums import ads_sums_ddl
from kly_mage.warehouse.postgres.delivery_tables import changes_ddl, corrections_ddl
from kly_mage.warehouse.postgres.finality_view import finality_view
from kly_mage.warehouse.postgres.joined_tables import joined_ddl
from kly_mage.warehouse.postgres.mart_tables import mart_ddl, restatements_ddl
from kly_mage.warehouse.postgres.reconciliation_view import view_ddl
from kly_mage.warehouse.postgres.restatements_view import restatements_view
from kly_mage.warehouse.postgres.rollups import rollups_ddl
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

SYSTEM_COLUMNS = {
    '_partition_date': ('date', "Local day of the row's own timestamp; NULL if it has none."),
    '_hashrow': ('uuid not null', "The row's hash over canonical values."),
    '_created_at': ('timestamptz not null', "When the row was inserted, by the server's clock."),
    '_updated_at': (
        'timestamptz not null',
        "Ingestion time: never behind the marts' watermarks, so refreshes go by it.",
    ),
    '_load_id': ('bigint not null', 'The load that inserted the row, see ops.loads.'),
}

OF_CONFLICTS = [
    ('_undeclared_values', 'json', 'What this version says in undeclared columns, by their names.'),
    ('accepted_at', 'timestamptz', 'When somebody said that this needs no further look; NULL while it waits.'),
    ('accepted_by', 'text', 'Who.'),
    ('accepted_because', 'text', 'Why.'),
    (
        'is_restatement',
        'boolean default false',
        'Whether no decision is wanted: of versions in several files the newest counts.',
    ),
]


def bronze_table(source: Source) -> sql.Composed:
    """The quoted name of a source's table."""
    return sql.SQL('bronze.{}').format(sql.Identifier(source.name))


def registry(source: Source) -> sql.Composed:
    """The quoted name of the table that says which hashes are in bronze."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_hashrow'))


def conflicts_table(source: Source) -> sql.Composed:
    """The quoted name of the table for rows of a known hash with other numbers."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_conflicts'))


def corrections_table(source: Source) -> sql.Composed:
    """The quoted name of the log of what newer deliveries have changed in what counts; if it ``may_be_corrected``."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_corrections'))


def tables_of(source: Source) -> dict[str, sql.Composable]:
    """The quoted names of all of them, as a statement's placeholders call them."""
    return {
        'bronze': bronze_table(source),
        'registry': registry(source),
        'conflicts': conflicts_table(source),
        'corrections': corrections_table(source),
    }


def moving_tables(source: Source) -> list[sql.Composed]:
    """What a refresh of the source's mart takes in: bronze, and what has changed of its rows since."""
    return [bronze_table(source), *([corrections_table(source)] if source.may_be_corrected else [])]


def rows_of_days(source: Source) -> sql.Composed:
    """The quoted name of the function that gives all rows of some days; for a source that a mart adds up."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_of_days'))


def loaded_at(source: Source) -> sql.Composed:
    """The quoted name of the function that gives the stamps of all loads that brought rows of some days; as above."""
    return sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_loaded_at'))


def table_columns(cursor: Cursor, source: Source) -> list[str]:
    """The columns of a source's bronze table, in its order."""
    cursor.execute(
        'select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum',
        (f'bronze.{source.name}',),
    )
    return [name for (name,) in cursor.fetchall()]


def exists(cursor: Cursor, schema: str, table: str) -> bool:
    """Whether a table is there; not with ``to_regclass``, which remembers a no, also over a wait for a lock."""
    cursor.execute(
        'select exists (select from pg_class where relname = %s'
        ' and relnamespace = (select oid from pg_namespace where nspname = %s))',
        (table, schema),
    )
    return bool(cursor.fetchone()[0])


def everything() -> str:
    """Everything that must stand before the first load, as one text."""
    return _made_for(tuple(SOURCES.values()), tuple(MARTS), joined_ddl())


@lru_cache(maxsize=1)
def _made_for(sources: tuple[Source, ...], marts: tuple[Mart, ...], joined: str) -> str:
    """The text for what is declared; a load asks for it several times."""
    set_aside, ops, articles, *checks = map(text_of, ('set_aside', 'ops', 'articles', 'file_checks', 'deliveries'))
    restatements = [restatements_ddl(SOURCES[mart.source], mart) for mart in marts if SOURCES[mart.source].value_columns]
    return '\n'.join(
        [
            set_aside,
            ops,
            *map(source_ddl, sources),
            articles,
            *map(mart_ddl, marts),
            *restatements,
            *(ads_sums_ddl(SOURCES[mart.source], mart) for mart in marts if mart == GAM_DAILY_SUMMARY),
            joined,
            rollups_ddl(),
            *checks,
            restatements_view(),
            finality_view(),
            view_ddl(),
        ]
    )


@cache
def text_of(name: str) -> str:
    """The statements of an SQL file beside this module."""
    return Path(__file__).with_name(f'{name}.sql').read_text('utf-8')


def relations(ddl: str) -> list[str]:
    """The tables and views that these statements create."""
    return re.findall(r'^create (?:table if not exists|or replace view) (\S+)', ddl, re.MULTILINE)


def source_ddl(source: Source) -> str:
    table, name = f'bronze.{source.name}', source.name
    columns = [(c.name, POSTGRES_TYPES[c.kind] + (' not null' if c.required else ''), c.description) for c in source.columns]
    over = ', '.join(sorted(source.hash_columns)) if source.hash_columns is not None else 'all columns'
    rule = f'Columns: {over}; rule {VERSION} of kly_mage/rows/rowhash.py.'
    columns += [
        (column, kind, f'{text} {rule}' if column == '_hashrow' else text) for column, (kind, text) in SYSTEM_COLUMNS.items()
    ]
    if source.holds_whole_days:
        columns.append(('_file_day', 'date', 'Day of the export whose files brought the row; NULL if it came otherwise.'))
    columns += [_column(UNDECLARED)] if source.version_columns else []
    lines = [
        f'create table if not exists {table} (',
        ',\n'.join(f'    "{column}" {kind}' for column, kind, _ in columns),
        ') partition by range (_updated_at);',
        # A declared column that was added later; NOT NULL cannot be asked of the rows before it.
        *_columns_added(table, columns),
        # Rows arrive in the order of _updated_at: a BRIN index of a few pages finds the new ones.
        f'create index if not exists {name}_updated_at_idx on {table} using brin (_updated_at) with (autosummarize = on);',
        *(
            # Whoever asks for the version of some articles that counts, reads no others.
            (f'create index if not exists {name}_content_id_idx on {table} (content_id);',) if source.versioned else ()
        ),
        _comment('table', table, source.grain + ' Append-only; partitioned by day of _updated_at (UTC).'),
        *(_comment('column', f'{table}."{column}"', text) for column, _, text in columns),
    ]
    keys = registry_columns(source)
    lines += [
        f'create table if not exists {table}_hashrow (',
        ',\n'.join(f'    "{column}" {kind}' for column, kind, _ in keys),
        ');',
        *_columns_added(f'{table}_hashrow', keys[2:]),
        *(
            (f'create index if not exists {name}_hashrow_content_id_idx on {table}_hashrow (content_id);',)
            if source.versioned
            else ()
        ),
        _comment('table', f'{table}_hashrow', f'One row per hash in bronze.{name}: makes it unique across partitions.'),
        *(_comment('column', f'{table}_hashrow."{column}"', text) for column, _, text in keys),
    ]
    if source.version_columns:
        lines += _conflicts_ddl(source)
    if source.may_be_corrected:
        lines += corrections_ddl(source)
    if mart := mart_of(source.name):
        lines += changes_ddl(source, mart)
    return '\n'.join(lines)


def registry_columns(source: Source) -> list[tuple[str, str, str]]:
    """What the registry of a source has: name, type and description of each column."""
    counted = [_column(column, ' As the marts count it.') for column in source.version_columns]
    keys = [
        ('_hashrow', 'uuid primary key', 'Hash of a row in bronze.'),
        ('_updated_at', 'timestamptz not null', 'Leads to the row: its _updated_at.'),
    ]
    if source.knows_places:
        what = (
            'the version that counts' if counted else f'the {"last" if source.versioned else "first"} row that delivered it'
        )
        keys += [
            (
                '_delivered_at',
                'timestamptz not null',
                f'When {what} was delivered, by its file; -infinity if unknown.',
            ),
            ('_file', 'text collate "C" not null', f'The file of {what}; empty if it is unknown.'),
            ('_line', 'bigint not null', f'The line of {what}; 0 if it is unknown.'),
        ]
    keys += [('content_id', 'text', 'The article: its versions are found by it.')] if source.versioned else []
    return keys + counted


def _conflicts_ddl(source: Source) -> list[str]:
    table, values = f'bronze.{source.name}_conflicts', source.version_columns
    columns = [('_hashrow', 'uuid not null', 'The hash the rows share.')]
    columns += [_column(column, ' In this version.') for column in (*source.columns, UNDECLARED)]
    columns += [
        (f'counted_{c.name}', POSTGRES_TYPES[c.kind], f'{c.description} In the version that counts.') for c in values
    ]
    columns += [
        ('_partition_date', 'date', 'Local day of the row.'),
        ('_delivered_at', 'timestamptz not null', 'When its file was delivered: its day, or when it was changed.'),
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
        *_columns_added(table, columns),
        f'create unique index if not exists {source.name}_conflicts_key on {table} (_hashrow, {version})'
        ' nulls not distinct;',
        _comment(
            'table', table, f'One row per further version of a row of bronze.{source.name}: same hash, something else.'
        ),
        *(_comment('column', f'{table}."{column}"', text) for column, _, text in columns),
        *_columns_added(table, OF_CONFLICTS),
        *([] if source.applies_restatements else [f'update {table} set is_restatement = false where is_restatement;']),
        *(_comment('column', f'{table}."{column}"', text) for column, _, text in OF_CONFLICTS),
    ]


def _column(column: Column, about: str = '') -> tuple[str, str, str]:
    return (column.name, POSTGRES_TYPES[column.kind], column.description + about)


def _columns_added(table: str, columns: list[tuple[str, str, str]]) -> list[str]:
    """For columns declared later: the rows before them have nothing there."""
    return [
        f'alter table {table} add column if not exists "{c}" {kind.removesuffix(" not null")};' for c, kind, _ in columns
    ]


def _comment(kind: str, name: str, text: str) -> str:
    escaped = text.replace("'", "''")
    return f"comment on {kind} {name} is '{escaped}';"
