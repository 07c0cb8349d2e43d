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


def lock_decisions(cursor: Cursor, source: str, *, shared: bool = False) -> None:
    """Until the transaction ends, nobody decides about rejects of the source; shared, as loads have it, several may.

    What a load has counted as accepted is then so when it commits, and whoever decides finds what the load has kept.
    """
    lock = 'pg_advisory_xact_lock_shared' if shared else 'pg_advisory_xact_lock'
    cursor.execute(f'select {lock}(hashtextextended(%s, 0))', (f'decisions on {source}',))
