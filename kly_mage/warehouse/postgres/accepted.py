"""Days that are out of the ordinary, and somebody has said that it is right: a holiday's volume, a feed that has ended.

What was accepted is the day as it was: farther off, or stale once more after newer days, it is asked about anew.
"""

from datetime import date

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse.standing import Accepted, Finding


def days(cursor: Cursor, source: Source, finding: Finding) -> dict[date, Accepted]:
    """What somebody has accepted of a source, by day."""
    cursor.execute(
        'select day, rows, usual from ops.accepted_days where source = %s and finding = %s', (source.name, finding)
    )
    return {day: Accepted(rows, usual) for day, rows, usual in cursor.fetchall()}


def accept(cursor: Cursor, source: Source, finding: Finding, day: date, now: Accepted, by: str, why: str) -> None:
    """Note that a day needs no further look."""
    cursor.execute(
        'insert into ops.accepted_days (source, finding, day, rows, usual, accepted_by, accepted_because)'
        ' values (%s, %s, %s, %s, %s, %s, %s) on conflict (source, finding, day) do update set rows = excluded.rows,'
        ' usual = excluded.usual, accepted_at = clock_timestamp(), accepted_by = excluded.accepted_by,'
        ' accepted_because = excluded.accepted_because',
        (source.name, finding, day, now.rows, now.usual, by, why),
    )


def refused(cursor: Cursor, source: Source, window: Window) -> list[date]:
    """The days of ``window`` whose last load has failed: of one that its volume stopped the ledger has no rows."""
    cursor.execute(
        'select distinct day::date from ops.loads as failed, generate_series('
        '     greatest(start_day, %(start)s)::timestamp, least(end_day, %(end)s)::timestamp, interval %(step)s'
        ' ) as day'
        " where source = %(source)s and status = 'failed' and not exists ("
        "     select from ops.loads as later where later.source = %(source)s and later.status = 'done'"
        '     and later.load_id > failed.load_id and day between later.start_day and later.end_day'
        ' ) order by 1',
        {'source': source.name, 'start': window.start, 'end': window.end, 'step': '1 day'},
    )
    return [day for (day,) in cursor.fetchall()]
