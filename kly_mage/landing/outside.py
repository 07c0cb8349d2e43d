"""Rows outside: a dated file may hold the rows of some days only (``LandingFile.days``); no load takes others from it.

They must not vanish either. The load that is asked for the file's own day has them in its frames, marked like rows that
cannot be used, and counts them; loads of other days that look at the file for late rows leave them to that one. So they do
with rows whose day cannot be read.
"""

import json
from datetime import date

import polars as pl

from kly_mage.common.window import Window

OUTSIDE = json.dumps({'column': None, 'value': None, 'reason': 'its day is not one its file may hold', 'row': None})
"""What ``_reject`` says of such a row; whether its values can be used does not matter then."""


def taken(frame: pl.DataFrame, days: Window, may_hold: Window | None, own: date | None) -> pl.DataFrame:
    """The rows that a load takes from a frame of one file: those of its days, and with the file's own day those outside.

    Rows without a readable day go with the own day of their file, and with any day if it has none.

    Args:
        days: what the load is asked for.
        may_hold: the days whose rows the file may hold; None for any.
        own: the day in the file's name.
    """
    day = pl.col('_partition_date')
    first, last = (max(days.start, may_hold.start), min(days.end, may_hold.end)) if may_hold else (days.start, days.end)
    is_own = own is None or own in days
    no_day = day.is_null() & pl.col('_reject').is_not_null() & is_own
    inside = frame.select((day.is_between(first, last) | no_day).fill_null(False)).to_series()
    if inside.all():
        return frame
    if may_hold is None or not is_own:
        return frame.filter(inside)
    outside = frame.select(~day.is_between(may_hold.start, may_hold.end).fill_null(True)).to_series()
    if not outside.any():
        return frame.filter(inside)
    marked = frame.with_columns(pl.when(outside).then(pl.lit(OUTSIDE)).otherwise('_reject').alias('_reject'))
    return marked.filter(inside | outside)
