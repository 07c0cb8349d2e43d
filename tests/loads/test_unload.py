"""``unload``: what was loaded by mistake goes, and nothing else; loading it again brings it back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.postgres import recount
from kly_mage.warehouse.postgres import unload as warehouse
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.unloading import Selection
from tests import oracle
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.gold import assert_gold_is_exact, gold

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def conflicts_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these few rows one in conflict is a large share, which ``reconcile`` would ask to look at."""
    monkeypatch.setenv('KLY_CONFLICT_LIMIT', '100')


def ours(settings: Settings) -> None:
    """Two days of all sources, with a reject, a late row, a conflict, an equal row."""
    for day in (1, 2):
        today = f'2025-10-{day:02}'
        late = [event('late')] if day == 2 else []
        deliver(
            settings, f'ga4_events_202510{day:02}.csv', event(day=today), event(day=today), event('u2', day=today), *late
        )
        deliver(
            settings, f'gam_delivery_202510{day:02}.csv', ad('a', '1.5', day=today), ad('a', '2', day=today), ad('b', 'NaN')
        )
        deliver(settings, f'cms_articles_202510{day:02}.csv', article('7', f'Title {day}'), article(f'{day}'))


def theirs(folder: Path) -> Path:
    """Another landing zone, of the same days and of one before."""
    zone = Settings(data_dir=folder)
    for source in SOURCES:
        (folder / source).mkdir(parents=True)
    for stamp, day in (('20250930', '2025-09-30'), ('20251001', '2025-10-01')):
        deliver(zone, f'ga4_events_{stamp}.csv', event('other', day=day), event(day=day))
        deliver(
            zone, f'gam_delivery_{stamp}.csv', ad('other', '100', day=day), ad('a', '9', day=day), ad('c', 'NaN', day=day)
        )
    deliver(zone, 'cms_articles_20251001.csv', article('7', 'Another title'), article('8'))
    return folder


def exact(settings: Settings, query: Query) -> None:
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    assert main(['reconcile', '--quiet']) == 0


def everything(query: Query) -> list[Any]:
    """All that loads leave behind but their own records."""
    tables = ['bronze.cms_articles', 'bronze.ga4_events', 'bronze.gam_delivery', 'bronze.gam_delivery_conflicts']
    found = [query(f'select _hashrow, _partition_date from {table} order by 1') for table in tables]
    return [*found, query('select source, file, line from bronze.rejects order by 1, 2, 3'), gold(query)]


def test_a_load_from_the_wrong_folder_goes_without_a_trace_in_bronze_gold_and_status(
    settings: Settings, query: Query, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours(settings)
    backfill('2025-10-01', '2025-10-02')
    before = everything(query)
    main(['status', '--json'])
    status = capsys.readouterr().out
    monkeypatch.setenv('KLY_DATA_DIR', str(theirs(tmp_path / 'wrong')))
    backfill('2025-09-30', '2025-10-01')
    wrong = [load for (load,) in query("select load_id from ops.loads where start_day = '2025-09-30' order by load_id")]
    assert len(wrong) == 3
    assert everything(query) != before
    monkeypatch.setenv('KLY_DATA_DIR', str(settings.data_dir))
    for load in wrong:
        assert main(['unload', '--load', str(load)]) == 0
    assert everything(query) == before
    assert main(['verify']) == 0
    backfill('2025-10-01', '2025-10-02')
    assert everything(query) == before
    exact(settings, query)
    capsys.readouterr()
    main(['status', '--json'])
    days = [line for line in capsys.readouterr().out.split('"day": ') if '"state"' in line]
    assert [part.split(', "rows"')[0] for part in days] == [
        part.split(', "rows"')[0] for part in status.split('"day": ') if '"state"' in part
    ]


@pytest.mark.parametrize('load', range(3))
def test_a_load_that_is_taken_out_comes_back_with_its_days(settings: Settings, query: Query, load: int) -> None:
    ours(settings)
    for _ in range(2):
        backfill('2025-10-01', '2025-10-02')
    before = everything(query)
    number = query('select load_id from ops.loads order by load_id')[load][0]
    assert main(['unload', '--load', str(number)]) == 0
    assert everything(query) != before
    assert main(['verify']) == 0
    assert main(['status']) == 3
    backfill('2025-10-01', '2025-10-02')
    assert everything(query) == before
    exact(settings, query)


def test_of_the_loads_of_one_day_only_the_rows_of_the_one_go(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'))
    ads()
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('b', '2'), ad('a', '5'))
    ads()
    assert main(['unload', '--load', '2']) == 0
    assert query('select ad_unit from bronze.gam_delivery') == [('a',)]
    assert query('select count(*) from bronze.gam_delivery_conflicts') == [(0,)]
    assert query('select revenue_usd from gold.daily_summary') == [(1,)]
    assert main(['verify']) == 0
    ads()
    exact(settings, query)


def test_further_versions_that_other_loads_met_go_with_their_row_and_come_back(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'))
    ads()
    deliver(settings, 'gam_delivery_20251002.csv', ad('a', '5'), ad('c', day='2025-10-02'))
    ads('2025-10-01', '2025-10-02')
    assert main(['unload', '--load', '1']) == 0
    assert 'with them goes what other loads had met: 1 further version of these rows' in capsys.readouterr().err
    assert main(['verify']) == 0
    ads('2025-10-01', '2025-10-02')
    exact(settings, query)


def test_a_file_goes_and_the_rows_that_others_hold_too_come_back_with_their_days(settings: Settings, query: Query) -> None:
    ours(settings)
    backfill('2025-10-01', '2025-10-02')
    before = everything(query)
    assert main(['unload', '--file', 'ga4_events/ga4_events_20251002.csv']) == 0
    assert query('select distinct user_pseudo_id, _partition_date from bronze.ga4_events order by 1') == [
        ('u1', date(2025, 10, 1)),
        ('u2', date(2025, 10, 1)),
    ]
    assert main(['verify']) == 0
    (settings.data_dir / 'ga4_events' / 'ga4_events_20251002.csv').rename(settings.data_dir / 'ga4_events_away')
    assert_gold_is_exact(query, settings.data_dir)
    (settings.data_dir / 'ga4_events_away').rename(settings.data_dir / 'ga4_events' / 'ga4_events_20251002.csv')
    backfill('2025-10-01', '2025-10-02')
    assert everything(query) == before
    exact(settings, query)


@pytest.mark.parametrize('chosen', [['--start', '2025-10-02'], ['--source', 'gam_delivery'], ['--source', 'cms_articles']])
def test_days_and_sources_go_and_come_back(settings: Settings, query: Query, chosen: list[str]) -> None:
    ours(settings)
    backfill('2025-10-01', '2025-10-02')
    before = everything(query)
    assert main(['unload', *chosen]) == 0
    if chosen[0] == '--source':
        assert query(f'select count(*) from bronze.{chosen[1]}') == [(0,)]
    else:
        assert query("select count(*) from gold.daily_summary where date = '2025-10-02'") == [(0,)]
    assert main(['verify']) == 0
    assert main(['status']) == 3
    backfill('2025-10-01', '2025-10-02')
    assert everything(query) == before
    exact(settings, query)


@pytest.mark.parametrize('most', [31, 0], ids=['days', 'whole'])
def test_a_day_that_loses_rows_is_counted_anew_and_no_other_unless_there_are_many(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(recount, '_MOST', most)
    ours(settings)
    backfill('2025-10-01', '2025-10-02')
    of_first = "select _updated_at from gold.ga4_daily_summary where event_date = '2025-10-01'"
    before, rows = query(of_first), query('table gold.gam_daily_summary')
    # The second day has an event of each of two persons; a late one of the first day came with it, and stays.
    assert main(['unload', '--source', 'ga4_events', '--start', '2025-10-02', '--end', '2025-10-02']) == 0
    assert query('select sum(pageviews), sum(sessions) from gold.ga4_daily_summary') == [(3, 3)]
    assert query("select count(*) from gold.ga4_daily_sessions where event_date = '2025-10-02'") == [(0,)]
    assert (query(of_first) == before) == (most > 0)
    assert query('table gold.gam_daily_summary') == rows
    assert main(['verify']) == 0
    # Ads are added up by day and by month besides, which verify works out from bronze.
    ads('2025-10-01', '2025-10-02')
    assert main(['unload', '--source', 'gam_delivery', '--start', '2025-10-02', '--end', '2025-10-02']) == 0
    assert query('select min(served_date), max(served_date) from gold.gam_daily_ads') == [(date(2025, 10, 1),) * 2]
    assert main(['verify']) == 0


def test_the_ledger_says_what_was_taken_out_and_a_dry_run_takes_nothing(settings: Settings, query: Query) -> None:
    ours(settings)
    ads('2025-10-01', '2025-10-02')
    before = everything(query)
    assert main(['unload', '--load', '1', '--dry-run']) == 0
    assert everything(query) == before
    assert query('select count(*) from ops.loads') == [(1,)]
    main(['unload', '--load', '1'])
    assert query('select status, rows_new, rows_removed, started_by from ops.loads order by load_id') == [
        ('withdrawn', 2, 2, 'command line'),
        ('unload', 0, 2, 'unload --load 1'),
    ]


@pytest.mark.parametrize(
    'words', [[], ['--load', '7'], ['--load', '1', '--source', 'ga4_events'], ['--file', 'no/such.csv']]
)
def test_what_cannot_be_meant_is_refused(settings: Settings, query: Query, words: list[str]) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    ads()
    assert main(['unload', *words]) == 2
    assert query('select count(*) from bronze.gam_delivery') == [(1,)]


def test_what_breaks_off_takes_nothing_out(settings: Settings, query: Query) -> None:
    ours(settings)
    backfill('2025-10-01', '2025-10-02')
    before = everything(query)

    def no_block(name: str) -> str:
        raise RuntimeError(name)

    selection = Selection(SOURCES['gam_delivery'], days=Window(date(2025, 10, 1), date(2025, 10, 2)))
    with connect(settings) as connection, connection.cursor() as cursor:
        with pytest.raises(RuntimeError, match='gam_daily_summary'):
            warehouse.unload(cursor, selection, 'test', no_block)
        connection.rollback()
    assert everything(query) == before
    assert main(['verify']) == 0


@pytest.fixture
def applying(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest version of an ad counts."""
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    monkeypatch.setattr(oracle, 'NEWEST_COUNTS', True)


@pytest.mark.usefixtures('applying')
@pytest.mark.parametrize(
    ('versions', 'load', 'left'),
    [
        pytest.param('10 12 11', 1, None, id='the first takes all with it'),
        pytest.param('10 12 11', 2, 11, id='one in between changes nothing'),
        pytest.param('10 12 11', 3, 12, id='the last'),
        pytest.param('10 12 10', 3, 12, id='one that had taken the change back'),
        pytest.param('10 12 10', 2, 10, id='one that was taken back'),
        pytest.param('10 12 10 12', 3, 12, id='one between two that say the same'),
        pytest.param('10 12 10 12', 4, 10, id='one that says the same as one before'),
    ],
)
def test_where_restatements_apply_the_version_before_counts_again_and_loading_brings_the_newest_back(
    settings: Settings, query: Query, versions: str, load: int, left: int | None
) -> None:
    counted = 'select sum(revenue_usd) from gold.gam_daily_summary'
    for day, revenue in enumerate(versions.split(), start=1):
        deliver(settings, f'gam_delivery_2025100{day}.csv', ad('a', revenue))
        ads()  # of the first day, whose row each file restates
    assert main(['unload', '--load', str(load)]) == 0
    assert query(counted) == [(left,)]
    assert main(['verify']) == 0
    assert query('select status from ops.loads where load_id = %s', load) == [('withdrawn',)]
    ads('2025-10-01', '2025-10-04')
    assert query(counted) == [(int(versions.split()[-1]),)]
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    assert main(['reconcile', '--quiet', '--source', 'gam_delivery']) in (0, 3)
