"""What the warehouse creates by itself: tables with their comments, partitions, columns; every statement is a snapshot."""

import difflib
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from kly_mage.checks.verify import verify
from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.cms_articles import CMS_ARTICLES
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.declared.marts import DAILY_SUMMARY, GAM_DAILY_SUMMARY, MARTS
from kly_mage.warehouse.postgres import ddl as schema
from kly_mage.warehouse.postgres import hash_sql, tables
from kly_mage.warehouse.postgres.ads_sums import ads_sums_ddl
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.finality_view import finality_view
from kly_mage.warehouse.postgres.joined_tables import joined_ddl
from kly_mage.warehouse.postgres.mart_tables import mart_ddl, restatements_ddl
from kly_mage.warehouse.postgres.reconciliation_view import view_ddl
from kly_mage.warehouse.postgres.restatements_view import restatements_view
from kly_mage.warehouse.postgres.rollups import rollups_ddl
from tests.delivery import HEADERS, ad, ads, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact, gold
from tests.scenes import deliver_october, run_days

SNAPSHOTS = Path(__file__).with_name('snapshots')


# --- comments ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(settings: Settings) -> Settings:
    deliver(settings, 'gam_delivery_20251001.csv', ad() + ',x', header=f'{HEADERS["gam_delivery"]},undeclared')
    deliver(settings, 'ga4_events_20251001.csv', event())
    deliver(settings, 'cms_articles_20251001.csv', '7,,,,,')
    assert backfill() == 0
    return settings


COMMENTS = """
select format('%%s.%%s%%s', namespace.nspname, class.relname, '.' || attname), coalesce(description, '')
from pg_class as class
inner join pg_namespace as namespace on namespace.oid = relnamespace
left join pg_attribute as attribute on attrelid = class.oid and attnum > 0 and not attisdropped and %s
left join pg_description on objoid = class.oid and classoid = 'pg_class'::regclass and objsubid = coalesce(attnum, 0)
where relkind in ('r', 'p', 'v', 'm') and nspname in ('bronze', 'gold', 'ops') and (not relispartition or not %s)
"""


def test_every_table_says_its_grain_first(loaded: Settings, query: Query) -> None:
    comments = dict(query(COMMENTS, False, False))
    assert len(comments) >= 18
    wrong = {table: text for table, text in comments.items() if not text.startswith(('One row per ', 'Rows of '))}
    assert wrong == {}
    partitions = {table for table, text in comments.items() if text.startswith('Rows of ')}
    assert all(table.rsplit('_', 1)[1].isdecimal() for table in partitions)


def test_every_column_has_a_comment(loaded: Settings, query: Query) -> None:
    comments = query(COMMENTS, True, True)
    assert len(comments) > 150
    assert [name for name, text in comments if not text.strip().endswith('.')] == []


def test_a_description_that_changed_reaches_a_view_that_stands(
    loaded: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(DAILY_SUMMARY, ratios=(replace(DAILY_SUMMARY.ratios[0], description="It's USD per 1,000."),))
    monkeypatch.setattr('kly_mage.warehouse.postgres.joined_tables.DAILY_SUMMARY', other)
    schema.ensure_schema(loaded)
    comments = dict(query(COMMENTS, True, True))
    assert comments['gold.daily_summary.page_rpm_usd'] == "It's USD per 1,000."
    assert comments['gold.daily_summary.ctr'] == 'Clicks per impression; NULL without impressions.'


# --- partitions -------------------------------------------------------------------------------------------------------


def partitions(query: Query, source: str) -> set[str]:
    found = query("select relname from pg_class where relispartition and relkind = 'r' and relname like %s", f'{source}_2%')
    return {name for (name,) in found}


def names(source: str, *days: datetime) -> set[str]:
    return {f'{source}_{day:%Y%m%d}' for day in days}


def test_partitions_of_today_and_tomorrow_appear_by_themselves_and_hold_the_rows(loaded: Settings, query: Query) -> None:
    now = datetime.now(tz=UTC)
    recent = names('ga4_events', now - timedelta(days=1), now, now + timedelta(days=1))  # midnight may just have passed
    found = partitions(query, 'ga4_events')
    assert found <= recent
    assert len(found) == 2
    ((partition, stamp),) = query('select tableoid::regclass::text, _updated_at from bronze.ga4_events')
    assert partition == f'bronze.ga4_events_{stamp.astimezone(UTC):%Y%m%d}'


def test_a_watermark_in_the_future_gets_its_partition_too(loaded: Settings, query: Query) -> None:
    future = datetime(2099, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    query("update ops.watermarks set watermark = %s where mart = 'gold.gam_daily_summary'", future)
    deliver(loaded, 'gam_delivery_20251002.csv', ad(day='2025-10-02'))
    assert ads('2025-10-02') == 0
    assert names('gam_delivery', future, future + timedelta(days=1)) <= partitions(query, 'gam_delivery')
    # The clock is behind the watermark: the row is stamped some microseconds beyond it, which is the next day.
    ((stamp,),) = query('select max(_updated_at) from bronze.gam_delivery')
    assert future < stamp < future + timedelta(seconds=1)
    assert query("select impressions from gold.gam_daily_summary where served_date = '2025-10-02'") == [(10,)]


# --- columns nobody declared ------------------------------------------------------------------------------------------

NAMES = ['utm', 'with space', 'select', 'Käse', 'a"b', "a'b", '%s', 'a=b', '"; drop table bronze.ga4_events; --', 'x' * 63]


def test_an_undeclared_column_is_added_as_text_whatever_its_name(settings: Settings, query: Query) -> None:
    header = ','.join('"' + name.replace('"', '""') + '"' for name in NAMES)
    deliver(
        settings,
        'ga4_events_20251001.csv',
        event() + ''.join(f',v{number}' for number in range(len(NAMES))),
        header=f'{HEADERS["ga4_events"]},{header}',
    )
    assert backfill('2025-10-01', None, '--pipeline', 'articles_performance') == 3  # the CMS has delivered nothing
    with connect(settings) as connection, connection.cursor() as cursor:
        wanted = sql.SQL('select {} from bronze.ga4_events').format(sql.SQL(', ').join(map(sql.Identifier, NAMES)))
        cursor.execute(wanted)
        assert cursor.fetchall() == [tuple(f'v{number}' for number in range(len(NAMES)))]
        columns = tables.table_columns(cursor, GA4_EVENTS)
        cursor.execute(f'select {hash_sql.hashrow(GA4_EVENTS, columns)} = _hashrow from bronze.ga4_events')
        assert cursor.fetchall() == [(True,)]


def test_an_added_column_is_harmless_to_the_rows_before_it(settings: Settings, query: Query) -> None:
    articles = ('2025-10-01', '2025-10-02', '--pipeline', 'articles_performance')
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u2'))
    deliver(settings, 'ga4_events_20251002.csv')
    deliver(settings, 'cms_articles_20251001.csv')
    backfill(*articles)
    before, rows = gold(query), query('select _hashrow, _updated_at from bronze.ga4_events order by 1')
    # The same rows again, with a new column that is empty: nothing is new. With a value in it a row is another row.
    header = f'utm,{HEADERS["ga4_events"]}'
    deliver(settings, 'ga4_events_20251001.csv', f',{event("u1")}', f',{event("u2")}', header=header)
    backfill(*articles)
    assert query('select _hashrow, _updated_at from bronze.ga4_events order by 1') == rows
    assert gold(query) == before
    assert query("select count(*) from pg_attribute where attrelid = 'bronze.ga4_events'::regclass and attname = 'utm'") == [
        (1,)
    ]
    deliver(settings, 'ga4_events_20251002.csv', f'mail,{event("u1")}', header=header)
    backfill(*articles)
    assert query('select utm, count(*) from bronze.ga4_events group by 1 order by 1') == [('mail', 1), (None, 2)]
    with connect(settings) as connection, connection.cursor() as cursor:
        columns = tables.table_columns(cursor, GA4_EVENTS)
    assert query(f'select count(*) from bronze.ga4_events where {hash_sql.hashrow(GA4_EVENTS, columns)} <> _hashrow') == [
        (0,)
    ]


# --- all of it again --------------------------------------------------------------------------------------------------


def test_creating_everything_again_changes_nothing(loaded: Settings, query: Query) -> None:
    before = query('select oid, relname from pg_class order by oid')
    query("update ops.declarations set fingerprint = 'of an older version'")
    schema.ensure_schema(loaded)
    assert query('select oid, relname from pg_class order by oid') == before


def test_an_index_that_somebody_adds_to_bronze_stops_no_load(loaded: Settings, query: Query) -> None:
    query('create index on bronze.ga4_events (user_pseudo_id)')
    query('create index on bronze.ga4_events using brin (event_timestamp)')
    deliver(loaded, 'ga4_events_20251002.csv', event(day='2025-10-02', user='another'))
    assert backfill('2025-10-02', None, '--pipeline', 'articles_performance') == 3  # no articles of that day
    assert_gold_is_exact(query, loaded.data_dir)


def test_one_warehouse_has_one_time_zone(
    loaded: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv('KLY_TIMEZONE', 'UTC')
    assert backfill() == 1
    assert 'counts its days in Asia/Jakarta, not in UTC: set KLY_TIMEZONE=Asia/Jakarta' in capsys.readouterr().err


def test_a_declared_column_that_came_later_is_added(loaded: Settings, query: Query) -> None:
    query('alter table bronze.cms_articles drop column section cascade')
    query("update ops.declarations set fingerprint = 'of an older version'")
    schema.ensure_schema(loaded)
    with connect(loaded) as connection, connection.cursor() as cursor:
        assert set(CMS_ARTICLES.names) <= set(tables.table_columns(cursor, CMS_ARTICLES))


def test_an_older_server_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('kly_mage.warehouse.postgres.connection.MINIMUM_VERSION', 990000)
    with pytest.raises(WarehouseError, match='is too old: 15 or newer is needed'):
        schema.ensure_schema(settings)


# --- snapshots --------------------------------------------------------------------------------------------------------


def statements() -> dict[str, str]:
    """Every statement that is made from the declarations, by the name of its snapshot."""
    made = {f'{name}.sql': tables.source_ddl(source) for name, source in SOURCES.items()}
    made |= {f'{name}_hashrow.sql': hash_sql.hashrow(source, list(source.names)) for name, source in SOURCES.items()}
    made |= {f'{mart.name}.sql': mart_ddl(mart) for mart in MARTS}
    made |= {'reconciliation.sql': view_ddl(), 'daily_summary.sql': joined_ddl()}
    made |= {'restatements.sql': restatements_view(), 'finality.sql': finality_view()}
    made |= {'ads_sums.sql': ads_sums_ddl(GAM_DELIVERY, GAM_DAILY_SUMMARY)}
    made |= {'rollups.sql': rollups_ddl()}
    made |= {'gam_restatements.sql': restatements_ddl(GAM_DELIVERY, GAM_DAILY_SUMMARY)}
    odd = [*CMS_ARTICLES.names, 'a"b', "a'b", 'a=b', '\\', '_load_id']
    return made | {'cms_articles_hashrow_odd_names.sql': hash_sql.hashrow(CMS_ARTICLES, odd)}


@pytest.mark.parametrize('name', statements())
def test_generated_statements_are_those_of_the_snapshots(name: str) -> None:
    """Write them anew with KLY_WRITE_SNAPSHOTS=1, and look at the difference before you commit it."""
    path, made = SNAPSHOTS / name, statements()[name] + '\n'
    if os.environ.get('KLY_WRITE_SNAPSHOTS'):
        path.parent.mkdir(exist_ok=True)
        path.write_text(made, 'utf-8')
    kept = path.read_text('utf-8') if path.exists() else ''
    assert made == kept, '\n'.join(difflib.unified_diff(kept.splitlines(), made.splitlines(), lineterm=''))


def test_there_is_no_snapshot_of_a_statement_that_is_gone() -> None:
    assert {path.name for path in SNAPSHOTS.iterdir()} == set(statements())


def test_ads_have_a_table_for_conflicts_and_the_others_have_none(loaded: Settings, query: Query) -> None:
    found = {name for (name,) in query("select tablename from pg_tables where tablename like '%%_conflicts'")}
    assert found == {f'{GAM_DELIVERY.name}_conflicts'}


@pytest.mark.parametrize(
    'dropped',
    [
        'schema gold cascade',
        'table gold.ga4_daily_summary cascade',
        'table gold.ga4_daily_sessions',
        'table gold.gam_daily_summary cascade',
        'view gold.reconciliation',
    ],
)
def test_what_was_dropped_of_gold_is_made_again_and_filled_by_the_next_run(
    settings: Settings, query: Query, dropped: str
) -> None:
    deliver_october(settings.data_dir, range(1, 4))
    run_days(1, 3)
    query(f'drop {dropped}')
    run_days(3)
    assert_gold_is_exact(query, settings.data_dir)
    found = verify(settings)
    assert found is not None
    assert found.differences == []


@pytest.mark.parametrize('table', ['bronze.ga4_events_hashrow', 'bronze.rejects', 'ops.watermarks'])
def test_what_nothing_else_holds_is_not_made_again_empty(settings: Settings, query: Query, table: str) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    run_days(1)
    query(f'drop table {table} cascade')
    with pytest.raises(WarehouseError, match=f'has lost {table}.*restore it from a backup'):
        run_days(1)
