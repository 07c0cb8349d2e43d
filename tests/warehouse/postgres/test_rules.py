"""Rules that compare a row with its article count the same however the rows come and whatever is kept between them."""

import operator
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from kly_mage.common.settings import Settings
from kly_mage.declared.base import AgainstArticle, Rule
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.warehouse.postgres import rules
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import article, backfill, deliver

pytestmark = pytest.mark.one_version
NOON = datetime(2025, 10, 1, 12, tzinfo=UTC)
# Article 1 is of noon, 2 has no time, 3 is of one o'clock; nobody knows 4.
PUBLISHED = {'1': NOON, '2': None, '3': NOON.replace(hour=13)}
ROWS = [(content, NOON.replace(hour=hour)) for hour in (11, 12, 13, 14) for content in ('1', '2', '3', '4')]
ROWS += [(None, NOON), ('1', None)]
OPERATORS: dict[str, Callable[[datetime, datetime], bool]] = {
    '<': operator.lt,
    '<=': operator.le,
    '=': operator.eq,
    '<>': operator.ne,
    '>=': operator.ge,
    '>': operator.gt,
}


@pytest.mark.parametrize(('waiting', 'articles'), [(100, 100), (0, 100), (3, 100), (0, 0), (2, 1)])
def test_rows_are_held_against_the_version_of_their_article_that_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, waiting: int, articles: int
) -> None:
    monkeypatch.setattr(rules, '_MOST_WAITING', waiting)
    monkeypatch.setattr(rules, '_MOST_ARTICLES', articles)
    old = article('1', published='2025-10-01T05:00:00Z')
    deliver(
        settings,
        'cms_articles_20251001.csv',
        old,
        article('2', published=''),
        article('3', published='2025-10-01T13:00:00Z'),
    )
    deliver(settings, 'cms_articles_20251002.csv', article('1', published='2025-10-01T12:00:00Z'))
    backfill('2025-10-01', '2025-10-02', '--pipeline', 'articles_performance', '--quiet')
    declared = tuple(Rule(sign, AgainstArticle('event_timestamp', sign, 'publish_timestamp')) for sign in OPERATORS)
    schema = {'content_id': pl.String(), 'event_timestamp': pl.Datetime('us', 'UTC')}
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'insert into ops.loads (source, start_day, end_day, started_by)'
            " select 'ga4_events', now(), now(), 'test' returning load_id"
        )
        found = rules.Rules(cursor, replace(GA4_EVENTS, rules=declared), cursor.fetchone()[0])
        for at in range(0, len(ROWS), 5):
            found.check(pl.DataFrame(ROWS[at : at + 5], schema=schema, orient='row'))
        found.finish()
        cursor.execute('select rule, rows_broken from ops.load_rules where load_id = %s', (found.load_id,))
        counted = dict(cursor.fetchall())
        connection.rollback()
    compared = [(at, then) for content, at in ROWS if at and (then := PUBLISHED.get(content or ''))]
    assert counted == {sign: sum(compare(*pair) for pair in compared) for sign, compare in OPERATORS.items()}
