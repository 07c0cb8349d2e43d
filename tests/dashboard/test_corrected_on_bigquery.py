"""What pages ask of BigQuery beside PostgreSQL, of a warehouse that was corrected in every way there is.

The sample has none of it: days that are restated, withdrawn, come back or are not final yet, versions of articles, several
sites, days of one source alone, rows of nobody's article, late rows, a forgotten person, and a load that was taken out.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.window import Window, today
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.bigquery import reading
from kly_mage.warehouse.gold import Asked
from tests.clock import lasting_day
from tests.conftest import administer, database
from tests.dashboard.compared import Loaded, assert_same_answer, assert_same_sums
from tests.mage.test_charts import CHARTS
from tests.warehouse.bigquery.conftest import address, project

__all__ = ['address']
pytestmark = [pytest.mark.one_version, pytest.mark.slow]

TODAY = today('Asia/Jakarta')
YESTERDAY = TODAY - timedelta(days=1)
ARTICLES = 'content_id,site,title,author,section,publish_timestamp'
EVENTS = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,site'
EXPORTED = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source,batch_event_index'
ADS = 'served_at,site,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd'
TINY = '0.000000000001'


def article(content_id: str, site: str, title: str, author: str, section: str, published: str = '2025-09-01') -> str:
    return f'{content_id},{site},"{title}",{author},{section},{published}T08:00:00+07:00'


def event(day: object, minute: int, content: str = '7', user: str = 'u1', name: str = 'page_view', site: str = '') -> str:
    return f'{day}T12:{minute:02}:00+07:00,{name},{user},s1,{content},{site}'


def exported(n: int, content: str = '7', source: str = '', user: str = 'u1') -> str:
    return f'2025-10-05T12:00:{n:02}+07:00,page_view,{user},s1,{content},{source},{n}'


def ad(day: object, unit: str, revenue: str, content: str = '7', site: str = 'a.example', of: str = 'l1,c1') -> str:
    return f'{day}T12:00:00+07:00,{site},{unit},{of},{content},{len(unit) * 10},{len(unit)},{revenue}'


# What is delivered, and what is done then; {gam_delivery 4} is the number of its fourth load.
Step = tuple[dict[str, tuple[str, list[str]]], list[str]]
FIRST: Step = (
    {
        'cms_articles_20251001.csv': (
            ARTICLES,
            [
                article('7', 'a.example', 'Seven: 100% _x', 'Ani', 'News'),
                article('8', 'b.example', 'École Été', 'Zoë', 'news'),
                article('9', 'a.example', 'Ads alone', '', 'Sport'),
                article('10', '', 'No site', 'ani', ''),
                article('11', 'b.example', 'Nobody reads it', 'Ani', 'News'),
                article('12', 'b.example', 'After its events', 'Budi', 'Sport', '2025-10-03'),
                'no id at all',
            ],
        ),
        'ga4_events_20251001.csv': (
            EVENTS,
            [
                *(event('2025-10-01', n, '7', f'u{n % 3}', site='a.example') for n in range(5)),
                *(event('2025-10-01', n, '8', 'u1', site='b.example') for n in range(2)),
                event('2025-10-01', 9, '10', ''),
                event('2025-10-01', 9, '10', ''),
                event('2025-10-01', 10, '', 'u2'),
                event('2025-10-01', 11, 'ghost', 'u2', 'user_engagement'),
                event('2025-10-01', 12, '12'),
                event('2025-09-30', 13),
                event('2025-07-01', 14),
                'never,page_view,u1,1,7,a.example',
            ],
        ),
        'gam_delivery_20251001.csv': (
            ADS,
            [
                ad('2025-10-01', 'top', '1.25'),
                ad('2025-10-01', 'top', '2.5'),
                ad('2025-10-01', 'side', '-2.5', '8', 'b.example', ','),
                ad('2025-10-01', 'Side', TINY, '9', '', 'l2,'),
                ad('2025-10-01', 'éside', '3', '', 'b.example', ',c2'),
                ad('2025-10-01', 'none', '0', 'ghost'),
                ad('2025-10-01', 'none', 'x'),
            ],
        ),
        # A day of ads alone, and one of events alone.
        'gam_delivery_20251002.csv': (ADS, [ad('2025-10-02', unit, '4') for unit in ('top', 'side', 'late')]),
        'ga4_events_20251003.csv': (EVENTS, [event('2025-10-03', n, '8', 'u4') for n in range(3)]),
        'events_intraday_20251005.csv': (EXPORTED, [exported(n, user=f'u{n % 2}') for n in range(1, 7)]),
        f'ga4_events_{TODAY:%Y%m%d}.csv': (EVENTS, [event(YESTERDAY, 1), event(YESTERDAY, 2, '8', 'u9'), event(TODAY, 3)]),
        f'gam_delivery_{TODAY:%Y%m%d}.csv': (ADS, [ad(YESTERDAY, 'top', '8')]),
    },
    ['backfill --start 2025-10-01 --end 2025-10-06 --quiet', f'backfill --start {YESTERDAY} --end {TODAY} --quiet'],
)
AGAIN: Step = (
    {
        'cms_articles_20251004.csv': (
            ARTICLES,
            [
                article('7', 'b.example', 'Seven, edited', 'Budi', 'Sport'),
                article('8', 'b.example', 'École Été', 'Zoë', 'news'),
            ],
        ),
        # Late rows of other days, some known already.
        'ga4_events_20251004.csv': (
            EVENTS,
            [
                event('2025-10-01', 0),
                event('2025-10-01', 30, '8', 'u7'),
                event('2025-10-03', 31, '9'),
                event('2025-10-04', 32),
            ],
        ),
        # Restated, twice in one file, moved to another site, and new.
        'gam_delivery_20251004.csv': (
            ADS,
            [
                ad('2025-10-01', 'top', '5'),
                ad('2025-10-01', 'top', '6'),
                ad('2025-10-02', 'side', '4.5', site='b.example'),
                ad('2025-10-02', 'new', '7', '8'),
                ad('2025-10-04', 'top', '1', '9'),
            ],
        ),
        'gam_delivery_20251006.csv': ('served_at,ad_unit', ['2025-10-06T12:00:00+07:00,top']),
        # The whole day: one filled in, one on another article, the fourth gone with the fifth, one new and twice.
        'events_20251005.csv': (
            EXPORTED,
            [exported(1, source='google'), exported(2), exported(3, '8'), exported(6), exported(7), exported(7)],
        ),
    },
    ['backfill --start 2025-10-01 --end 2025-10-06 --quiet'],
)
ONCE_MORE: Step = (
    {
        # What the first file said; the one before is superseded.
        'gam_delivery_20251005.csv': (
            ADS,
            [ad('2025-10-01', 'top', '1.25'), ad('2025-10-02', 'late', '9'), ad('2025-10-05', 'top', '2')],
        ),
        'events_20251005.csv': (EXPORTED, [exported(2), exported(4), exported(8, '9', user='u8')]),
    },
    [
        'backfill --start 2025-10-01 --end 2025-10-06 --quiet',
        'unload --load {gam_delivery 4}',
        'forget --user u9 --by Ani',
        'rejects --accept known --by Ani --source cms_articles',
        'conflicts --accept seen --by Ani --start 2025-10-02 --end 2025-10-02',
    ],
)
STEPS = (FIRST, AGAIN, ONCE_MORE)


@contextmanager
def at(environment: dict[str, str]) -> Iterator[None]:
    """Commands of this process find that warehouse, and of ads the newest version counts."""
    with pytest.MonkeyPatch.context() as patched:
        for variable, value in environment.items():
            patched.setenv(variable, value)
        patched.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
        yield


@pytest.fixture(scope='module')
def loaded(address: str, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Loaded, Loaded]]:
    """PostgreSQL and BigQuery over one landing zone, step by step."""
    lasting_day(10)
    name, folder = f'corrected_{uuid.uuid4().hex[:8]}', tmp_path_factory.mktemp('corrected')
    administer(postgres, f'create database {name}')
    environments = []
    for own in (database(postgres, name) | {'KLY_WAREHOUSE': 'postgres'}, project(address)):
        given = {'KLY_DATA_DIR': str(folder / 'landing'), 'KLY_LOCAL_DIR': str(folder / own['KLY_WAREHOUSE'])}
        environments.append(given | own | {'KLY_TIMEZONE': 'Asia/Jakarta'})
    for source in SOURCES:
        (folder / 'landing' / source).mkdir(parents=True)
    for files, commands in STEPS:
        for file, (header, rows) in files.items():
            source = 'ga4_events' if file.startswith('events') else next(each for each in SOURCES if file.startswith(each))
            (folder / 'landing' / source / file).write_text('\n'.join([header, *rows, '']), 'utf-8')
        for command in commands:
            codes = [run(environment, command) for environment in environments]
            assert codes[0] == codes[1] in (0, 3), command
    # Files that loads have read are no longer what they were, for the reconciliation to find.
    (folder / 'landing/gam_delivery/gam_delivery_20251002.csv').unlink()
    for environment in environments:
        run(environment, 'reconcile --quiet')
    yield Loaded.of(environments[0]), Loaded.of(environments[1])
    administer(postgres, f'drop database {name} with (force)')


def run(environment: dict[str, str], command: str) -> int:
    with at(environment):
        words = command
        if '{' in command:
            source, nth = command.partition('{')[2].partition('}')[0].split()
            number = next(load for load, of in Loaded.of(environment).loads.items() if of == (source, int(nth)))
            words = f'{command.partition("{")[0]}{number}{command.partition("}")[2]}'
        return main(words.split())


SPAN = {'start': date(2025, 10, 1), 'end': date(2025, 10, 31)}
SPANS = (
    SPAN,
    {'start': date(2025, 10, 2), 'end': date(2025, 10, 4)},
    {'start': date(2025, 10, 5), 'end': date(2025, 10, 5)},
    {'start': date(2025, 9, 1), 'end': TODAY},
    {'start': YESTERDAY, 'end': TODAY},
    {'start': date(2025, 11, 1), 'end': date(2025, 11, 30)},
)
DAYS = (*(date(2025, 10, day) for day in range(1, 6)), YESTERDAY)
ALL = {'site': '', 'section': '', 'author': '', 'search': ''}
SEARCHES = ('seven', 'SEVEN', '100%', '_X', 'École', 'éCOLE', 'é', '8', "'", 'nothing')
FOUND = [
    *({'search': search} for search in SEARCHES),
    {'site': 'a.example'},
    {'site': 'b.example', 'section': 'Sport'},
    {'section': '(not set)'},
    {'section': 'news'},
    {'author': 'Budi'},
    {'author': '(not set)', 'site': 'a.example'},
    {'search': 'e', 'author': 'Ani'},
]
IDS = ('7', '8', '9', '10', '11', '12', 'ghost', '(not set)', '')
SORTS = ('pageviews', 'revenue_usd', 'page_rpm_usd', 'sessions', 'impressions')
BYS = {
    'ad_unit': ('top', 'Side'),
    'line_item': ('l1', '(not set)'),
    'creative': ('c1', '(not set)'),
    'site': ('b.example', '(not set)'),
}
GA4, GAM, CMS = 'ga4_events', 'gam_delivery', 'cms_articles'
LOADS = [(GA4, n) for n in (1, 2, 3, 4)] + [(GAM, n) for n in (1, 3, 4)] + [(CMS, n) for n in (1, 3)]
MOMENTS = {'eventsfrom': GA4, 'eventsto': GA4, 'adsfrom': GAM, 'adsto': GAM}
ASKED: dict[str, list[dict[str, Any]]] = {
    'reach': [{}],
    **{chart: [{}] for chart in CHARTS},
    'articles': [
        *(span | ALL | {'sort': sort, 'limit': None} for span in SPANS for sort in SORTS[:2]),
        *(SPAN | ALL | {'sort': sort, 'limit': limit} for sort, limit in zip(SORTS, (1, 2, 3, 4, 50), strict=True)),
        *(SPAN | ALL | found | {'sort': 'pageviews', 'limit': 50} for found in FOUND),
    ],
    'days': [
        *(span | ALL | {'article': ''} for span in SPANS),
        *(SPAN | ALL | found | {'article': ''} for found in FOUND),
        *(SPAN | ALL | {'article': content} for content in ('7', '9', 'ghost')),
    ],
    'versions': [{'article': content} for content in IDS],
    'ads': [span | {'by': by} for span in SPANS for by in BYS],
    'ads_beside': [span | {'article': content} for span in SPANS[:2] for content in ('7', '8', '(not set)')],
    'days_of_ads': [
        SPAN | {'by': by, 'wanted': wanted, 'article': content}
        for by, names in BYS.items()
        for wanted in names
        for content in ('', '7', '(not set)')
    ],
    'conflicts': [*(span | {'limit': None} for span in SPANS), SPAN | {'limit': 1}],
    'rejects': [*(span | {'limit': None} for span in SPANS), SPAN | {'limit': 1}],
    'loads': [
        *(span | {'load': None, 'limit': None} for span in SPANS),
        *(SPANS[3] | {'load': n, 'limit': 1} for n in LOADS),
    ],
    'loads_of_days': [
        *(span | {'load': None, 'limit': None} for span in SPANS),
        *(SPANS[3] | {'load': n, 'limit': 2} for n in LOADS),
    ],
    'span': [
        span | {'source': source, 'article': content} for span in SPANS for source in (GA4, GAM) for content in ('', '9')
    ],
    'changes': [{'day': day, 'article': content} for day in DAYS for content in (*IDS[:3], '', '(not set)')],
    'changes_fast': [{'day': day, 'article': content} | MOMENTS for day in DAYS for content in ('7', '', '(not set)')],
    'rows_ga4': [
        {'day': day, 'article': content, 'first': GA4, 'last': GA4, 'limit': limit}
        for day, limit in zip(DAYS, (None, 1, 2, None, None, 100), strict=True)
        for content in ('7', '', '(not set)')
    ],
    'rows_gam': [
        *({'day': day, 'article': content, 'by': '', 'wanted': ''} for day in DAYS for content in ('7', '', '(not set)')),
        *({'day': DAYS[0], 'article': '', 'by': by, 'wanted': wanted} for by, names in BYS.items() for wanted in names),
    ],
    'files_of_load': [{'load': load} for load in LOADS],
    'files_of_days': [*(span | {'limit': None} for span in SPANS), SPAN | {'limit': 3}],
    **{
        name: list(SPANS)
        for name in (
            'provisional',
            'conflicts_by_day',
            'restatements',
            'corrections',
            'corrections_gam',
            'calendar',
            'checks',
            'lateness',
        )
    },
}
ASKED['rows_gam'] = [asked | {'first': GAM, 'last': GAM, 'limit': None} for asked in ASKED['rows_gam']]


def test_each_query_of_a_page_is_compared() -> None:
    assert set(ASKED) == {path.stem for path in reading.QUERIES.glob('*.sql')}


@pytest.mark.parametrize('name', sorted(ASKED))
def test_a_query_gives_what_it_gives_on_postgresql(loaded: tuple[Loaded, Loaded], name: str) -> None:
    rows = [row for asked in ASKED[name] for row in assert_same_answer(*loaded, name, asked)]
    assert rows  # else nothing was compared


@pytest.mark.parametrize('by', [None, 'day', 'article', 'site', 'section', 'author', 'title'])
def test_gold_is_added_up_as_on_postgresql(loaded: tuple[Loaded, Loaded], by: str | None) -> None:
    for asked in (
        Asked(None, None, by),
        *(Asked(Window(*span.values()), None, by, 'revenue_usd', 2) for span in SPANS[1:]),
        *(Asked(Window(*SPAN.values()), content, by, 'page_rpm_usd') for content in ('7', '9')),
    ):
        assert_same_sums(*loaded, asked)


def test_verify_finds_no_difference_on_either(loaded: tuple[Loaded, Loaded]) -> None:
    for each in loaded:
        assert run(each.environment, 'verify') == 0
