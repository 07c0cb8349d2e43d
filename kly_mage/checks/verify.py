"""Is gold what bronze gives, and is every stored row what it was when it came in? And: build gold again.

Both run the SQL blocks themselves over all of bronze, so the marts' logic stays in one place. ``verify`` does it in a
transaction that is rolled back. Readers of gold go on; loads wait while the marts are computed, as behind any refresh.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart
from kly_mage.loads import runner
from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import (
    bronze_table,
    conflicts_table,
    ensure_schema,
    registry,
    restatements_table,
    table_columns,
)
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.server import server

SHOWN = 20  # differences named per check; the others are counted


@dataclass
class Report:
    """What ``verify`` found.

    Attributes:
        differences: one line each: table, key, both values.
        count: how many there are; beyond ``SHOWN`` per check they are not in ``differences``.
        in_gold: how many of them ``rebuild`` repairs.
        waiting: what is not wrong but not yet refreshed.
        checked: rows looked at, by table.
    """

    differences: list[str] = field(default_factory=list)
    count: int = 0
    in_gold: int = 0
    waiting: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, found: Iterator[str], *, in_gold: bool = False) -> None:
        """Take in the differences one check found."""
        count = 0
        for count, line in enumerate(found, start=1):
            if count <= SHOWN:
                self.differences.append(f'{table} {line}')
        if count > SHOWN:
            self.differences.append(f'{table}: {count - SHOWN:,} more of this kind')
        self.count += count
        self.in_gold += count if in_gold else 0


def rebuild(settings: Settings) -> dict[str, int]:
    """Empty the marts and fill them from all of bronze, in one transaction: readers see the old rows, then the new.

    Returns:
        Rows by gold table.
    """

    def work() -> dict[str, int]:
        reached = server(settings)
        ensure_schema(reached)
        with connect(reached) as connection, connection.cursor() as cursor:
            _lock(cursor)
            for mart in MARTS:
                for counted in mart.registries:
                    cursor.execute(sql.SQL('truncate {}').format(_gold(counted.registry)))
                _refill(cursor, mart)
            # Its inputs may read as before and still hold other rows: it has to be computed in any case.
            cursor.execute('update ops.watermarks set built_from = null where mart = %s', (DAILY_SUMMARY.table,))
            cursor.execute(_block(DAILY_SUMMARY.name))
            return {table: _count(cursor, _gold(name)) for name, table in _tables()}

    return retrying(work)


def verify(settings: Settings) -> Report | None:
    """Compare gold with bronze, bronze with its hashes, registries and ledger; None if nothing was ever loaded."""

    def work() -> Report | None:
        reached = server(settings)
        with connect(reached) as connection, connection.cursor() as cursor:
            cursor.execute("select to_regclass('ops.settings') is not null")
            if not cursor.fetchone()[0]:
                return None
        ensure_schema(reached)
        report = Report()
        with connect(reached) as connection, connection.cursor() as cursor:
            # One picture of bronze, without locks: loads go on.
            cursor.execute('set transaction isolation level repeatable read, read only')
            for source in SOURCES.values():
                _check_bronze(cursor, source, report)
        with connect(reached) as connection, connection.cursor() as cursor:
            _lock(cursor)
            _check_gold(cursor, report)
            connection.rollback()
        return report

    return retrying(work)


# --- gold ---------------------------------------------------------------------------------------------------------------


def _lock(cursor: Cursor) -> None:
    """One refresh at a time, and no load in flight: in the order in which the blocks take their locks."""
    for _, table in _tables():
        cursor.execute('select pg_advisory_xact_lock(hashtext(%s))', (table,))
    for mart in MARTS:
        cursor.execute(sql.SQL('lock table only {} in share mode').format(bronze_table(SOURCES[mart.source])))


def _refill(cursor: Cursor, mart: Mart) -> None:
    # Not TRUNCATE: that would make the readers of gold wait.
    cursor.execute(sql.SQL('delete from {}').format(_gold(mart.name)))
    cursor.execute("update ops.watermarks set watermark = '-infinity' where mart = %s", (mart.table,))
    cursor.execute(_block(mart.name))
    cursor.execute('set local enable_seqscan = on')  # the block has turned it off for itself


def _check_gold(cursor: Cursor, report: Report) -> None:
    for mart in MARTS:
        before = _watermark(cursor, mart)
        cursor.execute(_block(mart.name))  # what waits for its refresh is no difference
        if _watermark(cursor, mart) != before:
            report.waiting.append(f'{mart.table} has rows of bronze.{mart.source} to count')
    behind = _daily_summary_behind(cursor)
    for mart in MARTS:
        cursor.execute(
            sql.SQL('create temp table {} on commit drop as table {}').format(sql.Identifier(mart.name), _gold(mart.name))
        )
        for counted in mart.registries:  # nobody but the refresh reads it: it can step aside
            cursor.execute(
                sql.SQL('alter table {table} rename to {old}; create table {table} (like gold.{old} including all)').format(
                    table=_gold(counted.registry), old=sql.Identifier(f'{counted.registry}_found')
                )
            )
        _refill(cursor, mart)
        found, truth = sql.Identifier('pg_temp', mart.name), _gold(mart.name)
        values = tuple(measure.name for measure in mart.measures)
        report.add(mart.table, _compare(cursor, found, truth, mart.key, values), in_gold=True)
        report.checked[mart.table] = _count(cursor, found)
        for counted in mart.registries:
            found, truth = _gold(f'{counted.registry}_found'), _gold(counted.registry)
            key = (mart.day.name, counted.key)
            report.add(f'gold.{counted.registry}', _compare(cursor, found, truth, key, ()), in_gold=True)
            report.checked[f'gold.{counted.registry}'] = _count(cursor, found)
    cursor.execute("select relkind = 'm' from pg_class where oid = to_regclass('gold.daily_summary')")
    (is_view,) = cursor.fetchone() or (None,)
    if is_view is None:
        report.add(DAILY_SUMMARY.table, iter(['does not exist']), in_gold=True)
    elif not is_view:
        report.add(DAILY_SUMMARY.table, iter(['is no materialized view: drop it']), in_gold=True)
    elif behind:
        report.waiting.append(f'{DAILY_SUMMARY.table} has changes of its inputs to take in')
    else:
        _check_daily_summary(cursor, report)


def _check_daily_summary(cursor: Cursor, report: Report) -> None:
    """The stored rows against the view's own definition, over the marts as they have just been computed."""
    cursor.execute("select pg_get_viewdef('gold.daily_summary'::regclass)")
    definition = sql.SQL('({}) as definition').format(sql.SQL(cursor.fetchone()[0].strip().rstrip(';')))
    cursor.execute("select attname from pg_attribute where attrelid = 'gold.daily_summary'::regclass and attnum > 0")
    key = DAILY_SUMMARY.key
    values = tuple(name for (name,) in cursor.fetchall() if name not in key)
    report.add(DAILY_SUMMARY.table, _compare(cursor, _gold(DAILY_SUMMARY.name), definition, key, values), in_gold=True)
    report.checked[DAILY_SUMMARY.table] = _count(cursor, _gold(DAILY_SUMMARY.name))


def _daily_summary_behind(cursor: Cursor) -> bool:
    """Whether its inputs have moved since it was computed, as daily_summary.sql tells."""
    cursor.execute(
        'select built_from is distinct from ('
        "     select string_agg(mart || ' ' || watermark, ', ' order by mart) from ops.watermarks"
        "     where mart <> 'gold.daily_summary'"
        " ) from (select) as one left join ops.watermarks on mart = 'gold.daily_summary'"
    )
    return bool(cursor.fetchone()[0])


def _watermark(cursor: Cursor, mart: Mart) -> Any:
    cursor.execute('select watermark::text from ops.watermarks where mart = %s', (mart.table,))
    return cursor.fetchone()


# --- bronze -------------------------------------------------------------------------------------------------------------


def _check_bronze(cursor: Cursor, source: Source, report: Report) -> None:
    table = f'bronze.{source.name}'
    report.checked[table] = _count(cursor, bronze_table(source))
    report.add(table, _rows_that_changed(cursor, source))
    report.add(table, _rows_against_registry(cursor, source))
    report.add(table, _rows_against_ledger(cursor, source))
    if source.value_columns:
        report.add(f'{table}_conflicts', _conflicts_against_registry(cursor, source))


def _rows_that_changed(cursor: Cursor, source: Source) -> Iterator[str]:
    """Rows whose values no longer give their hash or their day."""
    cursor.execute("select value from ops.settings where name = 'timezone'")
    (timezone,) = cursor.fetchone()
    query = sql.SQL(
        'select _hashrow::text, hash::text, _partition_date::text, day::text, _load_id from ('
        ' select _hashrow, {hash} as hash, _partition_date, ({day} at time zone {timezone})::date as day, _load_id'
        ' from {table}'
        ') as stored where hash is distinct from _hashrow or day is distinct from _partition_date order by _hashrow'
    ).format(
        hash=sql.SQL(rowhash.sql_hashrow(source, table_columns(cursor, source))),
        day=sql.Identifier(source.day_column),
        timezone=sql.Literal(timezone),
        table=bronze_table(source),
    )
    cursor.execute(query)
    for stored, computed, day, day_of_row, load_id in cursor:
        if stored != computed:
            yield f'{stored}: _hashrow is {stored}, the values of the row (load {load_id}) give {computed}'
        if day != day_of_row:
            yield f'{stored}: _partition_date is {day}, {source.day_column} gives {day_of_row}'


def _rows_against_registry(cursor: Cursor, source: Source) -> Iterator[str]:
    """Rows without a registry entry, entries without a row, rows there twice, and pairs that differ."""
    counted = [column.name for column in source.value_columns]
    names = ['_updated_at', *counted]
    cursor.execute(
        sql.SQL(
            'with stored as (select _hashrow, count(*) as rows, {any_of} from {rows} as counted group by _hashrow)'
            ' select _hashrow::text, coalesce(stored.rows, 0), known._updated_at is not null, {stored_text}, {known_text}'
            ' from stored full join {registry} as known using (_hashrow)'
            ' where stored.rows is distinct from 1 or ({stored}) is distinct from ({known}) order by _hashrow'
        ).format(
            any_of=sql.SQL(', ').join(sql.SQL('min({0}) as {0}').format(sql.Identifier(name)) for name in names),
            rows=_rows_as_counted(source),
            registry=registry(source),
            stored=_columns('stored', names),
            known=_columns('known', names),
            stored_text=_texts('stored', names),
            known_text=_texts('known', names),
        )
    )
    register = f'bronze.{source.name}_hashrow'
    for key, rows, known, *values in cursor:
        pairs = list(zip(names, values[: len(names)], values[len(names) :], strict=True))
        if not rows:
            yield f'{key}: the row is missing; {register} has it with {_told((n, there) for n, _, there in pairs)}'
        elif not known:
            yield f'{key}: {register} does not have it; the row has {_told((n, here) for n, here, _ in pairs)}'
        elif rows > 1:
            yield f'{key}: {rows} rows of this hash, {register} allows 1'
        else:
            for name, here, there in pairs:
                if here != there:
                    yield f'{key}: {name} is {here}, {register} has {there}'


def _rows_as_counted(source: Source) -> sql.Composable:
    """The rows of bronze with the numbers that count: those of the last restatement, where restatements apply."""
    values = [column.name for column in source.value_columns]
    if not values:
        return bronze_table(source)
    return sql.SQL(
        '(select stored._hashrow, stored._updated_at, {counted} from {table} as stored left join ('
        '  select distinct on (_hashrow) _hashrow, {values}, true as is_restated from {restated}'
        '  order by _hashrow, _load_id desc'
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
        restated=restatements_table(source),
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
    for load_id, rows, told, first, last in cursor:
        if rows != told:
            yield f'load {load_id}: {rows:,} rows, ops.loads has {"no such load" if told is None else f"{told:,}"}'
        if first != last:
            yield f'load {load_id}: _created_at is {first} in one row and {last} in another; a load has one'


def _conflicts_against_registry(cursor: Cursor, source: Source) -> Iterator[str]:
    cursor.execute(
        sql.SQL(
            'select _hashrow::text, _load_id from {conflicts} left join {registry} as known using (_hashrow)'
            ' where known._updated_at is null order by _hashrow'
        ).format(conflicts=conflicts_table(source), registry=registry(source))
    )
    for key, load_id in cursor:
        yield f'{key}: a further version (load {load_id}) of a row that bronze.{source.name}_hashrow does not have'


# --- comparing ----------------------------------------------------------------------------------------------------------


def _compare(
    cursor: Cursor, found: sql.Composable, truth: sql.Composable, key: tuple[str, ...], values: tuple[str, ...]
) -> Iterator[str]:
    """One line per key and value in which two relations of the same columns differ."""
    columns = [*key, *values]
    cursor.execute(
        sql.SQL(
            'select {found_text}, {truth_text} from (select {names} from {found}) as found'
            ' full join (select {names} from {truth}) as truth on ({found_key}) = ({truth_key})'
            ' where ({found_row}) is distinct from ({truth_row}) order by {order}'
        ).format(
            names=sql.SQL(', ').join(map(sql.Identifier, columns)),
            found=found,
            truth=truth,
            found_text=_texts('found', columns),
            truth_text=_texts('truth', columns),
            found_key=_columns('found', key),
            truth_key=_columns('truth', key),
            found_row=sql.SQL('row({})').format(_columns('found', columns)),
            truth_row=sql.SQL('row({})').format(_columns('truth', columns)),
            order=sql.SQL(', ').join(
                sql.SQL('coalesce({}, {})').format(sql.Identifier('found', name), sql.Identifier('truth', name))
                for name in key
            ),
        )
    )
    for row in cursor:
        here, there = row[: len(columns)], row[len(columns) :]
        is_missing, is_surplus = here[0] is None, there[0] is None
        name = ', '.join(there[: len(key)] if is_missing else here[: len(key)])
        pairs = list(zip(columns, here, there, strict=True))[len(key) :]
        if is_missing:
            yield f'({name}): is missing; bronze gives {_told((column, value) for column, _, value in pairs) or "it"}'
        elif is_surplus:
            yield f'({name}): bronze gives no such row; found {_told((column, value) for column, value, _ in pairs) or "it"}'
        else:
            for column, found_value, true_value in pairs:
                if found_value != true_value:
                    yield f'({name}): {column} is {found_value}, bronze gives {true_value}'


def _told(pairs: Any) -> str:
    return ', '.join(f'{name} {value}' for name, value in pairs)


def _columns(table: str, names: Any) -> sql.Composed:
    return sql.SQL(', ').join(sql.Identifier(table, name) for name in names)


def _texts(table: str, names: Any) -> sql.Composed:
    return sql.SQL(', ').join(sql.SQL('{}::text').format(sql.Identifier(table, name)) for name in names)


def _gold(name: str) -> sql.Composed:
    return sql.SQL('gold.{}').format(sql.Identifier(name))


def _count(cursor: Cursor, table: sql.Composable) -> int:
    cursor.execute(sql.SQL('select count(*) from {}').format(table))
    return int(cursor.fetchone()[0])


def _tables() -> list[tuple[str, str]]:
    """Name and table of all marts, the view that joins them last."""
    return [*((mart.name, mart.table) for mart in MARTS), (DAILY_SUMMARY.name, DAILY_SUMMARY.table)]


def _block(name: str) -> str:
    """The text of the SQL block of that name."""
    return runner.Block(name, 'data_exporter', 'sql', ()).sql()
