"""Somebody says that days out of the ordinary are right: a holiday's volume, a feed that has ended."""

from collections.abc import Iterable

from kly_mage.checks.status import SourceStatus
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.standing import Accepted


def accept(settings: Settings, found: Iterable[SourceStatus], days: Window | None, by: str, why: str) -> list[str]:
    """Note that what ``status`` has found out of the ordinary needs no further look.

    Of a source whose volume stops loads, ``days`` name those that were refused: whatever they bring is then right.

    Args:
        found: as ``status.status`` gives it for these days.
        days: those that were asked for; None for all.

    Returns:
        What was accepted, one line each.
    """
    told, store = list[str](), warehouse(settings)
    for each in found:
        source = SOURCES[each.source]
        for day in each.far_off:
            store.accept_day(source, 'volume', day.day, Accepted(day.rows, day.usual), by, why)
            told.append(f'{source.name} {day}')
        if each.stale:
            store.accept_day(source, 'freshness', each.stale.newest, Accepted(None, None), by, why)
            told.append(f'{source.name}: {each.stale}')
        if days and source.volume and source.volume.level == 'stop':
            for refused in store.refused_days(source, days):
                store.accept_day(source, 'volume', refused, Accepted(None, None), by, why)
                told.append(f'{source.name} {refused}: its load has failed; whatever number of rows it brings')
    return told
