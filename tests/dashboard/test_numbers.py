"""What the pages ask: a short way says the same as the long one."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.settings import load_settings
from kly_mage.common.window import Window
from kly_mage.dashboard import numbers
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.gold import DAY, Asked, Table
from kly_mage.warehouse.postgres import reading
from kly_mage.warehouse.postgres.reading import ask, query
from kly_mage.warehouse.postgres.summary import look_up
from tests.dashboard.conftest import Dashboard
from tests.mage.test_charts import CHARTS

pytestmark = pytest.mark.one_version
QUERIES = Path(reading.__file__).parent / 'queries'
COUNTED = ('pageviews', 'sessions', 'impressions', 'clicks', 'revenue_usd')


@pytest.mark.parametrize('article', ['', '5479186', '(not set)'])
def test_the_changes_of_a_day_are_those_of_gold_changes(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch, article: str
) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    asked = {'day': date(2025, 10, 2), 'article': article}
    fast, slow = numbers.changes(**asked), ask(load_settings(), query('changes'), asked)
    assert fast.columns == slow.columns
    assert [row[:2] + row[3:] for row in fast.rows] == [row[:2] + row[3:] for row in slow.rows] != []


@pytest.mark.parametrize(
    ('days', 'earlier'),
    [
        (('2025-10-01', '2025-10-31'), ('2025-08-31', '2025-09-30')),
        (('2025-10-01', '2025-10-01'), ('2025-09-30', '2025-09-30')),
    ],
)
def test_the_days_before_are_as_many_and_end_the_day_before(days: tuple[str, str], earlier: tuple[str, str]) -> None:
    assert numbers.before(Window(*map(date.fromisoformat, days))) == Window(*map(date.fromisoformat, earlier))


@pytest.mark.parametrize(
    'span',
    [
        ('2025-10-01', '2025-10-31'),
        ('2025-10-02', '2025-10-09'),
        ('2025-09-15', '2025-11-05'),
        ('2025-09-15', '2025-10-02'),
        ('2025-10-30', '2025-11-30'),
    ],
)
def test_articles_groups_and_days_are_the_sums_of_their_rows_whether_added_up_by_month_or_day_or_not(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch, span: tuple[str, str]
) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    days: dict[str, Any] = {'start': date.fromisoformat(span[0]), 'end': date.fromisoformat(span[1])}
    sums = 'sum(pageviews)::bigint, sum(sessions)::bigint, sum(impressions)::bigint, sum(clicks)::bigint, sum(revenue_usd)'
    sums += ' from gold.daily_summary where date between %(start)s and %(end)s'
    window = Window(*days.values())
    for by, column in (('day', 'date'), ('site', 'site'), ('section', 'section'), ('author', 'author')):
        found = numbers.added_up(window, by, sort='revenue_usd')
        shown = [(row[0], *(row[1 + found.numbers.index(name)] for name in COUNTED)) for row in found.rows]
        assert sorted(shown) == sorted(ask(load_settings(), f'select {column}, {sums} group by 1', days).rows) != [], by
        assert shown == sorted(shown, key=lambda row: (-row[-1], row[0])), by
    asked = days | {'site': '', 'section': '', 'author': '', 'search': '', 'sort': 'pageviews', 'limit': None}
    ((site,),) = ask(load_settings(), 'select max(site) from gold.daily_summary', {}).rows
    for name, value, condition in (
        ('site', '', 'true'),
        ('site', site, 'site = %(site)s'),
        ('search', 'DATA center', "title ilike '%%data center%%'"),
    ):
        by_article = f'select content_id, title, site, section, author, {sums} and {condition} group by 1, 2, 3, 4, 5'
        articles = ask(load_settings(), query('articles'), asked | {name: value}).rows
        wanted = ask(load_settings(), by_article, days | {name: value}).rows
        assert sorted(row[:10] for row in articles) == sorted(wanted) != [], condition
        totals = (len(wanted), sum(row[5] for row in wanted), sum(row[9] for row in wanted))
        assert {row[-3:] for row in articles} == {totals}, condition


@pytest.mark.parametrize('span', [('2025-10-01', '2025-10-31'), ('2025-10-02', '2025-10-09')])
def test_the_days_of_a_proof_are_the_sums_of_their_rows_whatever_is_chosen(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch, span: tuple[str, str]
) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    in_week = "date between '2025-10-02' and '2025-10-09' and site <> '(not set)' and title ilike '%%a%%'"
    named = f'select site, section, author, content_id from gold.daily_summary where {in_week} order by 4'
    (best, *_) = ask(load_settings(), named, {}).rows
    names = dict(zip(('site', 'section', 'author', 'article'), best, strict=True))
    conditions = {name: f'{name} = %({name})s' for name in names} | {
        'article': 'content_id = %(article)s',
        'search': "(title ilike '%%' || %(search)s || '%%' or content_id = %(search)s)",
    }
    chosen: list[dict[str, str]] = [{}, *({name: value} for name, value in names.items())]
    chosen += [{'site': best[0], 'author': best[2]}, {'site': best[0], 'search': 'A'}, {'search': 'DATA center'}]
    chosen += [{'search': '5479186'}, {'section': 'no such'}]
    for given in chosen:
        asked = {'start': date.fromisoformat(span[0]), 'end': date.fromisoformat(span[1])}
        asked |= dict.fromkeys(conditions, '') | given
        which = ' and '.join(['date between %(start)s and %(end)s', *(conditions[name] for name in given)])
        sums = ', '.join(f'sum({name})' for name in COUNTED)
        wanted = ask(
            load_settings(), f'select date, {sums} from gold.daily_summary where {which} group by 1 order by 1 desc', asked
        )
        assert ask(load_settings(), query('days'), asked).rows == wanted.rows, given
        assert bool(wanted.rows) is ('no such' not in given.values()), given


def test_no_page_reads_the_rows_of_gold_where_they_are_added_up(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    days = Window(date(2025, 10, 1), date(2025, 10, 31))
    october = {'start': days.start, 'end': days.end}
    chosen = dict.fromkeys(('site', 'section', 'author', 'search', 'article'), '')
    ((rows, site, of_article),) = ask(
        load_settings(),
        "select count(*), max(site), count(*) filter (where content_id = '5479186') from gold.daily_summary",
        {},
    ).rows
    assert rows > 20 * of_article > 0
    # Of each query of a page that names them, how many rows of gold it may read of a month that is all there is.
    asked: dict[str, list[tuple[dict[str, Any], int]]] = {
        'days': [(october | chosen | given, 0) for given in ({}, {'site': site}, {'section': '(not set)'}, {'author': 'x'})],
        'articles': [(october | chosen | {'sort': 'pageviews', 'limit': 5}, 5)],
        'reach': [({}, 2)],
        'span': [(october | {'source': 'ga4_events', 'article': '5479186'}, of_article)],
        'days_of_ads': [(october | {'by': 'site', 'wanted': site, 'article': ''}, 0)],
    }
    asked['days'].append((october | chosen | {'article': '5479186'}, of_article))
    for name, cases in asked.items():
        for values, most in cases:
            assert _rows_of_gold(query(name), values) <= most, (name, values)
    looked_up = list[int]()

    def explained(text: str, values: dict[str, Any]) -> Table:
        looked_up.append(_rows_of_gold(text, values))
        return ask(load_settings(), text, values)

    for by in (DAY, 'site', 'section', 'author'):
        found = look_up(load_settings(), DAILY_SUMMARY, Asked(days, by=by), explained)
        assert found
        assert found.rows
    assert looked_up == [0, 0, 0, 0]
    named = {path.stem for path in QUERIES.glob('*.sql') if re.search(r'gold\.daily_summary\b', path.read_text('utf-8'))}
    assert named - set(CHARTS) == set(asked) | {'ads_beside'}  # which has no row of it


def _rows_of_gold(text: str, values: dict[str, Any]) -> int:
    """How many rows of the table behind ``gold.daily_summary`` a query reads, used or not."""
    (((plan,),),) = (ask(load_settings(), f'explain (analyze, costs off, timing off, format json) {text}', values).rows,)
    waiting, rows = [plan[0]['Plan']], 0
    while waiting:
        node = waiting.pop()
        waiting += node.get('Plans', [])
        if node.get('Relation Name') == 'daily_summary_rows':
            rows += node['Actual Loops'] * (node['Actual Rows'] + node.get('Rows Removed by Filter', 0))
    return int(rows)


@pytest.mark.parametrize('article', ['5479186', '(not set)'])
@pytest.mark.parametrize('span', [('2025-10-01', '2025-10-31'), ('2025-10-02', '2025-10-09'), ('2025-09-15', '2025-11-05')])
def test_ads_are_what_bronze_holds_of_these_days_whether_added_up_by_month_or_not(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch, article: str, span: tuple[str, str]
) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    sums = 'count(*), sum(impressions)::bigint, sum(clicks)::bigint, sum(revenue_usd) from bronze.gam_delivery'
    sums += ' where _partition_date between %(start)s and %(end)s'
    is_its = "coalesce(nullif(content_id, ''), '(not set)') = %(article)s"
    of_article = f"select coalesce(line_item, '(not set)'), {sums} and {is_its} group by 1"
    asked = {'start': date.fromisoformat(span[0]), 'end': date.fromisoformat(span[1]), 'article': article}
    beside = {row[:5] for row in ask(load_settings(), query('ads_beside'), asked).rows}
    assert beside == set(ask(load_settings(), of_article, asked).rows) != set()
    for by in ('ad_unit', 'line_item', 'creative', 'site'):
        stored = ask(load_settings(), f'select {by}, {sums} group by 1', asked).rows
        found = {row[:5] for row in ask(load_settings(), query('ads'), asked | {'by': by}).rows}
        assert found == {(row[0] or '(not set)', *row[1:]) for row in stored}, by
    by_day = 'select _partition_date, ' + sums.removeprefix('count(*), ') + ' and line_item = %(wanted)s {} group by 1'
    wanted = asked | {'by': 'line_item', 'wanted': max(beside, key=lambda row: row[1])[0]}
    one = ask(load_settings(), by_day.format(f'and {is_its}'), wanted).rows
    assert sorted(ask(load_settings(), query('days_of_ads'), wanted).rows) == sorted(one) != []
    assert sorted(ask(load_settings(), query('days_of_ads'), wanted | {'article': ''}).rows) == sorted(
        ask(load_settings(), by_day.format(''), wanted).rows
    )


def test_days_and_what_they_amount_to_are_one_look_at_gold(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dashboard.environment.items():
        monkeypatch.setenv(name, value)
    asked = list[str]()

    def counted(text: str, values: dict[str, Any]) -> Table:
        asked.append(text)
        return ask(load_settings(), text, values)

    days = Window(date(2025, 10, 1), date(2025, 10, 31))
    found = look_up(load_settings(), DAILY_SUMMARY, Asked(days, by=DAY, limit=2), counted)
    assert len(asked) == 1
    assert found
    totals = dict(zip(found.numbers, found.totals, strict=True))
    # The sums of the sample, as README has them from reconcile, over all days; two are shown.
    assert (totals['pageviews'], totals['revenue_usd'], found.count) == (15361, Decimal('1012.648945'), 31)
    assert [row[0] for row in found.rows] == [date(2025, 10, 1), date(2025, 10, 2)]
    nothing = look_up(load_settings(), DAILY_SUMMARY, Asked(Window(date(2020, 1, 1), date(2020, 1, 1)), by=DAY), counted)
    assert nothing
    assert (nothing.rows, nothing.count, set(nothing.totals)) == ([], 0, {None})
