"""``show``: the rows somebody asks for, added up, sorted, and as CSV and JSON with all their digits."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import backfill, deliver

Captured = pytest.CaptureFixture[str]


def ad(day: str, content: str, revenue: str, impressions: int = 10) -> str:
    """An ad row beside an article."""
    return f'{day}T12:00:00+07:00,top,line,creative,{content},{impressions},1,{revenue}'


def event(day: str, content: str, user: str) -> str:
    """A pageview."""
    return f'{day}T12:00:00+07:00,page_view,{user},1,{content}'


@pytest.fixture
def two_days(settings: Settings) -> None:
    """Articles a1 and a2 of site one, b of site two, over two days."""
    when = '2025-10-01T08:00:00+07:00'
    deliver(
        settings,
        'cms_articles_20251001.csv',
        f'a1,one,First,Ana,News,{when}',
        f'a2,one,Second,Ana,Sport,{when}',
        f'b,two,"=1+1, ""quoted""",Budi,News,{when}',
    )
    for day, views in {'2025-10-01': {'a1': 3, 'a2': 1, 'b': 2}, '2025-10-02': {'a1': 1, 'b': 4}}.items():
        events = [event(day, content, f'u{n}') for content, count in views.items() for n in range(count)]
        deliver(settings, f'ga4_events_{day.replace("-", "")}.csv', *events)
    deliver(settings, 'gam_delivery_20251001.csv', ad('2025-10-01', 'a1', '1.234567'), ad('2025-10-01', 'b', '0.000001'))
    deliver(settings, 'gam_delivery_20251002.csv', ad('2025-10-02', 'a2', '2'))
    assert backfill('2025-10-01', '2025-10-02') in (0, 3)


def asked(capfd: Captured, *options: str) -> dict[str, Any]:
    """The first table of the answer, as JSON; nothing else stands on standard output."""
    capfd.readouterr()
    assert main(['show', *options, '--json']) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)['tables'][0]
    return found


@pytest.mark.usefixtures('two_days')
def test_numbers_add_up_by_site_author_section_article_and_day(capfd: Captured) -> None:
    # site one: 3 + 1 + 1 views; two: 2 + 4. a1 3 + 1, a2 1, b 6. 1 October 6, 2 October 5.
    expected = {
        'site': {'two': 6, 'one': 5},
        'author': {'Budi': 6, 'Ana': 5},
        'section': {'News': 10, 'Sport': 1},
        'article': {'b': 6, 'a1': 4, 'a2': 1},
        'day': {'2025-10-01': 6, '2025-10-02': 5},
    }
    for by, views in expected.items():
        found = asked(capfd, '--by', by)
        name = {'day': 'date', 'article': 'content_id'}.get(by, by)
        assert {row[name]: row['pageviews'] for row in found['rows']} == views
        assert found['totals']['pageviews'] == 11
        assert found['count'] == len(views)


@pytest.mark.usefixtures('two_days')
def test_a_ratio_of_a_group_is_that_of_its_sums(capfd: Captured) -> None:
    one, two = sorted(asked(capfd, '--by', 'site')['rows'], key=lambda row: str(row['site']))
    # one: (1.234567 + 2) * 1000 / 5 views; two: 0.000001 * 1000 / 6
    assert (one['revenue_usd'], Decimal(one['page_rpm_usd'])) == ('3.234567', Decimal('646.9134'))
    assert (two['revenue_usd'], Decimal(two['page_rpm_usd'])) == ('0.000001', Decimal('0.000167'))


@pytest.mark.usefixtures('two_days')
@pytest.mark.parametrize(
    ('options', 'views'),
    [
        (('--day', '2025-10-02'), [4, 1, 0]),
        (('--from', '2025-10-02', '--to', '2025-10-02'), [4, 1, 0]),
        (('--from', '2025-10-01', '--to', '2025-10-02'), [4, 3, 2, 1, 1, 0]),
        (('--article', 'a1'), [3, 1]),
        (('--article', "a1' or true --"), []),
        (('--sort', 'revenue_usd'), [0, 3, 2, 4, 1, 1]),
        (('--limit', '2'), [4, 3]),
    ],
)
def test_days_articles_order_and_limit_are_those_asked_for(
    capfd: Captured, options: tuple[str, ...], views: list[int]
) -> None:
    found = asked(capfd, *options)
    assert sorted(row['pageviews'] for row in found['rows']) == sorted(views)
    if '--sort' not in options:
        assert [row['pageviews'] for row in found['rows']] == views
    else:
        money = [Decimal(row['revenue_usd']) for row in found['rows']]
        assert money == sorted(money, reverse=True)


@pytest.mark.usefixtures('two_days')
def test_totals_are_of_all_rows_asked_for_whatever_the_limit(capfd: Captured) -> None:
    found = asked(capfd, '--limit', '1')
    assert (len(found['rows']), found['count'], found['totals']['pageviews']) == (1, 6, 11)


@pytest.mark.usefixtures('two_days')
def test_csv_is_exact_and_quoted_and_nothing_else_is_written(capfd: Captured) -> None:
    capfd.readouterr()
    assert main(['show', '--csv', '--sort', 'content_id']) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [(row['date'], row['content_id'], row['title'], row['revenue_usd']) for row in rows] == [
        ('2025-10-01', 'a1', 'First', '1.234567'),
        ('2025-10-02', 'a1', 'First', '0'),
        ('2025-10-01', 'a2', 'Second', '0'),
        ('2025-10-02', 'a2', 'Second', '2'),
        ('2025-10-01', 'b', '=1+1, "quoted"', '0.000001'),
        ('2025-10-02', 'b', '=1+1, "quoted"', '0'),
    ]


@pytest.mark.usefixtures('two_days')
def test_one_mart_can_be_asked_for_and_says_what_it_does_not_have(capfd: Captured) -> None:
    found = asked(capfd, '--table', 'gam_daily_summary', '--by', 'day')
    assert [(row['served_date'], row['revenue_usd']) for row in found['rows']] == [
        ('2025-10-01', '1.234568'),
        ('2025-10-02', '2'),
    ]
    assert main(['show', '--table', 'gam_daily_summary', '--by', 'site']) == 2
    assert 'gold.gam_daily_summary has no column for --by or --article' in capfd.readouterr().err


@pytest.mark.usefixtures('two_days')
@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (('--sort', 'revenue'), "cannot be sorted by 'revenue': there are date, content_id,"),
        (('--sort', 'pageviews desc; drop table x'), 'cannot be sorted by'),
        (('--day', '2025-10-01', '--from', '2025-10-01'), '--day is one day'),
        (('--limit', '0'), "'0' is no number of rows from 1"),
        (('--by', 'country'), "invalid choice: 'country'"),
        (('--csv', '--json'), 'not allowed with'),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(capfd: Captured, options: tuple[str, ...], told: str) -> None:
    assert main(['show', *options]) == 2
    assert told in capfd.readouterr().err
