"""The marts built again from all of bronze: beside the stored ones, to compare them, or in their place.

Both run the SQL blocks themselves, so that a mart's rule stays in one place. Readers of gold go on; loads wait while the
marts are computed, as behind any refresh.
"""

from collections.abc import Callable
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart
from kly_mage.warehouse.postgres.differences import Report, compare, count
from kly_mage.warehouse.postgres.tables import bronze_table

Block = Callable[[str], str]
"""Gives the text of the SQL block of a name."""


def lock(cursor: Cursor) -> None:
    """One refresh at a time, and no load in flight: in the order in which the blocks take their locks."""
    for _, table in tables():
        cursor.execute('select pg_advisory_xact_lock(hashtext(%s))', (table,))
    for mart in MARTS:
        cursor.execute(sql.SQL('lock table only {} in share mode').format(bronze_table(SOURCES[mart.source])))


def refill(cursor: Cursor, mart: Mart, block: Block) -> None:
    """Empty one mart and fill it from all of bronze; its registries are empty already."""
    # Not TRUNCATE: that would make the readers of gold wait.
    cursor.execute(sql.SQL('delete from {}').format(gold(mart.name)))
    cursor.execute("update ops.watermarks set watermark = '-infinity' where mart = %s", (mart.table,))
    cursor.execute(block(mart.name))
    cursor.execute('set local enable_seqscan = on')  # the block has turned it off for itself


def check_gold(cursor: Cursor, report: Report, block: Block) -> None:
    """Build the marts beside the stored ones and take the differences into the report; the caller rolls back."""
    for mart in MARTS:
        before = _watermark(cursor, mart)
        cursor.execute(block(mart.name))  # what waits for its refresh is no difference
        if _watermark(cursor, mart) != before:
            report.waiting.append(f'{mart.table} has rows of bronze.{mart.source} to count')
    behind = _daily_summary_behind(cursor)
    for mart in MARTS:
        cursor.execute(
            sql.SQL('create temp table {} on commit drop as table {}').format(sql.Identifier(mart.name), gold(mart.name))
        )
        for counted in mart.registries:  # nobody but the refresh reads it: it can step aside
            cursor.execute(
                sql.SQL('alter table {table} rename to {old}; create table {table} (like gold.{old} including all)').format(
                    table=gold(counted.registry), old=sql.Identifier(f'{counted.registry}_found')
                )
            )
        refill(cursor, mart, block)
        found, truth = sql.Identifier('pg_temp', mart.name), gold(mart.name)
        values = tuple(measure.name for measure in mart.measures)
        report.add(mart.table, compare(cursor, found, truth, mart.key, values), in_gold=True)
        report.checked[mart.table] = count(cursor, found)
        for counted in mart.registries:
            found, truth = gold(f'{counted.registry}_found'), gold(counted.registry)
            key = (mart.day.name, counted.key)
            report.add(f'gold.{counted.registry}', compare(cursor, found, truth, key, ()), in_gold=True)
            report.checked[f'gold.{counted.registry}'] = count(cursor, found)
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
    report.add(DAILY_SUMMARY.table, compare(cursor, gold(DAILY_SUMMARY.name), definition, key, values), in_gold=True)
    report.checked[DAILY_SUMMARY.table] = count(cursor, gold(DAILY_SUMMARY.name))


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


def rebuild(cursor: Cursor, block: Block) -> dict[str, int]:
    """Empty the marts and fill them again; gives the rows of each table."""
    lock(cursor)
    for mart in MARTS:
        for counted in mart.registries:
            cursor.execute(sql.SQL('truncate {}').format(gold(counted.registry)))
        refill(cursor, mart, block)
    # Its inputs may read as before and still hold other rows: it has to be computed in any case.
    cursor.execute('update ops.watermarks set built_from = null where mart = %s', (DAILY_SUMMARY.table,))
    cursor.execute(block(DAILY_SUMMARY.name))
    return {table: count(cursor, gold(name)) for name, table in tables()}


def gold(name: str) -> sql.Composed:
    """A table of gold, quoted."""
    return sql.SQL('gold.{}').format(sql.Identifier(name))


def tables() -> list[tuple[str, str]]:
    """Name and table of all marts, the view that joins them last."""
    return [*((mart.name, mart.table) for mart in MARTS), (DAILY_SUMMARY.name, DAILY_SUMMARY.table)]
