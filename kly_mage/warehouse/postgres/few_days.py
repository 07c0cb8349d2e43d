"""The rows of bronze of a few days, found by the loads that brought them: what is asked of a day then costs a day.

The registry has the hashes of a day together, and with each the stamp of its load. What somebody has put into bronze by hand
under a stamp of his own, or under another day, it does not lead to: a look at all days finds that.
"""

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse.account import is_few
from kly_mage.warehouse.postgres.tables import bronze_table, loaded_at, registry


def rows(cursor: Cursor, source: Source, window: Window | None) -> sql.Composable:
    """The relation of the rows of these days, with ``xmin``; all of bronze where they are not few."""
    if window is None or not is_few(source, window):
        return bronze_table(source)
    days = list(window)
    cursor.execute(sql.SQL('select {}(%s::date[])').format(loaded_at(source)), (days,))
    return sql.SQL(
        '(select *, xmin from {} where _updated_at = any({}::timestamptz[]) and _partition_date = any({}::date[]))'
    ).format(bronze_table(source), sql.Literal(cursor.fetchone()[0]), sql.Literal(days))


def find_moved(cursor: Cursor, source: Source, window: Window | None) -> None:
    """Of the ``versions`` that these days do not hold, those that stand under another day now have been changed."""
    if not is_few(source, window):
        return
    cursor.execute(
        sql.SQL(
            'select array_agg(distinct known._updated_at) from versions inner join {} as known using (_hashrow)'
            " where place = 'not_loaded'"
        ).format(registry(source))
    )
    if stamps := cursor.fetchone()[0]:
        cursor.execute(
            sql.SQL(
                "update versions set place = 'suspect' from {} as stored where place = 'not_loaded'"
                ' and stored._hashrow = versions._hashrow and stored._updated_at = any({}::timestamptz[])'
            ).format(bronze_table(source), sql.Literal(stamps))
        )
