"""A few days of the marts, counted anew from the rows that are left: what is taken out of a day then costs that day.

The SQL blocks only add, so a day that has lost rows is emptied, and filled as ``verify`` works it out from the declaration.
"""

from collections.abc import Collection
from datetime import date

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, GAM_DAILY_SUMMARY, Mart, mart_of
from kly_mage.warehouse.postgres import ads_sums
from kly_mage.warehouse.postgres.gold_checks import Block, gold, rebuild
from kly_mage.warehouse.postgres.gold_truth import keys, truth
from kly_mage.warehouse.postgres.tables import corrections_table

_MOST = 31  # days: of more, gold is built anew from all of bronze


def days_of_withdrawn(cursor: Cursor, source: Source, load_id: int | None = None) -> set[date]:
    """The days on which rows of the temporary table ``withdrawn`` count, or may have, in whichever version.

    Args:
        load_id: and rows whose version this load has brought to count.
    """
    query = sql.SQL('select day from withdrawn')
    if source.may_be_corrected:
        query += sql.SQL(
            ' union select _partition_date from {} where _hashrow in (select _hashrow from withdrawn) or _load_id = {}'
        ).format(corrections_table(source), sql.Literal(load_id))
    cursor.execute(sql.SQL('select distinct day from ({}) as found').format(query))
    return {day for (day,) in cursor.fetchall() if day}


def recount(cursor: Cursor, block: Block, source: Source, days: Collection[date]) -> None:
    """Make the mart of a source, and the view that joins it, what bronze gives for these days.

    Args:
        cursor: behind the locks of ``gold_checks.lock``; its commit keeps all of it.
        block: gives the text of a SQL block.
    """
    mart = mart_of(source.name)
    if mart is None or len(days) > _MOST:  # what is said of articles stands beside rows of any day
        rebuild(cursor, block, [mart] if mart else [])
        return
    cursor.execute(block(mart.name))  # what waits is taken in first: then all that is left has been counted
    cursor.execute('set local enable_seqscan = on')  # the block has turned it off for itself
    _count(cursor, mart, sorted(days))
    cursor.execute(block(DAILY_SUMMARY.name))


def _count(cursor: Cursor, mart: Mart, days: list[date]) -> None:
    rows = sql.SQL('bronze.{}({}::date[])').format(sql.Identifier(f'{mart.source}_counted'), sql.Literal(days))
    for counted in mart.registries:
        names = [mart.day.name, counted.key]
        _replace(cursor, counted.registry, names, keys(mart, counted, rows), mart.day.name, days)
    names = [*mart.key, *(measure.name for measure in mart.measures)]
    _replace(cursor, mart.name, names, truth(mart, rows), mart.day.name, days, stamp=True)
    if mart == GAM_DAILY_SUMMARY:
        ads_sums.recount(cursor, mart, days)


def _replace(
    cursor: Cursor, table: str, names: list[str], found: sql.Composable, day: str, days: list[date], *, stamp: bool = False
) -> None:
    """Put what was found in place of what a table of gold has of these days."""
    cursor.execute(sql.SQL('delete from {} where {} = any(%s)').format(gold(table), sql.Identifier(day)), (days,))
    columns = [sql.Identifier(name) for name in names]
    cursor.execute(
        sql.SQL('insert into {} ({}) select {} from {}').format(
            gold(table),
            sql.SQL(', ').join([*columns, *([sql.Identifier('_updated_at')] if stamp else [])]),
            sql.SQL(', ').join([*columns, *([sql.SQL('clock_timestamp()')] if stamp else [])]),
            found,
        )
    )
