"""Which days were final and have been corrected all the same."""

from collections.abc import Iterable
from datetime import date

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres.finality_view import final_on
from kly_mage.warehouse.postgres.tables import corrections_table


def corrected(cursor: Cursor, source: Source, load_ids: Iterable[int]) -> list[date]:
    """The days that were final when one of these loads corrected them.

    Args:
        load_ids: of loads that are done, or are about to be.
    """
    if source.finality is None or not source.may_be_corrected:
        return []
    cursor.execute(
        sql.SQL(
            'select distinct _partition_date from {table} inner join ops.loads on load_id = _load_id'
            # By a row completed in a column declared later, no number that was told has changed.
            " where why <> 'completed' and _load_id = any({loads}) and {final} <= (started_at at time zone"
            " (select value from ops.settings where name = 'timezone'))::date order by 1"
        ).format(
            table=corrections_table(source),
            loads=sql.Literal(list(load_ids)),
            final=sql.SQL(final_on(source.finality, '_partition_date')),
        )
    )
    return [day for (day,) in cursor.fetchall()]
