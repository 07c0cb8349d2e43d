"""``status``: what became of each day, told apart; and the rules of the declaration, counted per load."""

import gzip
import json
import shutil
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.status import STATES
from kly_mage.common.settings import Settings
from kly_mage.common.window import MOST_DAYS
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import ad, article, event
from tests.gold import Query
from tests.scenes import HEADERS, deliver, deliver_october

Status = Callable[..., tuple[int, dict[str, Any]]]


def backfill(first: int, last: int | None = None) -> int:
    """Load October days; gives the exit code."""
    return main(['backfill', '--start', f'2025-10-{first:02}', '--end', f'2025-10-{last or first:02}', '--quiet'])


@pytest.fixture
def status(capsys: pytest.CaptureFixture[str]) -> Status:
    """Exit code and JSON of ``status``."""

    def run(*options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(['status', '--json', *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def states(told: tuple[int, dict[str, Any]], source: str = 'gam_delivery') -> dict[int, str]:
    """State by day of October."""
    return {date.fromisoformat(day['day']).day: day['state'] for day in told[1]['sources'][source]['days']}


def test_loaded_days_end_with_0(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 4)
    told = status()
    assert told[0] == 0
    for source in SOURCES:
        assert states(told, source) == dict.fromkeys(range(1, 5), 'loaded')
    gam = told[1]['sources']['gam_delivery']
    assert (gam['conflicts'], gam['rejects'], gam['newest_day']) == (3, 0, '2025-10-04')
    assert gam['last_load']['started_by'] == 'command line'
    assert gam['lag_days'] > 0
    assert [day['rows'] for day in gam['days']] == [4, 4, 4, 3]


def test_a_missing_file_an_empty_file_and_an_empty_day_are_three_things(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir, range(1, 7))
    folder = settings.data_dir / 'gam_delivery'
    (folder / 'gam_delivery_20251002.csv').unlink()
    (folder / 'gam_delivery_20251003.csv').write_text(HEADERS['gam_delivery'] + '\n')
    (folder / 'gam_delivery_20251004.csv').write_text('')
    (folder / 'gam_delivery_20251005.csv').unlink()
    with gzip.open(folder / 'gam_delivery_20251005.csv.gz', 'wb') as file:
        file.write(HEADERS['gam_delivery'].encode())
    deliver(settings.data_dir, 'gam_delivery_20251006.csv', '2025-10-05T05:00:00Z,/top,l,c,a1,1,1,1')
    backfill(1, 6)
    told = status()
    assert told[0] == 3
    # The late row of the 5th in the file of the 6th does not make the empty file of the 5th a good one.
    assert states(told) == {
        1: 'loaded',
        2: 'missing file',
        3: 'empty file',
        4: 'empty file',
        5: 'empty file',
        6: 'empty day',
    }
    assert told[1]['sources']['gam_delivery']['missing'] == [f'2025-10-0{day}' for day in (2, 3, 4, 5)]
    assert told[1]['missing'] == 4


def test_a_day_of_whose_file_no_row_can_be_used_is_no_loaded_one(settings: Settings, status: Status) -> None:
    deliver(
        settings.data_dir, 'gam_delivery_20251001.csv', *(f'2025-10-01T05:00:0{n}Z,/top,l,c,a1,many,1,1' for n in range(3))
    )
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', 'no day at all,/top,l,c,a1,1,1,1')
    some = ('2025-10-03T05:00:00Z,/top,l,c,a1,1,1,1', '2025-10-03T05:00:01Z,/top,l,c,a1,many,1,1')
    deliver(settings.data_dir, 'gam_delivery_20251003.csv', *some)
    assert backfill(1, 3) == 3
    told = status('--source', 'gam_delivery')
    assert (told[0], states(told)) == (3, {1: 'all rejected', 2: 'all rejected', 3: 'loaded'})


def test_a_day_whose_file_waits_is_missing_until_it_is_loaded(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 2)
    told = status()
    assert told[0] == 3
    assert states(told) == {1: 'loaded', 2: 'loaded', 3: 'not loaded', 4: 'not loaded'}
    # A load takes every article there is.
    assert set(states(told, 'cms_articles').values()) == {'loaded'}
    backfill(3, 4)
    assert status()[0] == 0


def test_files_that_came_or_changed_since_may_hold_late_rows(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 4)
    deliver(settings.data_dir, 'gam_delivery_20251005.csv', '2025-10-05T05:00:00Z,/top,l,c,a1,1,1,1')
    assert states(status()) == {1: 'loaded', 2: 'late', 3: 'late', 4: 'late', 5: 'not loaded'}
    backfill(2, 5)
    assert set(states(status()).values()) == {'loaded'}


def test_a_file_that_came_after_the_load_of_its_day_waits(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir)
    path = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv'
    content = path.read_bytes()
    path.unlink()
    backfill(1, 4)
    assert states(status())[2] == 'missing file'
    path.write_bytes(content)
    assert states(status()) == {1: 'late', 2: 'not loaded', 3: 'loaded', 4: 'loaded'}


@pytest.mark.parametrize('source', ['gam_delivery', 'cms_articles'])
def test_a_file_that_was_taken_out_after_its_load_is_said_as_that(settings: Settings, status: Status, source: str) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 4)
    (settings.data_dir / source / f'{source}_20251004.csv').unlink()
    told = status('--source', source)
    assert (told[0], states(told, source)) == (0, {1: 'loaded', 2: 'loaded', 3: 'loaded', 4: 'file removed'})
    assert told[1]['sources'][source]['days'][3]['detail'] == f'{source}/{source}_20251004.csv'
    backfill(3, 4)  # the load that finds it gone does not make its day a missing one
    assert states(status('--source', source), source)[4] == 'file removed'


def test_the_days_of_an_undated_file_that_was_taken_out_are_not_missing(settings: Settings, status: Status) -> None:
    path = deliver(settings.data_dir, 'gam_delivery_history.csv', '2025-10-01T05:00:00Z,/top,l,c,a1,1,1,1')
    backfill(1, 2)
    path.unlink()
    told = status('--source', 'gam_delivery', '--start', '2025-10-01', '--end', '2025-10-02')
    assert states(told) == {1: 'file removed', 2: 'missing file'}


def test_a_file_that_another_took_the_place_of_is_forgotten(settings: Settings, status: Status) -> None:
    path = deliver(settings.data_dir, 'gam_delivery_20251001.csv', '2025-10-01T05:00:00Z,/top,l,c,a1,1,1,1')
    backfill(1)
    path.rename(path.with_name('gam_delivery_20251001_again.csv'))
    assert states(status('--source', 'gam_delivery')) == {1: 'not loaded'}
    backfill(1)
    assert states(status('--source', 'gam_delivery')) == {1: 'loaded'}


def test_a_failed_load_is_told_with_its_reason(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 4)
    path = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251004.csv'
    content = path.read_bytes()
    path.write_bytes(content + b'\xff\n')
    assert backfill(4) == 1
    told = status()
    assert told[0] == 3
    # The file has changed, and may hold late rows of the days before.
    assert states(told) == {1: 'late', 2: 'late', 3: 'late', 4: 'failed'}
    assert 'not UTF-8' in told[1]['sources']['gam_delivery']['days'][3]['detail']
    path.write_bytes(content)
    backfill(4)
    assert states(status())[4] == 'loaded'


def test_a_load_that_died_is_told_from_one_that_runs(settings: Settings, status: Status, query: Query) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 4)
    query(
        'insert into ops.loads (source, start_day, end_day, started_by)'
        " values ('gam_delivery', '2025-10-02', '2025-10-02', 't')"
    )
    again = status()
    assert (again[0], states(again)[2]) == (0, 'loaded')  # its rows are in bronze, whatever became of the second load
    assert again[1]['sources']['gam_delivery']['days'][1]['broken_off'].endswith(': it died')
    deliver(settings.data_dir, 'gam_delivery_20251002_more.csv', '2025-10-02T05:00:00Z,/more,l,c,a1,1,1,1')
    assert states(status())[2] == 'never finished'  # what that load was to bring is not there
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended('gam_delivery 2025-10-02', 0))")
        told = status()
        assert states(told)[2] == 'running'
    assert told[0] == 0
    backfill(2)
    assert states(status())[2] == 'loaded'


def test_a_range_that_was_never_delivered_is_missing(settings: Settings, status: Status) -> None:
    deliver_october(settings.data_dir)
    backfill(1, 4)
    told = status('--start', '2025-10-04', '--end', '2025-10-06', '--source', 'ga4_events')
    assert told[0] == 3
    assert states(told, 'ga4_events') == {4: 'loaded', 5: 'missing file', 6: 'missing file'}
    assert list(told[1]['sources']) == ['ga4_events']


def test_nothing_at_all_is_no_error(settings: Settings, status: Status, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {name: _nothing(name) for name in SOURCES}
    assert status() == (0, {'missing': 0, 'not_understood': {}, 'sources': nothing, 'costs': []})
    assert main(['status']) == 0
    assert capsys.readouterr().out.endswith('no load yet, and no file with a day in its name\n')


def _nothing(name: str) -> dict[str, Any]:
    numbers = {'days': [], 'last_load': None, 'newest_day': None, 'lag_days': None, 'rejects': 0, 'conflicts': 0}
    found = {'late': {}, 'rules': {}, 'left_out': {}, 'far_off': [], 'stale': None, 'provisional': [], 'missing': []}
    return {'source': name, **numbers, **found}


def test_the_calendar_has_a_sign_for_every_day(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    deliver_october(settings.data_dir)
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv').unlink()
    backfill(1, 3)
    capsys.readouterr()
    assert main(['status', '--source', 'gam_delivery']) == 3
    out = capsys.readouterr().out
    assert '\n  2025-10  #-#.' in out
    assert '2025-10-02: missing file, there is no file for it' in out
    assert 'deliver the files into gam_delivery/, then python -m kly_mage backfill --start 2025-10-02' in out
    assert out.endswith('days missing: gam_delivery 2\n')


def test_every_state_has_a_sign_of_its_own() -> None:
    assert len({sign for sign, _, _ in STATES.values()}) == len(STATES)


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_day_whose_own_rows_are_all_rejected_is_said_though_late_rows_of_another_file_are_there(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', ad('a', 'much'), ad('b', 'more'))
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', ad('c', day='2025-10-02'), ad('late', day='2025-10-01'))
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-02', '--pipeline', 'ads_revenue']) == 3
    assert main(['status', '--source', 'gam_delivery']) == 3
    assert '2025-10-01: all rejected, no row of its file can be used' in capsys.readouterr().out


def test_a_day_of_articles_that_are_all_rejected_is_said_and_one_reject_among_others_is_not(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings.data_dir, 'cms_articles_20251001.csv', article('1'), article('2'))
    deliver(settings.data_dir, 'cms_articles_20251002.csv', article(''), article('3', published='noon'))
    deliver(settings.data_dir, 'cms_articles_20251003.csv', article('4'), article(''))
    for day in ('20251001', '20251002', '20251003'):
        deliver(settings.data_dir, f'ga4_events_{day}.csv', event(day=f'{day[:4]}-{day[4:6]}-{day[6:]}'))
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-03', '--pipeline', 'articles_performance']) == 3
    assert main(['status', '--source', 'cms_articles']) == 3
    told = capsys.readouterr().out
    assert '2025-10-02: all rejected, no row of its file can be used' in told
    assert told.count('all rejected,') == 1


def test_a_year_that_nobody_has_makes_no_calendar_without_end(settings: Settings, status: Status) -> None:
    """2.9 million days took minutes and the terminal: such a name holds no day, and such a load shows a hundred years."""
    deliver_october(settings.data_dir)
    file = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251001.csv'
    file.rename(file.with_name('gam_delivery_99991201.csv'))
    backfill(1, 3)
    days = status('--source', 'gam_delivery')[1]['sources']['gam_delivery']['days']
    assert (days[0]['day'], days[-1]['day']) == ('2025-10-02', '2025-10-04')
    shutil.rmtree(settings.data_dir / 'gam_delivery')
    (settings.data_dir / 'gam_delivery').mkdir()
    assert main(['backfill', '--start', '0001-01-01', '--pipeline', 'ads_revenue']) == 3
    assert len(status('--source', 'gam_delivery')[1]['sources']['gam_delivery']['days']) == MOST_DAYS + 1
