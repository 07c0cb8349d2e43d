"""Which days a run loads by itself: late days, days that wait, days asked for by a word."""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from kly_mage.__main__ import main
from kly_mage.common.errors import WindowError
from kly_mage.common.settings import REPOSITORY, Settings, load_settings
from kly_mage.common.window import DAILY, Window
from kly_mage.declared import SOURCES
from kly_mage.landing.files import find_files
from kly_mage.loads import runner
from kly_mage.warehouse.postgres import ledger
from tests.clock import lasting_day
from tests.delivery import ad, article, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import deliver_october

GAM = SOURCES['gam_delivery']


def morning(day: int, *pipelines: str) -> None:
    """The daily run of an October morning."""
    runner.run(pipelines or runner.names(), env='prod', ds=f'2025-10-{day:02}', trigger_name='daily', **DAILY)


def load(first: int, last: int | None = None) -> int:
    """October days of the ads; gives the exit code."""
    days = ('--start', f'2025-10-{first:02}', '--end', f'2025-10-{last or first:02}')
    return main(['backfill', *days, '--pipeline', 'ads_revenue', '--quiet'])


def ad_file(settings: Settings, day: int, *units: str) -> None:
    """A file of ads of one October day, one USD per unit."""
    stamp = f'2025-10-{day:02}'
    deliver(settings, f'gam_delivery_{stamp.replace("-", "")}.csv', *(ad(unit, day=stamp) for unit in units or ('top',)))


def units(query: Query) -> list[str]:
    """The days of October and ad units in bronze."""
    rows = query('select extract(day from served_at)::int, ad_unit from bronze.gam_delivery order by 1, 2')
    return [f'{day} {unit}' for day, unit in rows]


# --- lateness has one setting -----------------------------------------------------------------------------------------


def test_a_row_six_days_late_is_loaded_by_the_daily_run_where_rows_may_be_seven_days_late(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('KLY_LATE_DAYS', '7')
    for day in range(1, 8):
        ad_file(settings, day)
        morning(day + 1, 'ads_revenue')
    deliver(settings, 'gam_delivery_20251007b.csv', ad('six days late', day='2025-10-01'))
    morning(8, 'ads_revenue')
    assert '1 six days late' in units(query)


def test_a_trigger_that_says_less_than_the_setting_fails_before_it_loads_anything(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('KLY_LATE_DAYS', '7')
    ad_file(settings, 1)
    with pytest.raises(WindowError, match=r'lookback_days=3 .* the 7 days'):
        runner.run(['ads_revenue'], env='prod', ds='2025-10-02', lookback_days=3, **DAILY)
    assert query("select from pg_tables where tablename = 'loads'") == []


# --- holes ------------------------------------------------------------------------------------------------------------


def test_a_daily_run_takes_late_rows_and_the_days_that_were_missed(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 13))
    morning(2)
    morning(3)
    morning(13)  # ten mornings were missed
    assert_gold_is_exact(query, settings.data_dir)


def test_one_day_loaded_by_hand_after_an_outage_does_not_hide_the_hole_before_it(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 14))
    morning(2)
    assert main(['backfill', '--start', '2025-10-12', '--quiet']) == 3  # the scene's rejects
    morning(14)
    assert_gold_is_exact(query, settings.data_dir)


def test_a_day_whose_load_failed_or_died_waits(settings: Settings, query: Query) -> None:
    for day in range(1, 11):
        ad_file(settings, day)
    assert load(1, 10) == 0
    query("update ops.loads set status = 'failed'")
    for first, last in ((1, 3), (5, 10)):
        assert load(first, last) == 0
    assert waiting(settings) == date(2025, 10, 4)
    query(
        'insert into ops.loads (source, start_day, end_day, started_by)'
        " values ('gam_delivery', '2025-10-04', '2025-10-04', 't')"
    )
    assert waiting(settings) == date(2025, 10, 4)
    morning(11, 'ads_revenue')
    assert waiting(settings) is None


def test_a_file_that_comes_after_its_day_was_asked_for_is_loaded_by_the_next_daily_run(
    settings: Settings, query: Query
) -> None:
    for day in (1, 2, 4, 5, 6, 7, 8):
        ad_file(settings, day)
    assert load(1, 8) == 3
    ad_file(settings, 3)  # more than KLY_LATE_DAYS ago
    assert main(['status', '--source', 'gam_delivery', '--start', '2025-10-03']) == 3
    morning(9, 'ads_revenue')
    assert '3 top' in units(query)


def test_days_before_the_first_that_was_ever_asked_for_wait_for_nobody(settings: Settings, query: Query) -> None:
    for day in range(1, 21):
        ad_file(settings, day)
    morning(21, 'ads_revenue')
    morning(21, 'ads_revenue')
    assert units(query) == [f'{day} top' for day in range(17, 21)]


def test_a_load_asked_for_days_to_come_does_not_count_as_having_loaded_them(settings: Settings) -> None:
    ad_file(settings, 1)
    today = lasting_day()
    runner.run(['ads_revenue'], start_date=today, end_date=today + timedelta(days=50))
    files = find_files(GAM, settings.data_dir, settings.timezone)
    found = ledger.first_waiting(settings, GAM, files, Window(today, today + timedelta(days=9)))
    assert found == today + timedelta(days=1)


def waiting(settings: Settings) -> date | None:
    files = find_files(GAM, settings.data_dir, settings.timezone)
    return ledger.first_waiting(settings, GAM, files, Window(date(2025, 10, 1), date(2025, 10, 10)))


def test_backfill_missing_loads_exactly_the_days_that_status_calls_missing(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (1, 2, 3, 4, 5, 7, 8):
        ad_file(settings, day)
    load(2, 3)
    load(8)
    capsys.readouterr()
    assert main(['backfill', '--missing', '--pipeline', 'ads_revenue', '--quiet']) == 3  # there is no file of the 6th
    asked = query('select start_day::text, end_day::text from ops.loads where load_id > 2 order by load_id')
    assert asked == [('2025-10-01', '2025-10-01'), ('2025-10-04', '2025-10-07')]
    ad_file(settings, 6)
    assert main(['backfill', '--missing', '--pipeline', 'ads_revenue', '--quiet']) == 0
    assert query('select start_day::text, end_day::text from ops.loads order by load_id desc limit 1') == [
        ('2025-10-06', '2025-10-06')
    ]
    assert main(['status', '--source', 'gam_delivery']) == 0
    capsys.readouterr()
    assert main(['backfill', '--missing', '--pipeline', 'ads_revenue']) == 0
    assert capsys.readouterr().out == 'no day missing\n'


def test_a_missing_day_that_cannot_be_loaded_does_not_hold_up_those_behind_it(settings: Settings, query: Query) -> None:
    for day in (1, 2, 3, 4, 5):
        ad_file(settings, day)
    load(1)
    load(3)
    load(5)
    deliver(settings, 'gam_delivery_20251002.csv', header='nothing,that,is,needed')
    deliver(settings, 'gam_delivery_20251002b.csv', header='nothing,that,is,needed')
    assert main(['backfill', '--missing', '--pipeline', 'ads_revenue', '--quiet']) != 0
    assert '4 top' in units(query)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('asked', 'first', 'last'),
    [
        (['--start', 'yesterday'], 1, 1),
        (['--start', '2025-10-01', '--end', 'today'], None, 0),
        (['--last', '7'], 7, 1),
        (['--last', '1'], 1, 1),
    ],
)
def test_days_may_be_asked_for_by_a_word_or_a_number(
    settings: Settings, query: Query, asked: list[str], first: int | None, last: int
) -> None:
    ad_file(settings, 1)
    today = lasting_day()
    assert main(['backfill', *asked, '--pipeline', 'ads_revenue', '--quiet']) == 3  # most of the days have no file
    begin = date(2025, 10, 1) if first is None else today - timedelta(days=first)
    assert query('select start_day, end_day from ops.loads') == [(begin, today - timedelta(days=last))]


def test_the_cron_line_of_the_docs_loads_every_day_as_it_stands(settings: Settings, query: Query) -> None:
    (line,) = re.findall(r'^\S+ \S+ \* \* \* (.*)$', (REPOSITORY / 'docs/every-day.md').read_text('utf-8'), re.MULTILINE)
    command = line.partition(' && ')[2]
    assert command.startswith('.venv/bin/python -m kly_mage backfill ')
    today = lasting_day()
    for back in (1, 4, 5):
        stamp = f'{today - timedelta(days=back)}'
        deliver(settings, f'gam_delivery_{stamp.replace("-", "")}.csv', ad(day=stamp))
    for source, text in {'ga4_events': 'event_timestamp,event_name', 'cms_articles': 'content_id'}.items():
        (settings.data_dir / f'{source}.csv').write_text(text + '\n')
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 3), done.stderr
    begin, end = today - timedelta(days=1 + load_settings().late_days), today - timedelta(days=1)
    assert set(query('select start_day, end_day from ops.loads')) == {(begin, end)}
    assert query('select count(*) from bronze.gam_delivery') == [(2,)]  # the fifth day back was never asked for


# --- clocks that change -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('zone', 'changed'),
    [
        ('Europe/Berlin', datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),  # 02:30, for the first time
        ('Europe/Berlin', datetime(2025, 10, 26, 1, 30, tzinfo=UTC)),  # 02:30, for the second
        ('America/Sao_Paulo', datetime(2018, 2, 18, 1, 30, tzinfo=UTC)),
        ('Pacific/Apia', datetime(2021, 4, 3, 13, 30, tzinfo=UTC)),
        ('Asia/Kolkata', datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_file_changed_in_an_hour_that_the_clock_repeats_is_read_once(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, zone: str, changed: datetime
) -> None:
    monkeypatch.setenv('KLY_TIMEZONE', zone)
    for path in (
        deliver(settings, 'cms_articles_20251001.csv', article('7')),
        deliver(settings, 'ga4_events_20251001.csv', event()),
        deliver(settings, 'gam_delivery_20251001.csv', ad()),
    ):
        os.utime(path, (changed.timestamp(), changed.timestamp()))
    assert main(['backfill', '--start', '2025-10-01', '--quiet']) == 0
    assert main(['status']) == 0
    assert query("select count(*) from ops.loads where status = 'done' and rows_read = 1") == [(3,)]
    assert main(['backfill', '--start', '2025-10-05', '--pipeline', 'articles_performance', '--quiet']) == 3
    assert query("select rows_read from ops.loads where source = 'cms_articles' order by load_id") == [(1,), (0,)]
