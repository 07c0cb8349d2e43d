"""Rows taken out of bronze for a repair. Loads only append: this, ``unload`` and ``forget`` alone remove anything."""

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres import contents
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.tables import (
    bronze_table,
    conflicts_table,
    corrections_table,
    registry,
)


def remove(settings: Settings, source: Source, hashes: list[str], window: Window | None) -> None:
    """Take the rows of these hashes out of bronze with all their versions, and note it in the ledger of their loads.

    What the files of these days held is forgotten: the loads that follow note it anew, and have nothing to report.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        # Loads and refreshes wait: neither may see a row whose hash is on its way out.
        cursor.execute(sql.SQL('lock table only {} in share row exclusive mode').format(bronze_table(source)))
        contents.forget(cursor, source, window)
        if not hashes:
            return
        for table in (bronze_table(source), *_beside(source)):
            cursor.execute(sql.SQL('delete from {} where _hashrow = any(%s::uuid[])').format(table), (hashes,))
        note_removed(cursor, source)


def remove_withdrawn(cursor: Cursor, source: Source) -> int:
    """Take the rows of the temporary table ``withdrawn`` out with all their versions; gives how many were in bronze."""
    for table in (*_beside(source), bronze_table(source)):
        cursor.execute(sql.SQL('delete from {} where _hashrow in (table withdrawn)').format(table))
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
            'with stored as (select _load_id, count(*) as rows from {} group by _load_id)'
            ' update ops.loads set rows_removed = rows_new - coalesce(('
            '     select stored.rows from stored where stored._load_id = loads.load_id'
            " ), 0) where source = %s and status = 'done'"
        ).format(bronze_table(source)),
        (source.name,),
    )
