"""docs/whole-days.md says what public rules count of a day of GA4's export, and what is counted here: all of it is so."""

import itertools
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from kly_mage.common.settings import Settings
from tests.gold import Query
from tests.scenes import run_days

PAGE = Path(__file__).resolve().parents[2] / 'docs/whole-days.md'
DAY = date(2025, 10, 1)
RUNS = [DAY + timedelta(days=n) for n in range(9)]  # everybody runs once a day
INTRADAY, DAILY = 'events_intraday', 'events'


class View(NamedTuple):
    """A page view of the day: the number it has in the page is its second, so it is its instant."""

    number: int
    article: str = '7'
    traffic_source: str = ''
    batch_event_index: int = 1
    user: str = 'u1'  # each has one session


FIRST = [View(1), View(2), View(3), View(9, user='u9')]
WRITTEN_AGAIN = [
    *(View(1, traffic_source='google'), View(2, article='8'), View(4), View(5), View(5)),
    *(View(6), View(6, batch_event_index=2), View(9, article='8', user='u9')),
]
# Which tables there are, from which day on.
TABLES = {
    DAY: {INTRADAY: FIRST},
    date(2025, 10, 2): {INTRADAY: FIRST, DAILY: [*WRITTEN_AGAIN, View(7, user='u7')]},
    date(2025, 10, 3): {INTRADAY: [*FIRST, View(8)], DAILY: [*WRITTEN_AGAIN, View(7, user='u7')]},
    date(2025, 10, 7): {INTRADAY: [*FIRST, View(8)], DAILY: WRITTEN_AGAIN},
}
# Parameters of an event are the article here; its traffic source and index are columns of the export.
SAME_TO_DBT_GA4 = ['user', 'number', 'article']
SAME_TO_GA4DATAFORM = ['user', 'number', 'batch_event_index']


def read(today: date, *tables: str) -> pl.DataFrame:
    """What a query finds today."""
    found = TABLES[max(day for day in TABLES if day <= today)]
    views = [view for table in tables for view in found.get(table, [])]
    return pl.DataFrame(views, schema=list(View._fields), orient='row', infer_schema_length=None)


def together() -> pl.DataFrame:
    return read(RUNS[-1], INTRADAY, DAILY)


def daily() -> pl.DataFrame:
    return read(RUNS[-1], DAILY)


def dbt_ga4() -> pl.DataFrame:
    rows = pl.DataFrame()
    for today in RUNS:
        if today - timedelta(days=3) <= DAY:  # `static_incremental_days`
            rows = read(today, INTRADAY, DAILY).unique(SAME_TO_DBT_GA4)
    return rows


def ga4dataform() -> pl.DataFrame:
    rows, is_final = pl.DataFrame(), False
    for today in RUNS:
        if not is_final:
            rows, is_final = read(today, DAILY).unique(SAME_TO_GA4DATAFORM), today - DAY > timedelta(days=3)
    return rows


def counted(rows: pl.DataFrame) -> list[int]:
    """A column of the page: page views by number, all of them, and the sessions on both articles."""
    views = Counter(rows['number'])
    return [
        *(views[number] for number in range(1, 10)),
        rows.height,
        *(rows.filter(pl.col('article') == article)['user'].n_unique() for article in '78'),
    ]


def column_of_the_page(rule: str) -> list[int]:
    of_views = itertools.dropwhile(lambda line: not line.startswith('| page view |'), PAGE.read_text('utf-8').splitlines())
    table = itertools.takewhile(lambda line: line.startswith('|'), of_views)
    lines = [re.split(r' *\| *', line.strip('| ')) for line in table]
    at = lines[0].index(rule)
    return [int(re.split(r'\D', line[at])[0]) for line in lines[2:]]


@pytest.mark.parametrize('rule', [together, daily, dbt_ga4, ga4dataform])
def test_a_public_rule_counts_what_the_page_says(rule: object) -> None:
    assert callable(rule)
    assert column_of_the_page(rule.__name__.replace('dbt_', 'dbt-')) == counted(rule())


@pytest.mark.one_version
def test_what_is_counted_here_is_what_the_page_says(settings: Settings, query: Query) -> None:
    for tables in TABLES.values():
        for table, views in tables.items():
            lines = [
                f'2025-10-01T12:00:0{view.number}+07:00,page_view,{view.user},s1,{view.article},{view.traffic_source},'
                f'{view.batch_event_index}'
                for view in views
            ]
            header = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source,batch_event_index'
            path = settings.data_dir / f'ga4_events/{table}_20251001.csv'
            path.write_text('\n'.join([header, *lines, '']), 'utf-8')
        run_days(1, 1, 'articles_performance')
    said = column_of_the_page('here')
    views = dict(
        query(
            'select extract(second from event_timestamp)::int, count(*)::int'
            " from bronze.ga4_events_counted(array['2025-10-01'::date]) group by 1"
        )
    )
    assert [views.get(number, 0) for number in range(1, 10)] == said[:9]
    found = query('select content_id, pageviews::int, sessions::int from gold.ga4_daily_summary order by 1')
    assert sum(pageviews for _, pageviews, _ in found) == said[9]
    assert [(article, sessions) for article, _, sessions in found] == [('7', said[10]), ('8', said[11])]
