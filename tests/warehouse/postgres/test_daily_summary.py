"""A refresh of ``gold.daily_summary`` computes the rows whose inputs have changed, all of these, and no others."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kly_mage.checks.verify import verify
from kly_mage.common.settings import Settings
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.loads import runner
from kly_mage.warehouse.gold import Asked
from kly_mage.warehouse.postgres import ddl, joined_tables
from kly_mage.warehouse.postgres.blocks import run_sql
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.summary import look_up
from tests.delivery import ad, article, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import load, refresh


def text() -> str:
    """The block."""
    return runner.Block('daily_summary', 'data_exporter', 'sql', ()).sql()


def ad_on(content: str, day: str, ad_unit: str = 'top') -> str:
    return ad(ad_unit, day=day).replace(',7,', f',{content},')


@pytest.fixture
def built(settings: Settings) -> Iterator[Settings]:
    """Articles 7 and 8, each on two days."""
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('8'))
    for day in ('2025-10-01', '2025-10-02'):
        name = day.replace('-', '')
        deliver(settings, f'ga4_events_{name}.csv', *(event(day=day, content=content) for content in ('7', '8')))
        deliver(settings, f'gam_delivery_{name}.csv', *(ad_on(content, day) for content in ('7', '8')))
    backfill('2025-10-01', '2025-10-02', '--quiet')
    return settings


def versions(query: Query) -> dict[tuple[str, str], str]:
    """Which transaction wrote each row."""
    rows = query('select date::text, content_id, xmin::text from gold.daily_summary_rows')
    return {(day, content): transaction for day, content, transaction in rows}


def changed(query: Query, before: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    after = versions(query)
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def test_late_ads_change_the_rows_of_their_keys_alone(built: Settings, query: Query) -> None:
    before = versions(query)
    deliver(built, 'gam_delivery_20251003.csv', ad_on('7', '2025-10-02', 'late'))
    backfill('2025-10-02', None, '--quiet')
    assert changed(query, before) == {('2025-10-02', '7')}
    assert_gold_is_exact(query, built.data_dir)


def test_an_article_edited_and_edited_back_changes_all_of_its_days_and_no_other_row(built: Settings, query: Query) -> None:
    for name, title in (('2', 'Edited'), ('3', 'Title')):
        before = versions(query)
        deliver(built, f'cms_articles_2025100{name}.csv', article('7', title=title))
        backfill('2025-10-01', '2025-10-02', '--quiet')
        assert changed(query, before) == {('2025-10-01', '7'), ('2025-10-02', '7')}, title
        assert_gold_is_exact(query, built.data_dir)


def test_a_refresh_reads_the_articles_of_its_rows_and_not_the_others(built: Settings, query: Query) -> None:
    deliver(built, 'cms_articles_20251002.csv', *(article(f'other {n}') for n in range(3000)))
    backfill('2025-10-01', '2025-10-02', '--quiet')
    query('analyze bronze.cms_articles; analyze bronze.cms_articles_hashrow')
    deliver(built, 'gam_delivery_20251003.csv', ad_on('7', '2025-10-02', 'late'))
    load(built, 'gam_delivery', 2)
    refresh('gam_daily_summary')
    with connect(built) as connection, connection.cursor() as cursor:
        cursor.execute(text())
        cursor.execute(
            'select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables'
            " where relname like 'cms_articles%'"
        )
        assert cursor.fetchone()[0] <= 4  # article 7: its version in the registry, and in bronze
    assert_gold_is_exact(query, built.data_dir)


def test_a_run_with_nothing_new_writes_no_row_and_moves_nothing(built: Settings, query: Query) -> None:
    before = versions(query), query("select * from ops.watermarks where mart = 'gold.daily_summary'")
    backfill('2025-10-01', '2025-10-02', '--quiet')
    assert (versions(query), query("select * from ops.watermarks where mart = 'gold.daily_summary'")) == before


def test_an_article_delivered_again_as_it_was_moves_nothing_that_its_next_version_does(
    built: Settings, query: Query
) -> None:
    moved = "select refreshed_at from ops.watermarks where mart = 'gold.daily_summary'"
    before = query(moved)
    deliver(built, 'cms_articles_20251002.csv', article('7'), article('8'))
    backfill('2025-10-01', '2025-10-02', '--quiet')
    assert query("select rows_already_loaded from ops.loads where source = 'cms_articles' order by load_id")[-1] == (2,)
    assert query(moved) == before
    deliver(built, 'cms_articles_20251003.csv', article('7', title='Edited'))
    backfill('2025-10-01', '2025-10-02', '--quiet')
    assert query(moved) > before
    assert_gold_is_exact(query, built.data_dir)


def test_a_row_that_no_mart_has_any_more_goes(built: Settings, query: Query) -> None:
    query("delete from gold.ga4_daily_summary where content_id = '8' returning 1")
    query("delete from gold.gam_daily_summary where content_id = '8' and served_date = '2025-10-01' returning 1")
    refresh('daily_summary')
    rows = query('select date::text, content_id, pageviews, impressions > 0 from gold.daily_summary order by 1, 2')
    assert rows == [('2025-10-01', '7', 1, True), ('2025-10-02', '7', 1, True), ('2025-10-02', '8', 0, True)]


def test_a_refresh_that_dies_leaves_to_the_next_what_it_had_to_do(built: Settings, query: Query) -> None:
    query('update gold.gam_daily_summary set clicks = clicks + 1 returning 1')
    with connect(built) as connection, connection.cursor() as cursor:
        cursor.execute(text())
        connection.rollback()
    refresh('daily_summary')
    (summed,) = query('select sum(clicks) from gold.daily_summary')
    assert [summed] == query('select sum(clicks) from gold.gam_daily_summary')


@pytest.mark.one_version
def test_a_change_of_many_rows_is_noted_by_its_days(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_tables, 'MOST_KEYS', 1)
    ddl.ensure_schema(settings)
    deliver(settings, 'ga4_events_20251001.csv', event(content='7'), event(content='8'))
    backfill('2025-10-01', None, '--quiet')
    query('update gold.ga4_daily_summary set pageviews = pageviews returning 1')
    assert query('select date::text, content_id from gold.daily_summary_changes') == [('2025-10-01', None)]
    deliver(
        settings, 'ga4_events_20251002.csv', *(event(day='2025-10-01', content=content, user='b') for content in ('8', '9'))
    )
    backfill('2025-10-01', None, '--quiet')
    assert_gold_is_exact(query, settings.data_dir)


def test_a_definition_that_reads_another_table_is_computed_whole(built: Settings, query: Query) -> None:
    query('create table public.teams (author text, team text)')
    edited = text().replace(
        '    articles.publish_timestamp,\n',
        '    articles.publish_timestamp,\n    (select max(team) from public.teams) as team,\n',
    )
    run_sql(edited)
    assert query('select distinct team from gold.daily_summary') == [(None,)]
    query("insert into public.teams values ('author', 'Sport') returning 1")
    query("update gold.ga4_daily_summary set pageviews = pageviews where content_id = '7' returning 1")
    run_sql(edited)
    assert query('select distinct team from gold.daily_summary') == [('Sport',)]


def test_of_a_definition_without_a_column_nothing_is_added_up_further_until_it_has_it_again(
    built: Settings, query: Query
) -> None:
    run_sql(text().replace('    joined.clicks,\n', '', 1))
    assert query('select count(*) from gold.monthly_summary') == query('select count(*) from gold.daily_totals') == [(0,)]
    assert verify(built).differences == []
    deliver(built, 'gam_delivery_20251003.csv', ad_on('7', '2025-10-02', 'late'))
    load(built, 'gam_delivery', 2)
    refresh('gam_daily_summary')
    run_sql(text())
    assert_gold_is_exact(query, built.data_dir)


@pytest.mark.one_version
def test_what_is_asked_by_day_is_added_up_of_the_rows_where_a_definition_lacks_a_name(built: Settings, query: Query) -> None:
    asked = [Asked(by='day'), Asked(by='site')]
    before = [look_up(built, DAILY_SUMMARY, each) for each in asked]
    (of_sites,) = [found.rows for found in before[1:] if found]
    assert [row[:2] for row in of_sites] == [('example.com', 4)]  # two articles on two days, a pageview each
    run_sql(text().replace("    coalesce(articles.author, '(not set)') as author,\n", ''))
    assert query('select count(*) from gold.daily_totals') == [(0,)]
    assert [look_up(built, DAILY_SUMMARY, each) for each in asked] == before


def test_a_day_is_final_when_the_last_of_its_sources_is(built: Settings, query: Query) -> None:
    today = datetime.now(ZoneInfo(built.timezone)).date()
    # Ads are final on the 2nd of the next month: of the month before last they are, of today's they are not.
    month_before_last = (today.replace(day=1) - timedelta(days=1)).replace(day=1) - timedelta(days=1)
    states = {today: 'provisional', month_before_last: 'final', date(2025, 10, 1): 'final'}
    for day in states:
        query("insert into gold.ga4_daily_summary values (%s, 'x', 1, 1, 1, now()) returning 1", day)
    refresh('daily_summary')
    found = dict(query("select date, finality from gold.daily_summary where content_id = 'x'"))
    assert found == states
