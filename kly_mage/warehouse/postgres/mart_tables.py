"""The tables and views of the marts, from their declarations. What fills them stands in the SQL blocks of the same names."""

from kly_mage.declared.base import Source
from kly_mage.declared.marts import Mart, Rows, Sum
from kly_mage.warehouse.postgres.counting import log
from kly_mage.warehouse.postgres.measures import UNITS, per_row
from kly_mage.warehouse.postgres.text import comment, identifier, literal


def mart_ddl(mart: Mart) -> str:
    """Table, registries, comments and watermark of a mart; safe to run again."""
    columns = [
        (mart.day.name, 'date not null', mart.day.description),
        *((key.name, 'text not null', key.description) for key in mart.by),
        *((measure.name, f'{UNITS[measure.unit]} not null', measure.description) for measure in mart.measures),
        ('_updated_at', 'timestamptz not null', 'When a refresh last changed the row.'),
    ]
    lines = table_ddl(mart.name, mart.grain, columns, mart.key)
    for counted in mart.registries:
        columns = [
            (mart.day.name, 'date not null', mart.day.description),
            (counted.key, 'bigint not null', counted.key_description),
        ]
        lines += table_ddl(counted.registry, counted.grain, columns, (mart.day.name, counted.key))
    return '\n'.join([*lines, f'insert into ops.watermarks (mart) values ({literal(mart.table)}) on conflict do nothing;'])


def restatements_ddl(source: Source, mart: Mart) -> str:
    """The view of what restatements have changed in a mart; safe to run again."""
    values = {column.name for column in source.value_columns}
    of_version = [m for m in mart.additive if isinstance(m.of, Rows | Sum) and m.of.column in values]
    changes = [(measure.name, f'sign * {per_row(measure).string}') for measure in of_version]
    columns = [
        (mart.day.name, '_partition_date', mart.day.description),
        ('load_id', '_load_id', 'The load that brought the newer versions, see ops.loads.'),
        ('restated_at', 'max(_updated_at)', 'When that was.'),
        ('count_rows', 'count(*) filter (where sign > 0)', 'Rows restated.'),
        *((name, f'sum({change})', f'By how much {name} has changed.') for name, change in changes),
    ]
    grain = (
        f'One row per {mart.day.name} and load that restated it: by how much what counts has changed.'
        ' Empty unless restatements apply.'
    )
    return '\n'.join(
        [
            f'create or replace view {mart.restatements} as',
            'select',
            ',\n'.join(f'    {value} as {identifier(name)}' for name, value, _ in columns),
            f'from {log(source)}',
            'group by _partition_date, _load_id;',
            comment('view', mart.restatements, grain),
            *(comment('column', f'{mart.restatements}.{identifier(name)}', text) for name, _, text in columns),
        ]
    )


def table_ddl(name: str, grain: str, columns: list[tuple[str, str, str]], key: tuple[str, ...]) -> list[str]:
    """The statements of a table of gold: its name, what one row is, name, type and meaning of each column, its key."""
    table = f'gold.{name}'
    return [
        f'create table if not exists {table} (',
        *(f'    {identifier(column)} {kind},' for column, kind, _ in columns),
        '    primary key ({})'.format(', '.join(map(identifier, key))),
        ');',
        comment('table', table, grain),
        *(comment('column', f'{table}.{identifier(column)}', text) for column, _, text in columns),
    ]


def table_of_names_ddl(table: str, grain: str, columns: list[tuple[str, str, str]]) -> list[str]:
    """The same of a table, given with its schema, whose first three columns are its key, the third a name of any length."""
    return [
        f'create table if not exists {table} (',
        ',\n'.join(f'    {identifier(column)} {kind}' for column, kind, _ in columns),
        ');',
        # By the name's hash: an index has no room for a name of a megabyte.
        'create unique index if not exists {}_key on {} ({}, {}, md5({}));'.format(
            table.partition('.')[2], table, *(column for column, _, _ in columns[:3])
        ),
        comment('table', table, grain),
        *(comment('column', f'{table}.{identifier(column)}', text) for column, _, text in columns),
    ]
