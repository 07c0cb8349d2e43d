"""How old the newest day of a source may be, held against what the ledger says of its rows.

Only who wants news can miss it: a load is judged if it was asked for a day that fresh rows would be of, a source as a whole
once there was such a load. Old days loaded today say nothing about today, and a sample from the past is nobody's feed.
"""

from datetime import date

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.warehouse import rules
from kly_mage.warehouse.postgres import accepted
from kly_mage.warehouse.standing import Stale, stale


def newest_day(cursor: Cursor, source: Source, until: date = date.max) -> date | None:
    """The newest day of usable rows that loads have found in the files and that were not taken out since.

    Args:
        until: later days are left aside: a wrong clock's rows of tomorrow do not make a source fresh.
    """
    cursor.execute(
        'select max(day) from ops.load_days as of_day inner join ops.loads using (load_id)'
        " where source = %(source)s and status = 'done' and day <= %(until)s"
        ' and of_day.rows_new + of_day.rows_already_loaded + of_day.rows_unchanged'
        ' + of_day.rows_conflicting + of_day.rows_restated > 0'
        ' and not exists ('
        "     select from ops.loads as gone where gone.source = %(source)s and gone.status = 'unload'"
        '     and gone.load_id > loads.load_id and day between gone.start_day and gone.end_day'
        ' )',
        {'source': source.name, 'until': until},
    )
    day: date | None = cursor.fetchone()[0]
    return day


def of_load(cursor: Cursor, source: Source, window: Window, today: date) -> Stale | None:
    """Whether a source is stale after a load of these days; None too if they are older than what would be fresh.

    Args:
        today: the local day it is.
    """
    if source.freshness is None or window.end < moved(today, -source.freshness.days):
        return None
    return _stale(cursor, source, today)


def of_source(cursor: Cursor, source: Source, timezone: str, today: date, window: Window | None) -> Stale | None:
    """Whether a source is stale now; None too if no load has ever been asked for what was fresh when it ran.

    Args:
        window: the days that are looked at; None for all. Who looks at old ones asks nothing of today's.
    """
    if source.freshness is None or (window and window.end < moved(today, -source.freshness.days)):
        return None
    cursor.execute(
        "select exists (select from ops.loads where source = %s and status = 'done'"
        ' and end_day >= (started_at at time zone %s)::date - %s)',
        (source.name, timezone, source.freshness.days),
    )
    return _stale(cursor, source, today) if cursor.fetchone()[0] else None


def check(cursor: Cursor, source: Source, window: Window, today: date) -> Stale | None:
    """``of_load`` for a load whose ledger is written, in its transaction.

    Raises:
        RuleError: the source declares that such a load is to stop.
    """
    found = of_load(cursor, source, window, today)
    rules.hold_freshness(source, found)
    return found


def _stale(cursor: Cursor, source: Source, today: date) -> Stale | None:
    found = stale(source, newest_day(cursor, source, today), today)
    return None if found and found.newest in accepted.days(cursor, source, 'freshness') else found
