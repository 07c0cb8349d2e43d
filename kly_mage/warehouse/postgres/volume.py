"""Days that bring far fewer or far more rows than the days around them, from the ledger alone."""

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse import rules, volume
from kly_mage.warehouse.postgres import accepted
from kly_mage.warehouse.standing import FarOff

# What the last load of each day found in the files, unless it was taken out since.
_LOADED = """
    select distinct on (day)
        day, of_day.rows_new + of_day.rows_already_loaded + of_day.rows_unchanged
        + of_day.rows_conflicting + of_day.rows_restated as rows
    from ops.load_days as of_day inner join ops.loads using (load_id)
    where
        source = %(source)s and status = 'done' and day between %(start)s and %(end)s
        and not exists (
            select from ops.loads as gone
            where
                gone.source = %(source)s and gone.status = 'unload' and gone.load_id > loads.load_id
                and day between gone.start_day and gone.end_day
        )
    order by day, load_id desc
"""


def far_off(cursor: Cursor, source: Source, window: Window) -> list[FarOff]:
    """The days of ``window`` whose volume is far from that of the days around them, as the source declares it.

    Those that somebody has accepted as they are (``accepted``) are not among them.
    """
    if (days := volume.looked_at(source, window)) is None:
        return []
    cursor.execute(_LOADED, {'source': source.name, 'start': days.start, 'end': days.end})
    found = volume.far_off(source, dict(cursor.fetchall()), window)
    right = accepted.days(cursor, source, 'volume') if found else {}
    return [each for each in found if each.day not in right or not right[each.day].covers(each.rows)]


def check(cursor: Cursor, source: Source, window: Window) -> list[FarOff]:
    """The same for a load whose ledger is written, in its transaction.

    Raises:
        RuleError: the source declares that such a load is to stop.
    """
    found = far_off(cursor, source, window)
    rules.hold_volume(source, found)
    return found
