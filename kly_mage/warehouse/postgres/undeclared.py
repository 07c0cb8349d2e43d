"""What stored rows say in undeclared columns, brought along when columns become declared, or are declared no more.

A row's fingerprint (``_undeclared``) is over the columns that are not declared. Bronze has them as columns, a further
version as JSON; the registry and the log of corrections have nothing but the fingerprint, and follow by it.
"""

from collections.abc import Collection

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.rows.rowhash import undeclared_columns
from kly_mage.warehouse.postgres import hash_sql, place
from kly_mage.warehouse.postgres.declarations import column_types
from kly_mage.warehouse.postgres.tables import (
    conflicts_table,
    table_columns,
    tables_of,
)
from kly_mage.warehouse.postgres.text import identifier, literal


def spread(cursor: Cursor, source: Source) -> None:
    """Give the further versions a column of what they say in one that is declared by now; before anything is cast."""
    further = column_types(cursor, f'bronze.{source.name}_conflicts')
    stored = column_types(cursor, f'bronze.{source.name}')
    for name in source.names if '_undeclared_values' in further else ():
        if name in stored and name not in further:
            cursor.execute(
                sql.SQL(
                    'alter table {table} add column {name} text; update {table} set {name} = _undeclared_values ->> {text}'
                ).format(table=conflicts_table(source), name=sql.Identifier(name), text=sql.Literal(name))
            )


def bring_along(
    cursor: Cursor, source: Source, stored: Collection[str], known: Collection[str], further: Collection[str]
) -> None:
    """Make all fingerprints of a source those of its declaration, and values that were undeclared known as what counts.

    Args:
        stored: the columns of bronze as they were.
        known: those of the registry.
        further: those of the conflicts table; none if there was no such table.
    """
    columns = table_columns(cursor, source)
    names = undeclared_columns(source, columns)
    newly = [name for name in source.names if further and name in stored and name not in further]
    is_known = '_undeclared' in known and not set(names) & set(further)
    if not source.version_columns or not (newly or (names and not is_known)):
        return
    newly = [column.name for column in source.value_columns if column.name in newly]
    parts = {
        **tables_of(source),
        'now': sql.SQL(hash_sql.undeclared_columns(source, columns)),
        'says': sql.SQL(hash_sql.undeclared({name: said(name, further) for name in names})),
        'newly': _list(newly, ', {}'),
        'all': sql.SQL(', ').join(map(sql.Identifier, ('_hashrow', *(column.name for column in source.version_columns)))),
        'place': place.row_of('further'),
        'json': as_json(names),
        'is_first': sql.Literal('_undeclared' not in known),
    }
    if further:
        cursor.execute(
            sql.SQL(
                'create temp table told on commit drop as'
                ' select distinct on (_hashrow, was) * from ('
                '     select _hashrow, _undeclared as was, {now} as is_now, 1 as turn {newly} from {bronze} as stored'
                '     union all select _hashrow, _undeclared, {says}, 2 {newly} from {conflicts} as further'
                '     where _undeclared_values is not null'
                ' ) as told where is_now is distinct from was or num_nonnulls(null::text {newly}) > 0'
                ' order by _hashrow, was, turn;'
                'analyze told;'
                # What they say was not kept once: what bronze says then is the likeliest.
                'update {conflicts} as further set _undeclared_values = {json} from {bronze} as stored'
                ' where {is_first} and further._undeclared_values is null'
                '     and stored._hashrow = further._hashrow and stored._hashrow in (select _hashrow from told);'
                'update {conflicts} as further set _undeclared = {says} where _undeclared_values is not null'
            ).format(**parts)
        )
        for table, prefix in (
            ('registry', ''),
            ('corrections', ''),
            ('conflicts', 'counted_'),
        ):
            values = [sql.SQL('{0} = told.{1}').format(sql.Identifier(prefix + n), sql.Identifier(n)) for n in newly]
            fingerprint = sql.Identifier(f'{prefix}_undeclared')
            cursor.execute(
                sql.SQL(
                    'update {table} as kept set {set} from told'
                    ' where kept._hashrow = told._hashrow and kept.{fingerprint} is not distinct from told.was'
                ).format(
                    table=parts[table],
                    set=sql.SQL(', ').join([sql.SQL('{} = told.is_now').format(fingerprint), *values]),
                    fingerprint=fingerprint,
                )
            )
        cursor.execute('drop table told')
    cursor.execute(
        sql.SQL('update {bronze} set _undeclared = {now} where _undeclared is distinct from {now}').format(**parts)
    )
    if newly:  # two spellings of one value are one version now
        cursor.execute(
            sql.SQL(
                'delete from {conflicts} where ctid in (select at from ('
                '     select further.ctid as at, row_number() over ('
                '         partition by {all} order by is_known desc, _load_id, {place}'
                '     ) as number from ('
                '         select ctid, {all}, _load_id, _delivered_at, _file, _line, false as is_known from {conflicts}'
                '         union all select null, {all}, 0, null, null, null, true from {bronze}'
                '         where _hashrow in (select _hashrow from {conflicts})'
                '     ) as further'
                ' ) as numbered where number > 1)'
            ).format(**parts)
        )


def as_json(names: list[str]) -> sql.Composable:
    """What a row of bronze (``stored``) says in undeclared columns, as the further versions have it."""
    if not names:
        return sql.SQL('null::json')
    return sql.SQL('(select row_to_json(said) from (select {}) as said)').format(_list(names, 'stored.{}', ', '))


def said(name: str, further: Collection[str]) -> str:
    """What a further version says in a column: as JSON, or as the column it was while it was declared."""
    text = f'_undeclared_values ->> {literal(name)}'
    return f'coalesce({identifier(name)}::text, {text})' if name in further else f'({text})'


def _list(names: list[str], each: str, by: str = '') -> sql.Composed:
    return sql.SQL(by).join(sql.SQL(each).format(sql.Identifier(name)) for name in names)
