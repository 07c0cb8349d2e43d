"""Which days a block loads, for every way Mage and the command line ask."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import yaml
from dateutil.relativedelta import relativedelta

from kly_mage.common.errors import WindowError
from kly_mage.common.settings import PROJECT
from kly_mage.common.window import DAILY, Window, window

ZONE = 'Asia/Jakarta'


def days(kwargs: dict[str, Any], late_days: int = 0, waiting: date | None = None) -> list[str]:
    """The days of a run, where ``waiting`` is the only day that waits for a load."""
    return [str(day) for day in window(kwargs, ZONE, late_days, lambda days: waiting if waiting in set(days) else None)]


def fired(day: str, **more: Any) -> dict[str, Any]:
    """The keyword arguments of a run that the daily trigger starts at midnight UTC, 07:00 in Jakarta."""
    return {'env': 'prod', 'ds': day, 'execution_date': datetime.fromisoformat(day).replace(tzinfo=UTC), **more}


def backfill_runs(start: str, end: str, kind: str, units: int = 1) -> Iterator[dict[str, Any]]:
    """The runs of a backfill with the arguments Mage gives, worked out as Mage 0.9.80 does."""
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end))
    step = relativedelta(**{f'{kind}s': units}) if kind != 'custom' else relativedelta(seconds=units)
    starts = []
    while first <= last:
        starts.append(first)
        first += step
    for number, instant in enumerate(starts):
        following = starts[number + 1] if number + 1 < len(starts) else None
        if following is None and number:  # Mage gives the last run the length of the one before
            following = instant + (instant - starts[number - 1])
        yield {
            'env': 'prod',
            'trigger_name': 'Backfill October',
            'backfill_id': 1,
            'run_date': '1999-01-01',
            'ds': f'{instant:%Y-%m-%d}',
            'execution_date': instant,
            'interval_end_datetime': following,
            'backfill_interval': kind,
            'backfill_units': units,
            'backfill_end': last,
        }


def test_the_command_line_names_both_ends() -> None:
    assert days({'start_date': date(2025, 10, 1), 'end_date': '2025-10-03'}) == ['2025-10-01', '2025-10-02', '2025-10-03']


def test_a_trigger_that_is_called_backfill_is_none() -> None:
    asked = fired('2025-10-10', trigger_name='Backfill nightly', lag_days=1)
    assert days(asked, late_days=2) == ['2025-10-07', '2025-10-08', '2025-10-09']


def test_one_end_is_one_day() -> None:
    assert days({'end_date': '2025-10-03'}) == ['2025-10-03']


def test_the_editor_goes_by_run_date() -> None:
    assert days({'env': 'dev', 'run_date': '2025-10-07', 'execution_date': datetime.now(UTC)}) == ['2025-10-07']


@pytest.mark.parametrize('run_date', ['', None, 'yesterday'])
def test_the_editor_without_a_day_says_what_to_do(run_date: str | None) -> None:
    with pytest.raises(WindowError, match='2025-10-01'):
        window({'env': 'dev', 'run_date': run_date, 'execution_date': datetime.now(UTC)}, ZONE, 3)


def test_a_trigger_never_goes_by_run_date() -> None:
    assert days(fired('2025-10-09', run_date='2025-10-01')) == ['2025-10-09']


def test_a_run_started_once_loads_the_day_its_page_shows() -> None:
    assert days(fired('2025-10-09', run_date='2025-10-01', run_once=True), late_days=3) == ['2025-10-01']


def test_a_run_started_once_that_says_how_far_back_goes_by_the_clock() -> None:
    run = fired('2025-10-09', run_date='2025-10-01', run_once=True, lag_days=1)
    assert days(run, late_days=1) == ['2025-10-07', '2025-10-08']


def test_a_run_started_once_without_a_day_does_not_load_today() -> None:
    with pytest.raises(WindowError, match='Run@once'):
        window(fired('2025-10-09', run_date='', run_once=True), ZONE, 3)


def test_the_daily_trigger_takes_yesterday_and_as_many_days_before_as_rows_may_be_late() -> None:
    wanted = ['2025-10-06', '2025-10-07', '2025-10-08', '2025-10-09']
    assert days(fired('2025-10-10', lag_days=1), late_days=3) == wanted
    assert days(fired('2025-10-10', lag_days=1), late_days=7)[0] == '2025-10-02'
    assert days(fired('2025-10-10', lag_days=1, lookback_days=5), late_days=3)[0] == '2025-10-04'


def test_a_trigger_that_looks_back_less_far_than_rows_may_be_late_is_refused_with_the_remedy() -> None:
    asked = fired('2025-10-10', lag_days=1, lookback_days=3)
    with pytest.raises(
        WindowError, match=r'lookback_days=3 .* 7 days .*KLY_LATE_DAYS.* take lookback_days out of the trigger'
    ):
        window(asked, ZONE, 7)


@pytest.mark.parametrize('pipeline', ['ads_revenue', 'articles_performance'])
def test_the_daily_triggers_say_nothing_of_lateness_and_do_what_backfill_daily_does(pipeline: str) -> None:
    (trigger,) = yaml.safe_load((PROJECT / 'pipelines' / pipeline / 'triggers.yaml').read_text())['triggers']
    assert trigger['variables'] == DAILY == {'lag_days': 1, 'catch_up_days': 31}


def test_a_trigger_late_in_the_utc_day_is_already_the_next_day_in_jakarta() -> None:
    run = {'env': 'prod', 'ds': '2025-10-10', 'execution_date': datetime(2025, 10, 10, 18, tzinfo=UTC)}
    assert days(run) == ['2025-10-11']


def test_days_that_wait_are_caught_up() -> None:
    asked = fired('2025-10-20', lag_days=1, catch_up_days=31)
    assert days(asked, 3, date(2025, 10, 11))[0] == '2025-10-11'
    assert days(asked, 3, date(2025, 10, 18))[0] == '2025-10-16'  # it is among the late days anyway
    assert days(asked, 3, date(2025, 9, 19)) == [str(date(2025, 9, 19) + timedelta(days=n)) for n in range(31)]
    assert days(asked, 3, date(2025, 9, 18))[0] == '2025-10-16'  # the 32nd day back


@pytest.mark.parametrize(
    ('start', 'end', 'kind', 'units'),
    [
        ('2025-10-01', '2025-10-31', 'day', 1),
        ('2025-10-01', '2025-10-01', 'day', 1),
        ('2025-10-01', '2025-10-31', 'day', 4),
        ('2025-10-01', '2025-10-31', 'week', 1),
        ('2025-10-01', '2025-10-02', 'week', 1),
        ('2025-10-01', '2025-10-31', 'month', 1),
        ('2025-10-01', '2025-12-31', 'month', 1),
        ('2025-09-01', '2026-02-28', 'month', 1),
        ('2025-10-15', '2025-12-20', 'month', 1),
        ('2025-10-31', '2026-03-15', 'month', 1),
        ('2025-10-01', '2026-03-31', 'month', 3),
        ('2024-01-01', '2025-12-31', 'year', 1),
        ('2025-10-01', '2025-10-05', 'custom', 86400),
    ],
)
def test_the_runs_of_a_backfill_cover_every_day_of_its_range_exactly_once(
    start: str, end: str, kind: str, units: int
) -> None:
    covered = [day for run in backfill_runs(start, end, kind, units) for day in window(run, ZONE, 3)]
    assert covered == list(Window(date.fromisoformat(start), date.fromisoformat(end)))


def test_a_month_that_begins_on_its_first_day_is_the_whole_month() -> None:
    runs = [window(run, ZONE, 3) for run in backfill_runs('2025-10-01', '2025-12-01', 'month')]
    assert [str(run) for run in runs] == [
        '2025-10-01 to 2025-10-31',
        '2025-11-01 to 2025-11-30',
        '2025-12-01 to 2025-12-31',
    ]


def test_a_run_within_a_day_takes_its_day() -> None:
    found = [str(window(run, ZONE, 3)) for run in backfill_runs('2025-10-01', '2025-10-02', 'hour', 12)]
    assert found == ['2025-10-01', '2025-10-01', '2025-10-02']


def test_a_backfill_ignores_lag_and_look_back() -> None:
    (run,) = backfill_runs('2025-10-01', '2025-10-01', 'day')
    assert days({**run, 'lag_days': 1, 'lookback_days': 3}) == ['2025-10-01']


def test_days_that_end_before_they_start_are_refused() -> None:
    with pytest.raises(WindowError, match='before they start'):
        window({'start_date': '2025-10-02', 'end_date': '2025-10-01'}, ZONE, 3)


@pytest.mark.parametrize('name', ['lag_days', 'lookback_days'])
def test_a_lag_that_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(WindowError, match=name):
        window(fired('2025-10-10', **{name: 'two'}), ZONE, 3)


def test_what_lies_beyond_the_calendar_is_its_first_or_last_day() -> None:
    assert days({'ds': '0001-01-02', 'env': 'prod', 'lag_days': 2}, late_days=3) == ['0001-01-01']
    assert days({'ds': '0001-01-02', 'env': 'prod', **DAILY}, late_days=3) == ['0001-01-01']


@pytest.mark.parametrize('name', ['lag_days', 'lookback_days', 'catch_up_days'])
@pytest.mark.parametrize('value', ['1000000000', '9' * 5000, 'three', -1])
def test_a_number_of_days_that_cannot_be_meant_is_refused(name: str, value: Any) -> None:
    with pytest.raises(WindowError, match=rf'{name}=.* is no whole number from 0 to 36,600'):
        days({'ds': '2025-10-01', 'env': 'prod', name: value})
