"""``verify`` finds every row changed or deleted by hand and names it; ``rebuild`` repairs gold and changes nothing else."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg2.extensions import cursor as Cursor

from kly_mage.__main__ import main
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS
from kly_mage.loads import runner
from kly_mage.warehouse.postgres import gold_truth
from kly_mage.warehouse.postgres import verify as verifying
from kly_mage.warehouse.postgres.blocks import run_sql
from kly_mage.warehouse.report import Report
from tests.conftest import administer
from tests.gold import Query, assert_gold_is_exact, gold
from tests.remedies import obey
from tests.scenes import Background, OpenLoad, wait_until_blocked

DAYS = ('20251001', '20251002')
A_GA4 = '(select _hashrow from bronze.ga4_events order by 1 limit 1)'
A_GAM = '(select _hashrow from bronze.gam_delivery order by 1 limit 1)'
A_CMS = '(select _hashrow from bronze.cms_articles order by 1 limit 1)'
A_KEY = '(select event_date, content_id from gold.ga4_daily_summary order by 1, 2 limit 1)'
A_SESSION = '(select session_key from gold.ga4_daily_sessions order by 1 limit 1)'
NEVER = "'00000000-0000-0000-0000-000000000000'"


@pytest.fixture(scope='module')
def template(postgres: str) -> Iterator[list[str]]:
    """The name of a loaded database to copy, once the first test has made one."""
    names: list[str] = []
    yield names
    for name in names:
        administer(postgres, f'drop database {name}')


@pytest.fixture
def loaded(settings: Settings, template: list[str]) -> Settings:
    """Two days of the sample in bronze and gold."""
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        for path in (REPOSITORY / 'data' / source).glob('*.csv*'):
            if any(day in path.name for day in DAYS):
                shutil.copy2(path, settings.data_dir / source)
    if not template:
        runner.run(runner.names(), start_date='2025-10-01', end_date='2025-10-02')
        administer(str(settings.host), f'create database {settings.dbname}_loaded template {settings.dbname}')
        template.append(f'{settings.dbname}_loaded')
    # The first test has a copy, too: in a database that was just loaded autovacuum may be at work.
    administer(str(settings.host), f'drop database {settings.dbname}')
    administer(str(settings.host), f'create database {settings.dbname} template {template[0]}')
    return settings


def test_a_warehouse_nobody_touched_has_no_difference(
    loaded: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['verify']) == 0
    said = capsys.readouterr().out
    assert said.startswith('0 differences')
    for table in ('bronze.ga4_events', 'gold.ga4_daily_sessions', 'gold.daily_summary'):
        (count,) = query(f'select count(*) from {table}')[0]
        assert count
        assert f'{table} {count:,}' in said


def test_an_empty_database_is_nothing_to_verify(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(['verify']) == 0
        assert capsys.readouterr().out == 'nothing has been loaded yet\n'
        assert main(['status']) == 0  # which makes the tables that are there from the beginning
        capsys.readouterr()


# What somebody does by hand; what verify has to say: the table, the key and both values.
BY_HAND = {
    'a GA4 row changed': (
        f"update bronze.ga4_events set event_name = 'forged' where _hashrow = {A_GA4}",
        [f'select _hashrow::text from bronze.ga4_events where _hashrow = {A_GA4}'],
        'bronze.ga4_events',
    ),
    'an empty text instead of none': (
        f"update bronze.ga4_events set site = case when site is null then '' end where _hashrow = {A_GA4}",
        [f'select _hashrow::text from bronze.ga4_events where _hashrow = {A_GA4}'],
        'bronze.ga4_events',
    ),
    'the day of a row changed': (
        f'update bronze.ga4_events set _partition_date = _partition_date + 40 where _hashrow = {A_GA4}',
        [
            f'select _partition_date::text from bronze.ga4_events where _hashrow = {A_GA4}',
            f'select (_partition_date - 40)::text from bronze.ga4_events where _hashrow = {A_GA4}',
        ],
        'bronze.ga4_events',
    ),
    'the ingestion time of a row changed': (
        f"update bronze.ga4_events set _updated_at = _updated_at + interval '1 microsecond' where _hashrow = {A_GA4}",
        [
            f'select _updated_at::text from bronze.ga4_events where _hashrow = {A_GA4}',
            f'select _updated_at::text from bronze.ga4_events_hashrow where _hashrow = {A_GA4}',
        ],
        'bronze.ga4_events',
    ),
    'the load of a row changed': (
        f'update bronze.ga4_events set _load_id = 99 where _hashrow = {A_GA4}',
        ["select 'load 99: 1 row, ops.loads has no such load'"],
        'bronze.ga4_events',
    ),
    'the creation time of a row changed': (
        f"update bronze.ga4_events set _created_at = _created_at - interval '1 day' where _hashrow = {A_GA4}",
        ['select min(_created_at)::text from bronze.ga4_events', 'select max(_created_at)::text from bronze.ga4_events'],
        'bronze.ga4_events',
    ),
    'the revenue of an ad row changed': (
        f'update bronze.gam_delivery set revenue_usd = revenue_usd + 100 where _hashrow = {A_GAM}',
        [
            f'select revenue_usd::text from bronze.gam_delivery where _hashrow = {A_GAM}',
            f'select revenue_usd::text from bronze.gam_delivery_hashrow where _hashrow = {A_GAM}',
        ],
        'bronze.gam_delivery',
    ),
    'the title of an article changed': (
        f"update bronze.cms_articles set title = title || '!' where _hashrow = {A_CMS}",
        [f'select _hashrow::text from bronze.cms_articles where _hashrow = {A_CMS}'],
        'bronze.cms_articles',
    ),
    'a GA4 row deleted': (
        f'delete from bronze.ga4_events where _hashrow = {A_GA4}',
        ['select (select _hashrow from bronze.ga4_events_hashrow except select _hashrow from bronze.ga4_events)::text'],
        'bronze.ga4_events',
    ),
    'a row and its registry entry deleted': (
        'with gone as (delete from bronze.ga4_events_hashrow where _hashrow ='
        f' {A_GA4} returning _hashrow) delete from bronze.ga4_events where _hashrow in (select _hashrow from gone)',
        [
            "select 'load ' || load_id || ': ' from ops.loads where source = 'ga4_events'",
            "select 'ops.loads has ' || to_char(rows_new, 'FM9,999') from ops.loads where source = 'ga4_events'",
        ],
        'bronze.ga4_events',
    ),
    'a row inserted twice': (
        f'insert into bronze.ga4_events select * from bronze.ga4_events where _hashrow = {A_GA4}',
        [f"select _hashrow || ': 2 rows of this hash' from bronze.ga4_events where _hashrow = {A_GA4} limit 1"],
        'bronze.ga4_events',
    ),
    'a registry entry deleted': (
        f'delete from bronze.gam_delivery_hashrow where _hashrow = {A_GAM}',
        [f'select _hashrow::text from bronze.gam_delivery where _hashrow = {A_GAM}'],
        'bronze.gam_delivery',
    ),
    'a registry entry changed': (
        f'update bronze.ga4_events_hashrow set _hashrow = {NEVER} where _hashrow = {A_GA4}',
        [f'select {NEVER}', f'select _hashrow::text from bronze.ga4_events where _hashrow = {A_GA4}'],
        'bronze.ga4_events',
    ),
    'a session deleted': (
        f'create table kept as select {A_SESSION} as session_key;'
        f'delete from gold.ga4_daily_sessions where session_key = {A_SESSION}',
        ['select session_key::text from kept'],
        'gold.ga4_daily_sessions',
    ),
    'a session invented': (
        "insert into gold.ga4_daily_sessions values ('2025-10-01', 4711)",
        ["select '4711'"],
        'gold.ga4_daily_sessions',
    ),
    'a number in gold changed': (
        f'update gold.ga4_daily_summary set sessions = sessions + 4711 where (event_date, content_id) = {A_KEY}',
        [
            "select '(' || event_date || ', ' || content_id || ')' from gold.ga4_daily_summary where sessions > 4711",
            "select 'sessions is ' || sessions || ', bronze gives ' || sessions - 4711"
            ' from gold.ga4_daily_summary where sessions > 4711',
        ],
        'gold.ga4_daily_summary',
    ),
    'a row of gold deleted': (
        f'create table kept as select * from gold.ga4_daily_summary where (event_date, content_id) = {A_KEY};'
        f'delete from gold.ga4_daily_summary where (event_date, content_id) = {A_KEY}',
        ["select format('(%s, %s): is missing; bronze gives pageviews %s', event_date, content_id, pageviews) from kept"],
        'gold.ga4_daily_summary',
    ),
    'a row of gold invented': (
        "insert into gold.gam_daily_summary values ('2025-10-01', 'forged', 1, 2, 3.5, now())",
        ["select '(2025-10-01, forged): bronze gives no such row; found impressions 1, clicks 2, revenue_usd 3.5'"],
        'gold.gam_daily_summary',
    ),
    'a cent moved in gold': (
        'update gold.gam_daily_summary set revenue_usd = revenue_usd + 0.000001 where content_id ='
        ' (select min(content_id) from gold.gam_daily_summary)',
        ["select 'revenue_usd is ' || revenue_usd from gold.gam_daily_summary order by content_id limit 1"],
        'gold.gam_daily_summary',
    ),
    'a cent moved in the ads of a day': (
        "update gold.gam_daily_ads set revenue_usd = revenue_usd + 0.000001 where by = 'site'",
        [
            "select format('(site, %s, %s): revenue_usd is %s', served_date, name, revenue_usd) from gold.gam_daily_ads"
            " where by = 'site' and served_date = '2025-10-02' order by name limit 1"
        ],
        'gold.gam_daily_ads',
    ),
    'the ads beside an article taken away': (
        "delete from gold.gam_monthly_ads where content_id = '(not set)'",
        ["select '((not set), 2025-10-01, direct_4101): is missing; bronze gives count_rows '"],
        'gold.gam_monthly_ads',
    ),
    'a watermark set back': (
        "update ops.watermarks set watermark = '-infinity' where mart = 'gold.gam_daily_summary'",
        [
            "select format('(%s, %s): bronze gives no such row; found impressions %s', served_date, content_id, impressions)"
            ' from gold.gam_daily_summary order by served_date, content_id limit 1',
        ],
        'gold.gam_daily_summary',
    ),
    'daily_summary replaced by a table': (
        'create table gold.forged as table gold.daily_summary; drop view gold.daily_summary;'
        'alter table gold.forged rename to daily_summary',
        ["select 'is no view'"],
        'gold.daily_summary',
    ),
    'daily_summary dropped': (
        'drop view gold.daily_summary',
        ["select 'does not exist'"],
        'gold.daily_summary',
    ),
}


@pytest.mark.parametrize('case', BY_HAND)
def test_a_change_by_hand_is_named(loaded: Settings, query: Query, capsys: pytest.CaptureFixture[str], case: str) -> None:
    by_hand, told, table = BY_HAND[case]
    untouched = gold(query)
    query(by_hand)
    said_by = [query(statement)[0][0] for statement in told]
    assert main(['verify']) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f'{table} ')]
    for text in said_by:
        assert any(text in line for line in lines), (text, lines)
    if table.startswith('gold.') and case != 'daily_summary replaced by a table':  # that one nobody but its owner may drop
        assert main(['rebuild']) == 0
        assert gold(query) == untouched
        assert main(['verify']) == 0


def test_a_stored_daily_summary_that_is_not_its_definition_is_named(
    loaded: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    query("update gold.daily_summary_rows set clicks = clicks + 7 where content_id = '(not set)'")
    clicks = query("select date::text, clicks from gold.daily_summary where content_id = '(not set)' order by 1")
    assert main(['verify']) == 1
    said = capsys.readouterr().out
    for day, number in clicks:
        assert f'gold.daily_summary ({day}, (not set)): clicks is {number}, bronze gives {number - 7}' in said
    assert 'gold.gam_daily_summary (' not in said
    assert obey(said) == 0
    assert_gold_is_exact(query, loaded.data_dir)


def test_ads_added_up_that_are_gone_or_older_than_their_tables_are_added_up_again_by_the_next_command(
    loaded: Settings, query: Query
) -> None:
    every = 'select * from gold.gam_daily_ads order by by, served_date, name'
    before = query(every)
    assert {by for by, *_ in before} == {'ad_unit', 'line_item', 'creative', 'site'}
    query('drop table gold.gam_daily_ads, gold.gam_monthly_ads')
    query('delete from ops.declarations')  # as after an upgrade from a version that did not have them
    assert main(['verify']) == 0
    assert query(every) == before


def test_months_and_totals_that_are_not_their_days_are_named_and_rebuilt_and_those_older_than_their_tables_are_added_up(
    loaded: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [
        'select * from gold.monthly_summary order by month, content_id',
        'select * from gold.daily_totals order by by, date, name',
    ]
    before = [query(each) for each in every]
    query("update gold.monthly_summary set revenue_usd = revenue_usd + 0.000001, title = 'x' where content_id = '(not set)'")
    query("insert into gold.monthly_summary (month, content_id, count_days) values ('2025-09-01', 'forged', 1)")
    query("update gold.daily_totals set clicks = clicks - 1 where by = 'all' and date = '2025-10-02'")
    query("delete from gold.daily_totals where by = 'site' and date = '2025-10-02'")
    ((money,),) = query("select revenue_usd from gold.monthly_summary where content_id = '(not set)'")
    ((clicks,),) = query("select clicks from gold.daily_totals where by = 'all' and date = '2025-10-02'")
    assert main(['verify']) == 1
    said = capsys.readouterr().out
    name = 'gold.monthly_summary (2025-10-01, (not set))'
    assert f'{name}: revenue_usd is {money}, gold.daily_summary gives {money - Decimal("0.000001")}' in said
    assert f'{name}: title is x, gold.daily_summary gives (not set)' in said
    assert 'gold.monthly_summary (2025-09-01, forged): gold.daily_summary gives no such row' in said
    assert f'gold.daily_totals (all, 2025-10-02, ): clicks is {clicks}, gold.daily_summary gives {clicks + 1}' in said
    assert 'gold.daily_totals (site, 2025-10-02, (not set)): is missing; gold.daily_summary gives count_rows ' in said
    assert 'gold.daily_summary (' not in said
    assert main(['rebuild']) == 0
    assert [query(each) for each in every] == before
    query('drop table gold.monthly_summary, gold.daily_totals')
    query('delete from ops.declarations')  # as after an upgrade from a version that did not have them
    assert main(['verify']) == 0
    assert [query(each) for each in every] == before


def test_rows_that_wait_for_their_refresh_are_no_difference(
    loaded: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    late = loaded.data_dir / 'gam_delivery' / 'gam_delivery_20251003.csv'
    late.write_text(
        'served_at,ad_unit,content_id,impressions,clicks,revenue_usd\n2025-10-02 10:00,/late,a1,10,1,0.5\n', 'utf-8'
    )
    function = {block.uuid: block for block in runner.blocks(['ads_revenue'])}
    rows = function['load_gam_delivery'].function()(run_date='2025-10-02', env='dev')
    rows = function['hash_gam_delivery'].function()(rows)
    assert function['export_gam_delivery'].function()(rows, run_date='2025-10-02', env='dev')['rows_new'] == 1
    assert main(['verify']) == 3
    said = capsys.readouterr().out
    assert 'waiting: gold.gam_daily_summary has rows of bronze.gam_delivery to count' in said
    assert '\n0 differences' in said
    for name in ('gam_daily_summary', 'daily_summary'):
        run_sql(function[name].sql())
    assert main(['verify']) == 0


def test_verify_only_reads(loaded: Settings, query: Query) -> None:
    def state() -> list[object]:
        query('select pg_stat_force_next_flush()')
        return [
            gold(query),
            query('select * from ops.watermarks order by 1'),
            query('table gold.ga4_daily_sessions'),
            # What it had written and rolled back would show in the sizes and in what the server has counted.
            # Catalogs that all databases share are vacuumed when it suits the server.
            query(
                'select oid::regclass::text, pg_relation_size(oid) from pg_class'
                " where relkind in ('r', 'm') and not relisshared order by 1"
            ),
            query('select relid, n_tup_ins, n_tup_upd, n_tup_del from pg_stat_user_tables order by 1'),
        ]

    before = state()
    for _ in range(2):
        report = verify(loaded)
        assert report is not None
        assert report.differences == report.waiting == []
    assert state() == before


def test_loads_and_refreshes_go_on_while_verify_looks_at_one_picture(
    loaded: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('KLY_LOCK_WAIT', '1')  # whoever has to wait fails
    open_load = OpenLoad(loaded, 'gam_delivery', 2).is_open()
    late = loaded.data_dir / 'ga4_events' / 'ga4_events_20251003.csv'
    late.write_text('event_timestamp,event_name,content_id\n2025-10-02 10:00,page_view,a1\n', 'utf-8')

    def loading(cursor: Cursor, report: Report) -> None:
        runner.run(['articles_performance'], start_date='2025-10-02', end_date='2025-10-02')
        gold_truth.check_gold(cursor, report)

    monkeypatch.setattr(verifying, 'check_gold', loading)
    report = verify(loaded)
    open_load.commit()
    assert report is not None
    assert report.differences == report.waiting == []
    assert query("select pageviews from gold.daily_summary where content_id = 'a1' and date = '2025-10-02'") == [(1,)]


def test_a_rebuild_waits_for_verify_which_would_see_its_truncated_tables_empty(
    loaded: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Background] = []

    def rebuilding(cursor: Cursor, report: Report) -> None:
        started.append(Background(lambda: rebuild(loaded)))
        wait_until_blocked(query, started[0])
        gold_truth.check_gold(cursor, report)

    monkeypatch.setattr(verifying, 'check_gold', rebuilding)
    report = verify(loaded)
    assert report is not None
    assert report.differences == report.waiting == []
    assert started[0].result()['gold.ga4_daily_summary']


def test_a_session_in_another_time_zone_that_refreshes_leaves_nothing_waiting(loaded: Settings, query: Query) -> None:
    zone = "set timezone to 'Asia/Jakarta'; set datestyle to 'German';"
    query(zone + 'update ops.watermarks set built_from = null;')
    query(f'{zone} begin; {runner.Block("daily_summary", "data_exporter", "sql", ()).sql()}')
    assert main(['verify']) == 0


def test_rebuild_changes_nothing_and_the_next_refresh_adds_nothing(loaded: Settings, query: Query) -> None:
    before, watermarks = gold(query), query('select mart, watermark from ops.watermarks order by 1')
    assert main(['rebuild']) == 0
    assert gold(query) == before
    assert query('select mart, watermark from ops.watermarks order by 1') == watermarks
    runner.run(runner.names(), start_date='2025-10-01', end_date='2025-10-02')
    assert gold(query) == before
    assert_gold_is_exact(query, loaded.data_dir)


def test_every_mart_block_is_known_to_verify() -> None:
    sql_blocks = {block.uuid for block in runner.blocks(runner.names()) if block.language == 'sql'}
    assert sql_blocks == {mart.name for mart in MARTS} | {DAILY_SUMMARY.name}


def test_many_differences_are_counted_and_not_all_told(
    loaded: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    query('update gold.ga4_daily_summary set pageviews = pageviews + 1')
    (rows,) = query('select count(*) from gold.ga4_daily_summary')[0]
    assert main(['verify']) == 1
    said = capsys.readouterr().out
    assert f'gold.ga4_daily_summary: {rows - 20:,} more of this kind' in said
    assert f'{rows:,} differences' in said


def test_the_landing_zone_is_not_needed(loaded: Settings, tmp_path: Path) -> None:
    shutil.rmtree(loaded.data_dir)
    assert main(['verify']) == 0
