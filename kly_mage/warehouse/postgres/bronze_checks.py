"""Is every stored row what it was when it came in: its hash, its day, its registry entry, its load, its conflicts."""

from collections.abc import Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared import SOURCES
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.warehouse.postgres import hash_sql, place
from kly_mage.warehouse.postgres.differences import columns, count, texts
from kly_mage.warehouse.postgres.tables import (
    bronze_table,
    conflicts_table,
    corrections_table,
    registry,
    table_columns,
)
from kly_mage.warehouse.postgres.turns import wrong_turns
from kly_mage.warehouse.report import (
    Report,
    against_ledger,
    against_registry,
    changed_row,
    conflict_without_row,
    wrong_correction,
)


def check_bronze(cursor: Cursor, report: Report) -> None:
    """Take the differences of all sources into the report."""
    for source in SOURCES.values():
        _check_source(cursor, source, report)


def _check_source(cursor: Cursor, source: Source, report: Report) -> None:
    table = f'bronze.{source.name}'
    report.checked[table] = count(cursor, bronze_table(source))
    report.add(table, _rows_that_changed(cursor, source))
    report.add(table, _rows_against_registry(cursor, source))
    report.add(table, _rows_against_ledger(cursor, source))
    if source.may_be_corrected:
        report.add(f'{table}_corrections', _corrections_against_bronze(cursor, source))
    if source.version_columns:
        report.add(f'{table}_conflicts', _conflicts_against_registry(cursor, source))


def _rows_that_changed(cursor: Cursor, source: Source) -> Iterator[str]:
    """Rows whose values no longer give their hash, their day, or what they say in undeclared columns."""
    cursor.execute("select value from ops.settings where name = 'timezone'")
    (timezone,) = cursor.fetchone()
    found = table_columns(cursor, source)
    query = sql.SQL(
        'select _hashrow::text, hash::text, _partition_date::text, day::text,'
        ' undeclared is not distinct from now, _load_id from ('
        ' select _hashrow, {hash} as hash, _partition_date, ({day} at time zone {timezone})::date as day, _load_id,'
        ' {undeclared} as undeclared, {now} as now from {table}'
        ') as stored where hash is distinct from _hashrow or day is distinct from _partition_date'
        ' or undeclared is distinct from now order by _hashrow'
    ).format(
        hash=sql.SQL(hash_sql.hashrow(source, found)),
        undeclared=sql.SQL(UNDECLARED.name if source.version_columns else 'null::uuid'),
        now=sql.SQL(hash_sql.undeclared_columns(source, found) if source.version_columns else 'null::uuid'),
        day=sql.Identifier(source.day_column),
        timezone=sql.Literal(timezone),
        table=bronze_table(source),
    )
    cursor.execute(query)
    for row in cursor:
        yield from changed_row(source, *row)


def _rows_against_registry(cursor: Cursor, source: Source) -> Iterator[str]:
    """Rows without a registry entry, entries without a row, rows there twice, and pairs that differ."""
    counted = [column.name for column in source.version_columns]
    names = ['_updated_at', *counted, *(['content_id'] if source.versioned else [])]
    cursor.execute(
        sql.SQL(
            'with stored as (select _hashrow, count(*) as rows, {any_of} from {rows} as counted group by _hashrow)'
            ' select _hashrow::text, coalesce(stored.rows, 0), known._updated_at is not null, {stored_text}, {known_text}'
            ' from stored full join {registry} as known using (_hashrow)'
            ' where stored.rows is distinct from 1 or ({stored}) is distinct from ({known}) order by _hashrow'
        ).format(
            any_of=sql.SQL(', ').join(sql.SQL(_any_of(name)).format(sql.Identifier(name)) for name in names),
            rows=_rows_as_counted(source),
            registry=registry(source),
            stored=columns('stored', names),
            known=columns('known', names),
            stored_text=texts('stored', names),
            known_text=texts('known', names),
        )
    )
    for key, rows, is_known, *values in cursor:
        here, there = values[: len(names)], values[len(names) :]
        yield from against_registry(source, key, rows, is_known, names, here, there)


def _any_of(name: str) -> str:
    # PostgreSQL 15 orders no uuid by min().
    return 'min({0}::text)::uuid as {0}' if name == UNDECLARED.name else 'min({0}) as {0}'


def _rows_as_counted(source: Source) -> sql.Composable:
    """The rows of bronze with the numbers that count: those of the version that last came to."""
    values = [column.name for column in source.version_columns]
    if not values:
        return bronze_table(source)
    return sql.SQL(
        '(select stored._hashrow, stored._updated_at, {counted} from {table} as stored left join ('
        '  select distinct on (_hashrow) _hashrow, {values}, true as is_restated from {log} as later'
        '  where sign > 0 order by _hashrow, _load_id desc, {last}'
        ') as restated using (_hashrow))'
    ).format(
        counted=sql.SQL(', ').join(
            sql.SQL('case when is_restated then {} else {} end as {}').format(
                sql.Identifier('restated', name), sql.Identifier('stored', name), sql.Identifier(name)
            )
            for name in values
        ),
        values=sql.SQL(', ').join(map(sql.Identifier, values)),
        table=bronze_table(source),
        log=corrections_table(source),
        last=place.newest_first('later'),
    )


def _rows_against_ledger(cursor: Cursor, source: Source) -> Iterator[str]:
    """Loads whose rows are not as many as the ledger says, or not of one moment."""
    cursor.execute(
        sql.SQL(
            'with stored as ('
            '  select _load_id as load_id, count(*) as rows, min(_created_at) as first, max(_created_at) as last'
            '  from {table} group by _load_id'
            '), told as ('
            "  select load_id, case status when 'done' then rows_new - rows_removed else 0 end as rows from ops.loads"
            '  where source = {source}'
            ') select load_id, coalesce(stored.rows, 0), told.rows, first::text, last::text'
            ' from stored full join told using (load_id)'
            ' where coalesce(stored.rows, 0) is distinct from told.rows or first <> last order by load_id'
        ).format(table=bronze_table(source), source=sql.Literal(source.name))
    )
    for row in cursor:
        yield from against_ledger(*row)


def _conflicts_against_registry(cursor: Cursor, source: Source) -> Iterator[str]:
    cursor.execute(
        sql.SQL(
            'select _hashrow::text, _load_id from {conflicts} left join {registry} as known using (_hashrow)'
            ' where known._updated_at is null order by _hashrow'
        ).format(conflicts=conflicts_table(source), registry=registry(source))
    )
    for key, load_id in cursor:
        yield conflict_without_row(source, key, load_id)


def _corrections_against_bronze(cursor: Cursor, source: Source) -> Iterator[str]:
    """Changes of what counts that cannot be, by themselves or beside the rows."""
    cursor.execute(
        sql.SQL('select _hashrow::text, load_id, wrong from ({}) as change order by 1, 2').format(wrong_turns(source))
    )
    for key, load_id, wrong in cursor:
        yield wrong_correction(source, key, load_id, wrong)
