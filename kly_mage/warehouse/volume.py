"""Which days bring far fewer or far more rows than the days around them."""

from collections.abc import Mapping
from datetime import date
from statistics import median

from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.warehouse.standing import FarOff

NEIGHBOURS = 7  # fewer say nothing
ROWS = 20  # of a usual day; fewer are far from each other by chance


def looked_at(source: Source, window: Window) -> Window | None:
    """The days whose rows it takes to judge those of ``window``; None if the source declares no volume."""
    if source.volume is None or source.any_day:
        return None
    return Window(moved(window.start, -source.volume.days), moved(window.end, source.volume.days))


def far_off(source: Source, rows: Mapping[date, int], window: Window) -> list[FarOff]:
    """The days of ``window`` whose volume is far from that of the days around them, as the source declares it.

    Args:
        rows: distinct usable rows of the days of ``looked_at``, as the last load of each found them.
    """
    volume, found = source.volume, list[FarOff]()
    if volume is None:
        return found
    for day in sorted(day for day in rows if day in window):
        near = Window(moved(day, -volume.days), moved(day, volume.days))
        others = [rows[other] for other in near if other != day and other in rows]
        if len(others) < NEIGHBOURS or (usual := median(others)) < ROWS:
            continue
        if rows[day] < volume.least * usual or rows[day] > volume.most * usual:
            found.append(FarOff(day, rows[day], round(usual)))
    return found
