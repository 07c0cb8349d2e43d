"""The locks of loads."""

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.window import Window
from kly_mage.declared.base import Source

LOCKED_DAYS = 400  # a longer load locks the source as a whole: PostgreSQL's table of locks is finite


def lock_days(cursor: Cursor, source: Source, window: Window) -> None:
    """Keep other loads of these days away until the transaction ends: equal rows have equal days."""
    days = [f'{source.name} {day}' for day in window]
    # Articles may be in any load: they have one lock for all days.
    if source.any_day or len(days) > LOCKED_DAYS:
        cursor.execute('select pg_advisory_xact_lock(hashtextextended(%s, 0))', (source.name,))
    else:
        cursor.execute('select pg_advisory_xact_lock_shared(hashtextextended(%s, 0))', (source.name,))
        cursor.execute('select pg_advisory_xact_lock(hashtextextended(name, 0)) from unnest(%s) as name', (days,))
