"""A source that brings nothing new for too long: said where today's days are asked for, and nowhere else."""

from datetime import date, timedelta

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.common.window import today
from kly_mage.loads import steps
from kly_mage.warehouse.postgres import ledger
from tests.clock import lasting_day
from tests.delivery import ad, ads, deliver
from tests.gold import Query

pytestmark = pytest.mark.one_version

Captured = pytest.CaptureFixture[str]
STALE = 'nothing is newer than {}, 4 days ago; at most 2 are declared'


@pytest.fixture(autouse=True)
def day_lasts() -> None:
    """Midnight must not pass while a test counts days."""
    lasting_day()


def ago(days: int) -> date:
    return today('Asia/Jakarta') - timedelta(days=days)


def undated(settings: Settings, newest: int) -> None:
    """One file without a day in its name, which grows: no day of it is missing by name."""
    deliver(settings, 'gam_delivery.csv', *(ad(f'unit{back}', day=f'{ago(back)}') for back in range(newest, 20)))


def current() -> int:
    """What a daily run asks for."""
    return ads(f'{ago(4)}', f'{ago(1)}')


def status(*options: str) -> int:
    return main(['status', '--source', 'gam_delivery', *options])


@pytest.mark.parametrize(('newest', 'is_stale'), [(0, False), (1, False), (2, False), (3, True)])
def test_a_current_run_asks_for_rows_of_the_day_before_yesterday(settings: Settings, newest: int, is_stale: bool) -> None:
    undated(settings, newest)
    ads(f'{ago(4)}', f'{ago(0)}')
    assert bool(stale_of()) is is_stale


def stale_of() -> str | None:
    asked = {'start_date': f'{ago(2)}', 'end_date': f'{ago(1)}'}
    rows = steps.hash_rows(steps.read_days('gam_delivery', asked), 'gam_delivery')
    told: str | None = steps.export_new_rows(rows, 'gam_delivery', asked)['stale']
    return told


def test_the_run_status_and_json_say_how_old_the_newest_day_is(settings: Settings, capsys: Captured) -> None:
    undated(settings, 4)
    assert ads(f'{ago(6)}', f'{ago(4)}') == 0  # an old window: nothing newer was asked for
    assert status() == 0
    capsys.readouterr()
    assert ads(f'{ago(4)}', f'{ago(2)}') == 3
    assert f'gam_delivery: {STALE.format(ago(4))}; if that is right: python -m kly_mage' in capsys.readouterr().err
    assert status() == 3
    assert f'  {STALE.format(ago(4))}; if that is right:\n' in capsys.readouterr().out
    assert status('--json') == 3
    assert f'"stale": "{STALE.format(ago(4))}"' in capsys.readouterr().out
    assert status('--start', f'{ago(6)}', '--end', f'{ago(4)}') == 0  # who looks at old days asks nothing of today's


def test_a_backfill_of_old_days_says_nothing_of_today_though_the_source_is_stale(
    settings: Settings, capsys: Captured
) -> None:
    undated(settings, 4)
    assert ads(f'{ago(4)}', f'{ago(2)}') == 3
    assert 'newer' in capsys.readouterr().err
    assert ads(f'{ago(12)}', f'{ago(6)}') == 0
    assert 'newer' not in capsys.readouterr().err


def test_days_that_are_missing_anyway_are_told_once(settings: Settings, capsys: Captured) -> None:
    for back in (5, 4):
        deliver(settings, f'gam_delivery_{ago(back):%Y%m%d}.csv', ad(day=f'{ago(back)}'))
    assert current() == 3
    told = capsys.readouterr().err
    assert f'gam_delivery: no file, or one without rows, for {ago(3)} to {ago(1)}' in told
    assert 'nothing is newer' not in told
    assert status() == 3
    assert 'nothing is newer' in capsys.readouterr().out  # once nobody loads any more, no day is missing by name


def test_mage_asks_for_a_look(settings: Settings, query: Query) -> None:
    undated(settings, 4)
    asked = {'start_date': f'{ago(4)}', 'end_date': f'{ago(2)}'}
    rows = steps.hash_rows(steps.read_days('gam_delivery', asked), 'gam_delivery')
    done = steps.export_new_rows(rows, 'gam_delivery', asked)
    assert STALE.format(ago(4)) in done['look']
    assert f'; {STALE.format(ago(4))}' in done['line']
    query("update ops.loads set pipeline_run = '7'")
    (of_run,) = ledger.of_pipeline_runs(settings, ['7'])
    assert of_run['stale'] == STALE.format(ago(4))


def test_a_row_of_tomorrow_makes_nothing_fresh(settings: Settings) -> None:
    undated(settings, 4)
    deliver(settings, 'gam_delivery_2.csv', ad('late', day=f'{ago(-3)}'))
    assert ads(f'{ago(4)}', f'{ago(-3)}') == 3
    assert stale_of() == STALE.format(ago(4))


def test_an_end_that_is_accepted_is_asked_about_again_after_newer_days(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    undated(settings, 4)
    assert ads(f'{ago(4)}', f'{ago(2)}') == 3
    assert status('--accept', 'the site is closed', '--by', 'Ani') == 0
    assert query('select finding, day, accepted_by, accepted_because from ops.accepted_days') == [
        ('freshness', ago(4), 'Ani', 'the site is closed')
    ]
    capsys.readouterr()
    assert ads(f'{ago(4)}', f'{ago(2)}') == 3  # two days lack by name all the same
    assert 'nothing is newer' not in capsys.readouterr().err
    undated(settings, 3)
    assert ads(f'{ago(4)}', f'{ago(2)}') == 3
    assert f'nothing is newer than {ago(3)}' in capsys.readouterr().err


def test_what_was_taken_out_makes_nothing_fresh(settings: Settings) -> None:
    undated(settings, 1)
    assert current() == 0
    assert main(['unload', '--start', f'{ago(3)}', '--end', f'{ago(1)}', '--source', 'gam_delivery']) == 0
    undated(settings, 4)
    assert ads(f'{ago(4)}', f'{ago(2)}') == 3
    assert stale_of() == STALE.format(ago(4))
