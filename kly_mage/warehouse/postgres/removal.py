"""Rows taken out of bronze for a repair. Loads only append: this, ``unload`` and ``forget`` alone remove anything."""

from datetime import date

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres import contents
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.recount import days_of_withdrawn
from kly_mage.warehouse.postgres.tables import (
    bronze_table,
    conflicts_table,
    corrections_table,
    registry,
)


def remove(settings: Settings, source: Source, hashes: list[str], window: Window | None) -> set[date]:
    """Take the rows of these hashes out of bronze with all their versions, and note it in the ledger of their loads.

    What the files of these days held is forgotten: the loads that follow note it anew, and have nothing to report.

    Returns:
        The days on which the rows may have counted.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        # Loads and refreshes wait: neither may see a row whose hash is on its way out.
        cursor.execute(sql.SQL('lock table only {} in share row exclusive mode').format(bronze_table(source)))
        contents.forget(cursor, source, window)
        if not hashes:
            return set()
        select_rows(cursor, source, sql.SQL('_hashrow = any({}::uuid[])').format(sql.Literal(hashes)))
        add_lost(cursor, sql.SQL('unnest({}::uuid[]) as asked (_hashrow)').format(sql.Literal(hashes)))
        counted_on = days_of_withdrawn(cursor, source)
        remove_withdrawn(cursor, source)
        return counted_on


def select_rows(cursor: Cursor, source: Source, condition: sql.Composable) -> None:
    """The rows of bronze for which a condition holds as the temporary table ``withdrawn``: hash, day, ``is_stored``."""
    cursor.execute('drop table if exists withdrawn')
    cursor.execute(
        sql.SQL(
            'create temp table withdrawn on commit drop as'
            ' select _hashrow, _partition_date as day, true as is_stored from {} where {}'
        ).format(bronze_table(source), condition)
    )
    cursor.execute('analyze withdrawn')


def add_lost(cursor: Cursor, asked: sql.Composable) -> None:
    """Those of the rows asked for that bronze has lost, as well: what else says of them goes with them."""
    cursor.execute(
        sql.SQL(
            'insert into withdrawn select _hashrow, null, false from {}'
            ' where _hashrow not in (select _hashrow from withdrawn)'
        ).format(asked)
    )


def remove_withdrawn(cursor: Cursor, source: Source) -> int:
    """Take the rows of the temporary table ``withdrawn`` out with all their versions; gives how many were in bronze."""
    for table in (*_beside(source), bronze_table(source)):
        cursor.execute(sql.SQL('delete from {} where _hashrow in (select _hashrow from withdrawn)').format(table))
    rows = int(cursor.rowcount)
    note_removed(cursor, source)
    return rows


def _beside(source: Source) -> list[sql.Composed]:
    """The tables that say something of a row by its hash."""
    tables = [registry(source)]
    if source.version_columns:
        tables += [conflicts_table(source)]
    return [*tables, corrections_table(source)] if source.may_be_corrected else tables


def note_removed(cursor: Cursor, source: Source) -> None:
    """Note in the ledger how many rows of each load are in bronze no more."""
    cursor.execute(
        sql.SQL(
            # Once, not for each load: what is asked for row by row is worked out as often.
            'with stored as materialized (select _load_id, count(*) as rows from {} group by _load_id)'
            ' update ops.loads set rows_removed = rows_new - coalesce(('
            '     select stored.rows from stored where stored._load_id = loads.load_id'
            " ), 0) where source = %s and status = 'done'"
        ).format(bronze_table(source)),
        (source.name,),
    )
