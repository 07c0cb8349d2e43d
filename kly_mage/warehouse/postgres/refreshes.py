"""What the last refresh of a mart has changed, for whoever has just run its block."""

from psycopg2 import sql

from kly_mage.common.settings import Settings
from kly_mage.common.text import counted
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS
from kly_mage.warehouse.postgres.connection import connect


def last_refresh(settings: Settings, name: str) -> str | None:
    """One line about the mart of this name; None if there is no such mart, or it was never refreshed.

    The rows of a refresh are those its transaction has written, and it has written the watermark as well. A refresh that
    has found nothing new moves no watermark: the line is about the one before it then, and its time says so.
    """
    days = {mart.name: mart.day.name for mart in MARTS}
    if name not in (*days, DAILY_SUMMARY.name):
        return None
    table = sql.Identifier('gold', name)
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('select refreshed_at, xmin::text from ops.watermarks where mart = %s', (f'gold.{name}',))
        refreshed_at, transaction = cursor.fetchone() or (None, None)
        if refreshed_at is None:
            return None
        cursor.execute(sql.SQL('select count(*) from {}').format(table))
        told = f'gold.{name}: {counted(cursor.fetchone()[0], "row")}, refreshed at {refreshed_at:%Y-%m-%d %H:%M:%S} UTC'
        if name not in days:  # a view that is rebuilt from the marts; its rows do not tell
            return told
        cursor.execute(
            sql.SQL('select count(*), min({day}), max({day}) from {table} where xmin = %s::xid').format(
                day=sql.Identifier(days[name]), table=table
            ),
            (transaction,),
        )
        changed, first, last = cursor.fetchone()
    return f'{told}, which changed {changed:,} of {first}' + (f' to {last}' if last != first else '')
