"""Days that bring far fewer or far more rows than the days around them, from the ledger alone."""

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import RuleError
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres import accepted
from kly_mage.warehouse.standing import FarOff

_NEIGHBOURS = 7  # fewer say nothing
_ROWS = 20  # of a usual day; fewer are far from each other by chance
_FAR_OFF = """
    -- What the last load of each day found in the files, unless it was taken out since.
    with loaded as (
        select distinct on (day)
            day, of_day.rows_new + of_day.rows_already_loaded + of_day.rows_unchanged + of_day.rows_conflicting as rows
        from ops.load_days as of_day inner join ops.loads using (load_id)
        where
            source = %(source)s and status = 'done' and day between %(first)s and %(last)s
            and not exists (
                select from ops.loads as gone
                where
                    gone.source = %(source)s and gone.status = 'unload' and gone.load_id > loads.load_id
                    and day between gone.start_day and gone.end_day
            )
        order by day, load_id desc
    )

    select own.day, own.rows, round(usual)::bigint
    from loaded as own
    cross join lateral (
        select count(*) as neighbours, percentile_cont(0.5) within group (order by rows) as usual
        from loaded as other
        where other.day <> own.day and other.day between own.day - %(days)s and own.day + %(days)s
    ) as around
    where
        own.day between %(start)s and %(end)s and neighbours >= %(neighbours)s and usual >= %(rows)s
        and (own.rows < %(least)s * usual or own.rows > %(most)s * usual)
    order by own.day
"""


def far_off(cursor: Cursor, source: Source, window: Window) -> list[FarOff]:
    """The days of ``window`` whose volume is far from that of the days around them, as the source declares it.

    Those that somebody has accepted as they are (``accepted``) are not among them.
    """
    if source.volume is None or source.any_day:
        return []
    cursor.execute(
        _FAR_OFF,
        {
            'source': source.name,
            'start': window.start,
            'end': window.end,
            'first': moved(window.start, -source.volume.days),
            'last': moved(window.end, source.volume.days),
            'days': source.volume.days,
            'least': source.volume.least,
            'most': source.volume.most,
            'neighbours': _NEIGHBOURS,
            'rows': _ROWS,
        },
    )
    found = [FarOff(*row) for row in cursor.fetchall()]
    right = accepted.days(cursor, source, 'volume') if found else {}
    return [each for each in found if each.day not in right or not right[each.day].covers(each.rows)]


def check(cursor: Cursor, source: Source, window: Window) -> list[FarOff]:
    """The same for a load whose ledger is written, in its transaction.

    Raises:
        RuleError: the source declares that such a load is to stop.
    """
    found = far_off(cursor, source, window)
    if found and source.volume and source.volume.level == 'stop':
        raise RuleError(
            f'{source.name}: its volume is far off ({"; ".join(map(str, found))}); nothing of this load was written. '
            f'Deliver the files again or, if that is right, python -m kly_mage status --accept WHY --source {source.name} '
            f'--start {found[0].day} --end {found[-1].day}'
        )
    return found
