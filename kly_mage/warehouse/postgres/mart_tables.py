"""The tables of the marts, from their declarations. What fills them stands in the SQL blocks of the same names."""

from kly_mage.declared.marts import Mart
from kly_mage.warehouse.postgres.measures import UNITS
from kly_mage.warehouse.postgres.text import comment, identifier, literal


def mart_ddl(mart: Mart) -> str:
    """Table, registries, comments and watermark of a mart; safe to run again."""
    columns = [
        (mart.day.name, 'date not null', mart.day.description),
        *((key.name, 'text not null', key.description) for key in mart.by),
        *((measure.name, f'{UNITS[measure.unit]} not null', measure.description) for measure in mart.measures),
        ('_updated_at', 'timestamptz not null', 'When a refresh last changed the row.'),
    ]
    lines = _table(mart.name, mart.grain, columns, mart.key)
    for counted in mart.registries:
        columns = [
            (mart.day.name, 'date not null', mart.day.description),
            (counted.key, 'bigint not null', counted.key_description),
        ]
        lines += _table(counted.registry, counted.grain, columns, (mart.day.name, counted.key))
    return '\n'.join([*lines, f'insert into ops.watermarks (mart) values ({literal(mart.table)}) on conflict do nothing;'])


def _table(name: str, grain: str, columns: list[tuple[str, str, str]], key: tuple[str, ...]) -> list[str]:
    table = f'gold.{name}'
    return [
        f'create table if not exists {table} (',
        *(f'    {identifier(column)} {kind},' for column, kind, _ in columns),
        '    primary key ({})'.format(', '.join(map(identifier, key))),
        ');',
        comment('table', table, grain),
        *(comment('column', f'{table}.{identifier(column)}', text) for column, _, text in columns),
    ]
