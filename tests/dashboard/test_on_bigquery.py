"""The dashboard over BigQuery: each query gives what it gives on PostgreSQL, and the pages show it."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from kly_mage.common.errors import LOAD, NotBuiltError, SettingsError, UsageError
from kly_mage.common.settings import REPOSITORY, load_settings
from kly_mage.common.window import Window
from kly_mage.warehouse.bigquery import reading
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.gold import Asked
from kly_mage.warehouse.postgres import engine
from tests.bigquery_emulator import client_folder
from tests.conftest import administer, chosen, database
from tests.dashboard.compared import Loaded, assert_same_answer, assert_same_sums
from tests.dashboard.conftest import Dashboard
from tests.dashboard.served import serving
from tests.dashboard.test_pages import Visit, browser
from tests.mage.test_charts import CHARTS
from tests.ports import free_port
from tests.remedies import printed
from tests.warehouse.bigquery.conftest import address, ask, project

__all__ = ['address', 'browser']
pytestmark = [pytest.mark.browser, pytest.mark.one_version]  # all of them where the sample is loaded for the pages

OCTOBER = {'start': date(2025, 10, 1), 'end': date(2025, 10, 31)}
WEEK = {'start': date(2025, 10, 6), 'end': date(2025, 10, 12)}
ARTICLE, UNIT = '5479186', '/21890000/gayanusa/sidebar'
ALL = {'site': '', 'section': '', 'author': '', 'search': ''}
SORTS = ('pageviews', 'revenue_usd', 'page_rpm_usd', 'sessions', 'impressions')
ADS = ('ad_unit', 'line_item', 'creative', 'site')
# The number of a load, or the moments it ran between, are each warehouse's own: the source says which.
GAM, GA4 = 'gam_delivery', 'ga4_events'
DAY = {'day': date(2025, 10, 2)}
ASKED: dict[str, list[dict[str, Any]]] = {
    'reach': [{}],
    **{chart: [{}] for chart in CHARTS},
    'provisional': [OCTOBER, {'start': date(2025, 10, 31), 'end': date(2025, 12, 31)}],
    'articles': [
        *(OCTOBER | ALL | {'sort': sort, 'limit': limit} for sort, limit in zip(SORTS, (50, None, 5, 200, 1), strict=True)),
        WEEK | ALL | {'sort': 'pageviews', 'limit': 50, 'search': 'DATA center'},
        WEEK | ALL | {'sort': 'pageviews', 'limit': 50, 'search': ARTICLE},
        OCTOBER | ALL | {'sort': 'pageviews', 'limit': None, 'section': '(not set)'},
    ],
    'versions': [{'article': ARTICLE}],
    'ads': [span | {'by': by} for span in (OCTOBER, WEEK) for by in ADS],
    'ads_beside': [span | {'article': article} for span in (OCTOBER, WEEK) for article in (ARTICLE, '(not set)')],
    'days_of_ads': [
        OCTOBER | {'by': 'ad_unit', 'wanted': UNIT, 'article': ''},
        OCTOBER | {'by': 'ad_unit', 'wanted': UNIT, 'article': ARTICLE},
        WEEK | {'by': 'line_item', 'wanted': '(not set)', 'article': '(not set)'},
    ],
    'conflicts': [OCTOBER | {'limit': 100}, WEEK | {'limit': None}],
    'conflicts_by_day': [OCTOBER],
    'restatements': [OCTOBER],
    'corrections': [OCTOBER],
    'corrections_gam': [OCTOBER],
    'calendar': [OCTOBER, {'start': date(2025, 10, 30), 'end': date(2025, 11, 3)}],
    'checks': [OCTOBER],
    'lateness': [OCTOBER],
    'rejects': [OCTOBER | {'limit': 100}, WEEK | {'limit': None}],
    'loads': [OCTOBER | {'load': None, 'limit': 100}, OCTOBER | {'load': GAM, 'limit': 1}],
    'loads_of_days': [OCTOBER | {'load': None, 'limit': None}, WEEK | {'load': GA4, 'limit': 3}],
    'days': [
        OCTOBER | ALL | {'article': ''},
        WEEK | ALL | {'article': ARTICLE},
        WEEK | ALL | {'article': '', 'search': 'data'},
    ],
    'span': [WEEK | {'source': GA4, 'article': ''}, WEEK | {'source': GAM, 'article': ARTICLE}],
    'changes': [DAY | {'article': article} for article in ('', ARTICLE)],
    'changes_fast': [
        DAY | {'article': article, 'eventsfrom': GA4, 'eventsto': GA4, 'adsfrom': GAM, 'adsto': GAM}
        for article in ('', ARTICLE)
    ],
    'rows_ga4': [DAY | {'article': article, 'first': GA4, 'last': GA4, 'limit': 100} for article in ('', ARTICLE)],
    'rows_gam': [
        DAY | {'article': ARTICLE, 'by': '', 'wanted': '', 'first': GAM, 'last': GAM, 'limit': None},
        DAY | {'article': '', 'by': 'ad_unit', 'wanted': UNIT, 'first': GAM, 'last': GAM, 'limit': 100},
    ],
    'files_of_load': [{'load': GAM}],
    'files_of_days': [OCTOBER | {'limit': None}, WEEK | {'limit': 4}],
}


@pytest.fixture(scope='module')
def loaded(address: str, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Loaded, Loaded]]:
    """The sample in PostgreSQL and in BigQuery, loaded and reconciled."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(('POSTGRES_', 'MAGE_', 'KLY_'))}
    given |= {'KLY_ENV_FILE': os.devnull, 'KLY_SETTLE_SECONDS': '0', 'KLY_DATA_DIR': str(REPOSITORY / 'data')}
    name = f'dashboard_{uuid.uuid4().hex[:8]}'
    administer(postgres, f'create database {name}')
    of_bigquery = project(address) | {'PYTHONPATH': str(client_folder())}
    environments = []
    for own in (database(postgres, name), of_bigquery):
        local = str(tmp_path_factory.mktemp('local'))
        environments.append(given | own | {'KLY_LOCAL_DIR': local, 'HOME': local})
    with ThreadPoolExecutor() as both:
        list(both.map(_load, environments))
    yield Loaded.of(environments[0]), Loaded.of(environments[1])
    administer(postgres, f'drop database {name} with (force)')


def _load(environment: dict[str, str]) -> None:
    days = ('--start', '2025-10-01', '--end', '2025-10-31', '--quiet')
    for command in ('backfill', 'reconcile'):
        assert _run(environment, command, *days) == 3  # the sample has rejects and conflicts


def _run(environment: dict[str, str], *command: str) -> int:
    call = [sys.executable, '-m', 'kly_mage', *command]
    return subprocess.run(call, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode


def test_each_query_of_a_page_is_compared() -> None:
    there = {path.stem for path in (Path(engine.__file__).parent / 'queries').glob('*.sql')}
    assert {path.stem for path in reading.QUERIES.glob('*.sql')} == there == set(ASKED)
    with pytest.raises(UsageError, match='not of BigQuery yet'):  # as of a query that has its text for PostgreSQL only
        reading.query('of_tomorrow')


@pytest.mark.parametrize('name', sorted(ASKED))
def test_a_query_gives_what_it_gives_on_postgresql(loaded: tuple[Loaded, Loaded], name: str) -> None:
    for asked in ASKED[name]:
        assert_same_answer(*loaded, name, asked)


@pytest.mark.parametrize(
    'asked',
    [
        *(Asked(Window(*OCTOBER.values()), by=by) for by in ('day', 'site')),
        *(Asked(Window(*WEEK.values()), by=by, sort='revenue_usd') for by in ('section', 'author')),
        Asked(by='article', limit=7),
        Asked(article=ARTICLE, by='day', limit=2),
        Asked(Window(*WEEK.values()), ARTICLE),
        Asked(Window(date(2020, 1, 1), date(2020, 1, 2)), by='day'),
    ],
    ids=['days', 'sites', 'sections', 'authors', 'some articles', 'some days of one', 'one as it is', 'nothing'],
)
def test_gold_is_added_up_as_on_postgresql(loaded: tuple[Loaded, Loaded], asked: Asked) -> None:
    assert_same_sums(*loaded, asked)


def test_what_is_not_there_is_said_and_not_made(
    address: str, loaded: tuple[Loaded, Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime.now(UTC)
    empty = chosen(tmp_path, monkeypatch, project(address, f'empty-{uuid.uuid4().hex[:12]}'))
    with pytest.raises(NotBuiltError, match=LOAD):
        warehouse(empty).reader().query('reach', {})
    assert Client(empty).jobs(began) == []
    there = replace(empty, bigquery_project=loaded[1].environment['KLY_BIGQUERY_PROJECT'])
    with pytest.raises(SettingsError, match='the days of this project are those of Asia/Jakarta'):
        warehouse(replace(there, timezone='UTC')).reader().query('reach', {})


def test_tables_of_another_version_are_made_by_the_command_that_is_named(
    loaded: tuple[Loaded, Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in loaded[1].environment.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    ask(settings, "delete from ops.settings where name like 'schema %'")
    reading.reader.cache_clear()
    with pytest.raises(NotBuiltError, match='those of another version') as told:
        warehouse(settings).reader().query('reach', {})
    (command,) = printed(str(told.value))
    assert _run(loaded[1].environment, *command.split()) in (0, 3)
    assert warehouse(settings).reader().query('reach', {}).rows == [tuple(OCTOBER.values())]


def test_the_pages_show_it_without_an_error_and_nothing_but_queries_is_sent(
    loaded: tuple[Loaded, Loaded], browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    since, port = datetime.now(UTC), free_port()
    environment = loaded[1].environment | {'KLY_DASHBOARD_PORT': str(port)}
    with serving(environment) as token:
        visit = Visit(browser, Dashboard(port, f'http://127.0.0.1:{port}', token, environment))
        load = min(loaded[1].loads)
        for place in (*PAGES, f'proof?load={load}'):
            page = visit.open(place)
            assert page.locator('[data-testid="stException"], .kly-bad').count() == 0, place
            assert visit.heard == [], place
        page = visit.open('?from=2025-10-01&to=2025-10-31')
        # The sums of the sample, as README has them from reconcile.
        large = [text.strip() for text in page.locator('.kly-large').all_inner_texts()]
        assert large == ['15,361', '14,691', '1,012.65', '65.92']
        visit.context.close()
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert {job.what for job in Client(load_settings()).jobs(since)} == {'dashboard', 'settings'}


PAGES = ('', 'articles', f'articles?article={ARTICLE}', 'sites', 'sections', 'authors', 'ads', 'health', 'words')
PAGES += ('proof', 'proof?day=2025-10-02', f'proof?day=2025-10-02&article={ARTICLE}')
