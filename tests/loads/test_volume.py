"""A day that brings far fewer or far more rows than the days around it: said at once, or refused."""

from dataclasses import replace

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Volume
from kly_mage.loads import steps
from tests.delivery import ad, ads, deliver
from tests.gold import Query
from tests.remedies import obey

pytestmark = pytest.mark.one_version

Captured = pytest.CaptureFixture[str]
USUAL = 30


def day(settings: Settings, number: int, rows: int) -> None:
    stamp = f'2025-10-{number:02}'
    deliver(settings, f'gam_delivery_202510{number:02}.csv', *(ad(f'unit{n}', day=stamp) for n in range(rows)))


@pytest.fixture
def ten_days(settings: Settings, capsys: Captured) -> Settings:
    """Ten days that are alike, loaded."""
    for number in range(1, 11):
        day(settings, number, USUAL + number % 3)
    assert ads('2025-10-01', '2025-10-10') == 0
    assert main(['status', '--source', 'gam_delivery']) == 0
    capsys.readouterr()
    return settings


def stop_at(monkeypatch: pytest.MonkeyPatch, **how: float) -> None:
    """Let the ads' volume stop loads, for this test."""
    stopping = replace(SOURCES['gam_delivery'], volume=Volume(level='stop', **how))  # type: ignore[arg-type]
    monkeypatch.setitem(SOURCES, 'gam_delivery', stopping)


@pytest.mark.parametrize('rows', [5, 160])
def test_a_day_far_from_those_around_it_is_said_by_its_load_and_by_status(
    ten_days: Settings, capsys: Captured, rows: int
) -> None:
    day(ten_days, 11, rows)
    told = f'gam_delivery 2025-10-11: {rows} rows, a day around it brings 31'
    assert ads('2025-10-11') == 3
    assert told in capsys.readouterr().err
    assert main(['status', '--source', 'gam_delivery']) == 3
    assert told.removeprefix('gam_delivery ') in capsys.readouterr().out


def test_mage_says_it_in_its_line_and_asks_for_a_look(ten_days: Settings) -> None:
    day(ten_days, 11, 5)
    asked = {'start_date': '2025-10-11', 'end_date': '2025-10-11'}
    rows = steps.hash_rows(steps.read_days('gam_delivery', asked), 'gam_delivery')
    load = steps.export_new_rows(rows, 'gam_delivery', asked)
    assert load['look'] == ['volume far from the days around (2025-10-11: 5 rows, a day around it brings 31)']
    assert 'needs a look: volume far' in load['line']


def test_one_load_of_many_days_compares_them_with_each_other(settings: Settings, capsys: Captured) -> None:
    for number in range(1, 11):
        day(settings, number, 3 if number == 5 else USUAL)
    assert ads('2025-10-01', '2025-10-10') == 3
    assert [line for line in capsys.readouterr().err.splitlines() if 'around' in line] == [
        'gam_delivery 2025-10-05: 3 rows, a day around it brings 30; if that is right: '
        "python -m kly_mage status --source gam_delivery --accept 'WHY'"
    ]


def test_what_a_load_says_to_do_about_a_day_that_is_right_makes_it_right(ten_days: Settings, capsys: Captured) -> None:
    day(ten_days, 11, 5)
    assert ads('2025-10-11') == 3
    assert obey(capsys.readouterr().err) == 0
    assert ads('2025-10-11') == 0


def test_few_neighbours_or_few_rows_judge_nobody(settings: Settings) -> None:
    for number in range(1, 8):
        day(settings, number, USUAL)
    day(settings, 7, 1)  # six neighbours
    assert ads('2025-10-01', '2025-10-07') == 0
    for number in range(20, 31):
        day(settings, number, 1 if number == 25 else 10)  # far, and by chance
    assert ads('2025-10-20', '2025-10-30') == 0


def test_a_source_says_how_far_is_far(ten_days: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, least=0.1)
    day(ten_days, 11, 5)
    assert ads('2025-10-11') == 0


def test_what_was_taken_out_judges_nobody(ten_days: Settings, query: Query) -> None:
    assert main(['unload', '--start', '2025-10-01', '--end', '2025-10-10', '--source', 'gam_delivery']) == 0
    day(ten_days, 11, 5)
    assert ads('2025-10-11') == 0


WHY = ['--accept', 'Nyepi: nobody is online', '--by', 'Ani']


def test_a_holiday_that_is_accepted_raises_no_exit_code_any_more_unless_it_gets_farther_off(
    ten_days: Settings, query: Query, capsys: Captured
) -> None:
    day(ten_days, 11, 5)
    assert ads('2025-10-11') == 3
    assert main(['status', '--source', 'gam_delivery', *WHY]) == 0
    told = capsys.readouterr()
    assert '1 finding accepted by Ani: Nyepi: nobody is online' in told.err
    assert 'far off' not in told.out
    assert query('select source, finding, day::text, rows, usual, accepted_by, accepted_because from ops.accepted_days') == [
        ('gam_delivery', 'volume', '2025-10-11', 5, 31, 'Ani', 'Nyepi: nobody is online')
    ]
    assert ads('2025-10-11') == 0
    assert main(['status', '--source', 'gam_delivery']) == 0
    day(ten_days, 11, 6)  # a late row: nearer to what is usual
    assert ads('2025-10-11') == 0
    day(ten_days, 11, 160)  # 154 more: now it is far too many
    assert ads('2025-10-11') == 3
    assert main(['status', '--source', 'gam_delivery']) == 3


def test_a_day_that_its_volume_stopped_loads_once_it_is_accepted(
    ten_days: Settings, query: Query, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch)
    day(ten_days, 11, 5)
    assert ads('2025-10-11') == 1
    assert obey(capsys.readouterr().err) == 3  # it is not loaded yet
    assert ads('2025-10-11') == 0
    assert query("select count(*) from bronze.gam_delivery where _partition_date = '2025-10-11'") == [(5,)]


@pytest.mark.parametrize('command', ['status', 'rejects', 'conflicts'])
@pytest.mark.usefixtures('settings')
def test_whoever_accepts_says_why_and_who(capsys: Captured, command: str) -> None:
    for told in (['--accept', ' '], ['--accept', 'x', '--by', '']):
        assert main([command, *told]) == 2
        assert 'is empty: whoever reads it later has to find something there' in capsys.readouterr().err
