"""Columns of stored rows given another type, in place: by the rule with which loads cast, or not at all."""

from dataclasses import dataclass

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError
from kly_mage.common.text import counted
from kly_mage.declared.base import Column, Kind, Source
from kly_mage.rows import casting
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.declarations import column_types
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

_WAS = '_was'  # no column of a file begins so
_SHOWN = 3
_SPELLED = {
    'timestamptz': 'to_char({} at time zone \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')',
    'numeric': 'trim_scale({})::text',
}


@dataclass(frozen=True)
class Place:
    """A column of one of a source's tables."""

    table: str
    column: str

    def spelled(self, kind: str, column: str) -> sql.Composed:
        """Its values as texts that a cast understands."""
        return sql.SQL(_SPELLED.get(kind, '{}::text')).format(sql.Identifier(column))


def retype(cursor: Cursor, source: Source, name: str, kind: Kind, timezone: str) -> None:
    """Cast a column of bronze, and what registry, conflicts and corrections have of it.

    Args:
        kind: what it is declared as; ``text`` for a column that is not declared.
        timezone: where a timestamp without offset is local.

    Raises:
        WarehouseError: rows hold something else; it names the first of them.
    """
    for suffix in ('', '_conflicts', '_corrections', '_hashrow'):
        table = f'bronze.{source.name}{suffix}'
        found = column_types(cursor, table)
        for column in (name, f'counted_{name}') if suffix else (name,):
            if column in found and found[column] != POSTGRES_TYPES[kind]:
                _retype(cursor, source, Place(table, column), found[column], kind, timezone)


def _retype(cursor: Cursor, source: Source, place: Place, old: str, kind: Kind, timezone: str) -> None:
    table, column = sql.SQL(place.table), sql.Identifier(place.column)
    spelled = place.spelled(old, place.column)
    cursor.execute(sql.SQL('select distinct {} from {} where {} is not null').format(spelled, table, column))
    texts = pl.Series('was', [text for (text,) in cursor.fetchall()], pl.String)
    is_compared = source.hash_columns is None or place.column in source.names
    if old != 'text' and kind in ('text', 'id') and is_compared and len(texts):
        raise WarehouseError(
            f'{place.table}.{place.column} was {old} and is to be text: how the files spell its values was not kept, so '
            'their rows could not be recognised: declare it as it was, or load the files into a new database'
        )
    values = casting.typed(texts, Column(place.column, kind, ''), timezone)
    bad = texts.filter(values.is_null() & (texts != ''))
    if len(bad):
        raise WarehouseError(_refusal(cursor, source, place, spelled, bad.to_list(), kind))
    cursor.execute(
        sql.SQL('create temp table cast_values (was text, is_now {}) on commit drop').format(sql.SQL(POSTGRES_TYPES[kind]))
    )
    copy(cursor, pl.DataFrame({'was': texts, 'is_now': values}), 'cast_values (was, is_now)')
    cursor.execute(
        sql.SQL(
            'analyze cast_values;'
            'alter table {table} rename column {column} to {was};'
            'alter table {table} add column {column} {type};'
            'update {table} set {column} = is_now from cast_values where cast_values.was = {spelled};'
            'alter table {table} drop column {was};'
            'drop table cast_values'
        ).format(
            table=table,
            column=column,
            was=sql.Identifier(_WAS),
            type=sql.SQL(POSTGRES_TYPES[kind]),
            spelled=place.spelled(old, _WAS),
        )
    )


def _refusal(cursor: Cursor, source: Source, place: Place, spelled: sql.Composed, bad: list[str], kind: Kind) -> str:
    """Which rows are in the way, and what to do."""
    cursor.execute(
        sql.SQL(
            'select {spelled}, _load_id, _partition_date::text,'
            " (select string_agg(file ->> 'file', ', ') from ops.loads, jsonb_array_elements(files) as file"
            '  where load_id = _load_id), count(*) over ()'
            ' from {table} where {spelled} = any({bad}) order by _load_id, _partition_date, 1 limit {shown}'
        ).format(spelled=spelled, table=sql.SQL(place.table), bad=sql.Literal(bad), shown=sql.Literal(_SHOWN))
    )
    rows = cursor.fetchall()
    told = '; '.join(f'{value!r} (load {load}, day {day}, {files})' for value, load, day, files, _ in rows)
    holds = counted(rows[0][-1], 'row holds', 'rows hold')
    return (
        f'{place.table}.{place.column} cannot be cast to {kind}: {holds} something else, first {told}; declare it as '
        'text, or correct these files, run python -m kly_mage repair under the declaration of before, and migrate then'
    )
