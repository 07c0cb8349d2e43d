"""Which days a block loads: one function from a block's keyword arguments to days, for Mage and the command line."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from kly_mage.common.errors import WindowError
from kly_mage.common.settings import UTC

DAILY = {'lag_days': 1, 'catch_up_days': 31}
"""What the daily triggers set, for who does their work without Mage."""
MOST_DAYS = 36_600  # a hundred years: what is beyond is a typing error
_SECONDS = {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86400, 'week': 604800, 'custom': 1}


@dataclass(frozen=True)
class Window:
    """Whole local days, both ends included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise WindowError(f'the days end ({self.end}) before they start ({self.start})')

    def __iter__(self) -> Iterator[date]:
        """Every day, oldest first."""
        return (self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def overlaps(self, other: 'Window') -> bool:
        """Whether the two have a day in common."""
        return self.start <= other.end and other.start <= self.end

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f'{self.start} to {self.end}'


def moved(day: date, days: int) -> date:
    """So many days later, or the first or last day there is."""
    return date.fromordinal(min(max(day.toordinal() + days, date.min.toordinal()), date.max.toordinal()))


def today(timezone: str) -> date:
    """The local day it is now."""
    return datetime.now(ZoneInfo(timezone)).date()


def nothing_waits(days: Window) -> date | None:
    """For ``window``: no day waits to be caught up."""


def window(
    kwargs: Mapping[str, Any], timezone: str, late_days: int, waiting: Callable[[Window], date | None] = nothing_waits
) -> Window:
    """The days a block is asked for.

    In this order: ``start_date`` and ``end_date`` (the command line, ``--runtime-vars``); ``run_date`` (the editor,
    ``mage run`` and Mage's *Run@once*, never a trigger that fires by itself); the interval of a Mage backfill's run; the
    local day on which a trigger fires. ``lag_days`` moves the window back. It begins ``late_days`` earlier, for rows that
    come late, and earlier still where a day waits, but at most ``catch_up_days`` days back.

    Args:
        kwargs: the keyword arguments Mage or the command line gives to a block.
        timezone: where a day is a day.
        late_days: how many days late a row may come (``KLY_LATE_DAYS``, or what the source declares).
        waiting: the first day of a range that waits for a load; asked only where days are to be caught up.

    Raises:
        WindowError: the arguments name no day, or one that is none, or look back less far than rows may be late.
    """
    if kwargs.get('start_date') or kwargs.get('end_date'):
        start = kwargs.get('start_date') or kwargs.get('end_date')
        end = kwargs.get('end_date') or start
        return Window(_day(start, timezone), _day(end, timezone))
    dev = kwargs.get('env', 'dev') == 'dev'
    once = bool(kwargs.get('run_once')) and not any(kwargs.get(name) for name in DAILY)  # those go by the clock
    if kwargs.get('run_date') and (dev or once):
        day = _day(kwargs['run_date'], timezone)
        return Window(day, day)
    if kwargs.get('backfill_id'):
        return _backfill(kwargs, timezone)
    fired = kwargs.get('execution_date') or kwargs.get('ds')
    if not fired or once or (dev and not kwargs.get('ds')):
        raise WindowError(
            'no day given: set the pipeline variable run_date to a day such as 2025-10-01 (editor, Run@once, mage run), '
            'or pass --start and --end (command line)'
        )
    return daily(kwargs, _day(fired, timezone), late_days, waiting)


def daily(
    kwargs: Mapping[str, Any], today: date, late_days: int, waiting: Callable[[Window], date | None] = nothing_waits
) -> Window:
    """What is due on a day: see ``window``, whose arguments these are."""
    end = moved(today, -_whole(kwargs, 'lag_days'))
    start = moved(end, -_look_back(kwargs, late_days))
    if catch_up := _whole(kwargs, 'catch_up_days'):
        first = waiting(Window(moved(end, 1 - catch_up), end))
        start = min(start, first or start)
    return Window(start, end)


def _look_back(kwargs: Mapping[str, Any], late_days: int) -> int:
    """How far back late rows are looked for: one setting says it, a trigger may only look further."""
    if kwargs.get('lookback_days') in (None, ''):
        return late_days
    days = _whole(kwargs, 'lookback_days')
    if days < late_days:
        raise WindowError(
            f'lookback_days={days} of the trigger is less than the {late_days} days that rows may be late (KLY_LATE_DAYS): '
            'later ones would be loaded by no run; take lookback_days out of the trigger, which then goes by that setting'
        )
    return days


def ranges(days: Iterable[date]) -> list[Window]:
    """Days that follow each other, together."""
    found: list[Window] = []
    for day in sorted(days):
        if found and day - found[-1].end == timedelta(days=1):
            found[-1] = Window(found[-1].start, day)
        else:
            found.append(Window(day, day))
    return found


def spans(days: Iterable[date]) -> str:
    """Days as a person writes them: ``2025-10-01, 2025-10-03 to 2025-10-05``."""
    return ', '.join(map(str, ranges(days)))


def _backfill(kwargs: Mapping[str, Any], timezone: str) -> Window:
    """The days of one run of a Mage backfill.

    What Mage gives a block is not enough: the last run of a monthly backfill gets the length of the month before, and a
    backfill of one run gets no end. ``backfill_interval``, ``backfill_units`` and ``backfill_end`` say what was asked for
    (``mage_run.asked``). Runs meet without gap or overlap, and none reaches beyond the last day asked for; only a month
    (or year) that begins on its first day is always the whole month.
    """
    start = _day(kwargs.get('ds') or kwargs['execution_date'], timezone)
    kind = kwargs.get('backfill_interval')
    if not kind:  # a backfill over the API need not have one
        end = kwargs.get('interval_end_datetime')
        return Window(start, max(start, _utc_day(end) - timedelta(days=1)) if end else start)
    units = _whole(kwargs, 'backfill_units', MOST_DAYS * _SECONDS['day']) or 1
    if kind in ('month', 'year'):
        following = _months_later(start, units * (12 if kind == 'year' else 1))
    else:
        seconds = units * _SECONDS[kind]
        began = kwargs.get('execution_date')
        began = began if isinstance(began, datetime) else datetime(start.year, start.month, start.day, tzinfo=UTC)
        following = (began + timedelta(seconds=seconds - 1)).date() + timedelta(days=1)
    end = max(start, following - timedelta(days=1))
    whole_months = kind in ('month', 'year') and start.day == 1
    if not whole_months and kwargs.get('backfill_end'):
        end = max(start, min(end, _utc_day(kwargs['backfill_end'])))
    return Window(start, end)


def _months_later(day: date, months: int) -> date:
    """The same day so many months later, or the last one of a shorter month: as Mage steps."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _day(value: Any, timezone: str) -> date:
    if isinstance(value, datetime):  # an instant; Mage's own are UTC, naive ones too
        instant = value if value.tzinfo else value.replace(tzinfo=UTC)
        return instant.astimezone(ZoneInfo(timezone)).date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise WindowError(f'{value!r} is not a day; write it as 2025-10-01') from error


def _utc_day(value: Any) -> date:
    return value.date() if isinstance(value, datetime) else date.fromisoformat(str(value)[:10])


def _whole(kwargs: Mapping[str, Any], name: str, most: int = MOST_DAYS) -> int:
    value = kwargs.get(name) or 0
    if not str(value).isdecimal() or len(str(value)) > len(str(most)) or int(value) > most:
        raise WindowError(f'{name}={value!r} is no whole number from 0 to {most:,}')
    return int(value)
