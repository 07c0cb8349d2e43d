"""The marts built again from all of bronze, in one transaction, by the SQL blocks themselves.

Readers of gold go on; loads wait while the marts are computed, as behind any refresh.
"""

from collections.abc import Callable, Iterable

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart
from kly_mage.warehouse.postgres.differences import count
from kly_mage.warehouse.postgres.tables import bronze_table

Block = Callable[[str], str]
"""Gives the text of the SQL block of a name."""


def lock_marts(cursor: Cursor) -> None:
    """One refresh at a time."""
    for _, table in tables():
        cursor.execute('select pg_advisory_xact_lock(hashtext(%s))', (table,))


def lock(cursor: Cursor) -> None:
    """One refresh at a time, and no load in flight: in the order in which the blocks take their locks."""
    lock_marts(cursor)
    for mart in MARTS:
        cursor.execute(sql.SQL('lock table only {} in share mode').format(bronze_table(SOURCES[mart.source])))


def refill(cursor: Cursor, mart: Mart, block: Block) -> None:
    """Empty one mart and fill it from all of bronze; its registries are empty already."""
    # Not TRUNCATE: that would make the readers of gold wait.
    cursor.execute(sql.SQL('delete from {}').format(gold(mart.name)))
    cursor.execute("update ops.watermarks set watermark = '-infinity' where mart = %s", (mart.table,))
    cursor.execute(block(mart.name))
    cursor.execute('set local enable_seqscan = on')  # the block has turned it off for itself


def rebuild(cursor: Cursor, block: Block, marts: Iterable[Mart] = MARTS) -> dict[str, int]:
    """Empty these marts and fill them again, and compute the view that joins them; gives the rows of each table."""
    lock(cursor)
    for mart in marts:
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
