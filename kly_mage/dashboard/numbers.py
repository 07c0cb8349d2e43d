"""Where the pages have their numbers from: the queries in ``warehouse/*/queries``, and what ``show`` asks."""

from datetime import date, datetime, timedelta
from typing import Any

import streamlit as st

from kly_mage.common.settings import load_settings
from kly_mage.common.window import Window, today
from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.base import Reader
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.gold import DAY, Asked, Found, Table

SECONDS = 20  # for which an answer is kept: a page that is opened again soon is there at once


@st.cache_data(ttl=SECONDS, max_entries=200, show_spinner=False)
def rows(name: str, **values: Any) -> Table:
    """The answer to ``queries/NAME.sql``.

    Raises:
        WarehouseError: the warehouse cannot be reached, or does not answer in time.
        NotBuiltError: nothing was loaded so far.
        UsageError: the warehouse has no such query yet.
    """
    return _reader().query(name, values)


def everything(name: str, **values: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The same without keeping it, for a file: the names of the columns, and the rows."""
    found = _reader().query(name, values)
    return found.columns, found.rows


@st.cache_data(ttl=SECONDS, max_entries=200, show_spinner=False)
def added_up(days: Window, by: str, article: str | None = None, sort: str | None = None) -> Found:
    """``gold.daily_summary`` added up by a column of it, as ``show --by`` has it."""
    found = _reader().look_up(DAILY_SUMMARY, Asked(days, article, by, sort))
    assert found is not None
    return found


def by_day(days: Window, article: str | None = None) -> Found:
    """The same by day."""
    return added_up(days, DAY, article)


def moments(source: str, days: Window, article: str = '') -> dict[str, datetime | None]:
    """When loads brought rows of some days, as the queries of bronze take it: ``first`` and ``last``."""
    found = rows('span', source=source, start=days.start, end=days.end, article=article)
    return dict(zip(found.columns, found.rows[0], strict=True))


def changes(day: date, article: str) -> Table:
    """What each load has changed of a day's numbers, or of an article's, by what bronze holds from when they ran."""
    events, ads = (moments(source, Window(day, day), article) for source in ('ga4_events', 'gam_delivery'))
    asked = {'eventsfrom': events['first'], 'eventsto': events['last'], 'adsfrom': ads['first'], 'adsto': ads['last']}
    return rows('changes_fast', day=day, article=article, **asked)


def provisional(days: Window) -> dict[date, str]:
    """The days whose numbers are not final, with the sources; only days are asked for that can be, by the declarations."""
    now, sources = today(load_settings().timezone), [source for source in SOURCES.values() if source.finality]
    still_open = [day for day in days if any(s.finality and s.finality.of(day) > now for s in sources)]
    if not still_open:
        return {}
    found = rows('provisional', start=still_open[0], end=still_open[-1])
    return {day: names for day, names, _ in found.rows}


@st.cache_data(ttl=SECONDS, show_spinner=False)
def reach() -> Window | None:
    """From the first day in gold to the last; None while there is none."""
    ((first, last),) = _reader().query('reach', {}).rows
    return Window(first, last) if first else None


def ends(days: Window) -> dict[str, date]:
    """The days as parameters of a link; the underscore is left out of an address."""
    return {'from_': days.start, 'to': days.end}


def before(days: Window) -> Window:
    """As many days, up to the day before."""
    length = (days.end - days.start).days + 1
    start = days.start - timedelta(days=length) if days.start.toordinal() > length else date.min
    return Window(start, max(start, days.start - timedelta(days=1)))


def _reader() -> Reader:
    return warehouse(load_settings()).reader()
