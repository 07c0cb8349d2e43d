"""Which version of an article counts, by the files: the one in the last row that any of them holds.

The registry knows when each version was delivered last, and forgets nothing. A file that was delivered anew without a row
has not delivered it, but that is known to the files alone.
"""

from datetime import date

from psycopg2 import sql

from kly_mage.warehouse.account import LINE_BITS
from kly_mage.warehouse.postgres.comparison import Comparison
from kly_mage.warehouse.postgres.tables import bronze_table


def not_the_latest(of: Comparison, limit: int) -> list[tuple[date | None, int, int, str]]:
    """The versions of articles of which another one counts than the files say: day, number of a file, line, hash of each.

    Only an account of all days knows all versions; one of some days gives none.
    """
    if not of.source.versioned or of.window:
        return []
    said = [name for name in of.source.names if name != 'content_id']
    of.cursor.execute(
        sql.SQL(
            'with delivered as ('
            '  select stored.*, fresh.at from fresh inner join {bronze} as stored using (_hashrow)'
            '  where not fresh.is_outside'
            '), newest as ('
            '  select distinct on (content_id) * from delivered order by content_id, at desc'
            '), wrong as ('
            '  select newest.content_id from newest inner join gold.articles as counting using (content_id)'
            '  where ({newest}) is distinct from ({counting})'
            ') select _partition_date, (at >> {bits})::int, at & {line}, _hashrow::text'
            ' from delivered inner join wrong using (content_id) order by at limit {limit}'
        ).format(
            bronze=bronze_table(of.source),
            newest=sql.SQL(', ').join(sql.Identifier('newest', name) for name in said),
            counting=sql.SQL(', ').join(sql.Identifier('counting', name) for name in said),
            bits=sql.Literal(LINE_BITS),
            line=sql.Literal((1 << LINE_BITS) - 1),
            limit=sql.Literal(limit),
        )
    )
    found: list[tuple[date | None, int, int, str]] = of.cursor.fetchall()
    return found
