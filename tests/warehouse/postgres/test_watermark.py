"""Every row is counted by exactly one refresh, whatever commits late and whichever way the clock goes, at its own cost."""

import re
from datetime import timedelta

import psycopg2
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres.blocks import run_sql
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_partitions, ensure_schema
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import (
    Background,
    OpenLoad,
    deliver,
    deliver_october,
    events,
    load,
    mart_sql,
    refresh,
    run_days,
    wait_until_blocked,
)

WAIT_FOR_LOADS = re.compile(r'^lock table only bronze\.\w+ in share mode;$', re.MULTILINE)


def naive(text: str) -> str:
    """The same block with a filter on time alone."""
    changed, times = WAIT_FOR_LOADS.subn('', text)
    assert times == 1, 'the block does not wait for loads any more, so the naive one is no other'
    return changed


def execute(settings: Settings, text: str) -> None:
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(text)


@pytest.mark.parametrize(
    ('source', 'mart', 'day'),
    [('ga4_events', 'ga4_daily_summary', 'event_date'), ('gam_delivery', 'gam_daily_summary', 'served_date')],
)
@pytest.mark.parametrize('is_naive', [False, True], ids=['as it is', 'with the naive watermark'])
def test_a_load_that_commits_after_a_later_one_was_refreshed(
    settings: Settings, query: Query, source: str, mart: str, day: str, is_naive: bool
) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    text = naive(mart_sql(mart)) if is_naive else mart_sql(mart)
    early = OpenLoad(settings, source, 1).is_open()
    load(settings, source, 2)
    running = Background(lambda: execute(settings, text))
    if is_naive:
        running.result()
    else:
        wait_until_blocked(query, running)
    early.commit()
    running.result()
    execute(settings, text)
    days = [row[0].day for row in query(f'select distinct {day} from gold.{mart} order by 1')]
    if is_naive:
        assert days == [2], 'the naive watermark should have lost the first day, for ever'
        assert main(['verify']) == 1
        assert main(['rebuild']) == 0
    else:
        assert days == [1, 2]
    other = 'gam_delivery' if source == 'ga4_events' else 'ga4_events'
    run_days(1, 2, 'ads_revenue' if other == 'gam_delivery' else 'articles_performance')
    run_days(1, 2)
    assert_gold_is_exact(query, settings.data_dir)


def test_the_first_refresh_of_all_waits_for_a_load_in_flight(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    first = OpenLoad(settings, 'ga4_events', 1).is_open()
    running = Background(lambda: refresh('ga4_daily_summary'))
    wait_until_blocked(query, running)
    first.commit()
    running.result()
    assert query('select sum(pageviews) from gold.ga4_daily_summary') == [(3,)]


def test_a_load_that_waited_for_a_refresh_is_stamped_beyond_it(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    load(settings, 'ga4_events', 1)
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(mart_sql('ga4_daily_summary'))
        waiting = OpenLoad(settings, 'ga4_events', 2)
        wait_until_blocked(query, waiting)
        connection.commit()
    waiting.is_open().commit()
    assert query(
        'select bool_and(_updated_at > watermark) from bronze.ga4_events, ops.watermarks'
        " where _load_id = 2 and mart = 'gold.ga4_daily_summary'"
    ) == [(True,)]
    refresh('ga4_daily_summary')
    assert query('select sum(pageviews) from gold.ga4_daily_summary') == [(7,)]  # 3, 1 late, 3


@pytest.mark.parametrize('is_naive', [False, True], ids=['as it is', 'stamped by the clock alone'])
def test_the_clock_is_set_back_between_loads(settings: Settings, query: Query, is_naive: bool) -> None:
    deliver_october(settings.data_dir)
    run_days(1)
    # A watermark 40 days ahead is what a clock that far ahead leaves behind: the next load is stamped beyond it.
    query("update ops.watermarks set watermark = now() + interval '40 days' where mart = 'gold.gam_daily_summary'")
    run_days(2)
    query("update ops.watermarks set watermark = (select max(_updated_at) from bronze.gam_delivery) where mart like '%gam%'")
    (ahead,) = query('select max(_updated_at) - now() from bronze.ga4_events')[0]
    assert ahead > timedelta(days=39)
    # The clock is right again, 40 days behind the watermark. Two loads, then a refresh.
    load(settings, 'ga4_events', 3)
    load(settings, 'ga4_events', 4)
    assert query('select count(distinct (_load_id, _updated_at)), count(distinct _updated_at) from bronze.ga4_events') == [
        (4, 4)
    ]
    if is_naive:
        query('update bronze.ga4_events set _updated_at = _created_at where _load_id > 6')
        run_days(1, 4)
        with pytest.raises(AssertionError, match='not in gold'):
            assert_gold_is_exact(query, settings.data_dir)
        return
    run_days(1, 4)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    again = load(settings, 'ga4_events', 4)
    assert (again['rows_new'], again['rows_already_loaded'], again['rows_duplicate']) == (0, 3, 1)


def test_loads_that_share_a_watermark_do_not_share_a_stamp(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    load(settings, 'ga4_events', 1)
    query("update ops.watermarks set watermark = now() + interval '1 day' where mart = 'gold.gam_daily_summary'")
    for _ in range(2):  # were the stamps one, the known rows of the second load would seem to be equal rows of its own
        counts = load(settings, 'ga4_events', 2)
    assert (counts['rows_new'], counts['rows_already_loaded'], counts['rows_duplicate']) == (0, 3, 1)


def test_isolation_is_ours_whatever_the_database_defaults_to(settings: Settings, query: Query) -> None:
    # Under REPEATABLE READ a refresh would look at bronze as it was before it waited for the load.
    query(f'alter database {settings.dbname} set default_transaction_isolation = "repeatable read"')
    deliver_october(settings.data_dir, range(1, 3))
    early = OpenLoad(settings, 'ga4_events', 1).is_open()
    load(settings, 'ga4_events', 2)
    running = Background(lambda: refresh('ga4_daily_summary'))
    wait_until_blocked(query, running)
    early.commit()
    running.result()
    assert query('select sum(pageviews) from gold.ga4_daily_summary') == [(7,)]


def test_isolation_is_set_by_the_blocks_themselves(settings: Settings, query: Query) -> None:
    # Mage runs the blocks over connections of its own.
    query(f'alter database {settings.dbname} set default_transaction_isolation = "repeatable read"')
    deliver_october(settings.data_dir, range(1, 3))
    early = OpenLoad(settings, 'ga4_events', 1).is_open()
    load(settings, 'ga4_events', 2)

    def as_mage_does() -> None:
        connection = psycopg2.connect(host=settings.host, dbname=settings.dbname, user=settings.user)
        with connection, connection.cursor() as cursor:
            cursor.execute(mart_sql('ga4_daily_summary'))
        connection.close()

    running = Background(as_mage_does)
    wait_until_blocked(query, running)
    early.commit()
    running.result()
    assert query('select sum(pageviews) from gold.ga4_daily_summary') == [(7,)]


# --- what a refresh costs -------------------------------------------------------------------------------------------------


def plan(settings: Settings, mart: str) -> str:
    """The plans of a block's queries as they were executed, rolled back."""
    lines: list[str] = []
    with connect(settings) as connection, connection.cursor() as cursor:
        text = re.sub('--.*', '', mart_sql(mart))
        framed = r'^do \$\$ begin .*?$|^exit;$.*^end; end loop; end \$\$;$'  # what tries the statement inside again
        for statement in re.sub(framed, '', text, flags=re.MULTILINE | re.DOTALL).split(';'):
            if re.match(r'\s*(with|create temp table)\b', statement):
                cursor.execute(f'explain (analyze, costs off, timing off, summary off, buffers off) {statement}')
                lines += [line for (line,) in cursor.fetchall()]
            elif statement.strip():
                cursor.execute(statement)
        connection.rollback()
    assert any('Merge on' in line for line in lines), lines
    return '\n'.join(lines)


@pytest.mark.parametrize(('source', 'mart'), [('ga4_events', 'ga4_daily_summary'), ('gam_delivery', 'gam_daily_summary')])
def test_a_refresh_prunes_the_partitions_behind_its_watermark(
    settings: Settings, query: Query, source: str, mart: str
) -> None:
    deliver_october(settings.data_dir)
    run_days(1)
    query("update ops.watermarks set watermark = now() + interval '3 days'")
    run_days(2)  # in a partition of its own, three days ahead
    (old,) = query(f'select distinct tableoid::regclass::text from bronze.{source} where _load_id <= 3')[0]
    query("update ops.watermarks set watermark = watermark + interval '3 days'")
    load(settings, source, 3)
    (new,) = query(f'select distinct tableoid::regclass::text from bronze.{source} where _load_id = 7')[0]
    scanned = {
        table
        for table, executed in re.findall(
            rf'Scan (?:using \S+ )?on ({source}_\d+)\b[^(]*\((never executed|actual)', plan(settings, mart)
        )
        if executed == 'actual'
    }
    # Partitions for later days may stand behind it, empty.
    assert min(scanned) == new.removeprefix('bronze.')
    assert old.removeprefix('bronze.') < min(scanned)


def test_a_refresh_reads_the_new_rows_of_a_large_partition_only(settings: Settings, query: Query) -> None:
    # All of one ingestion day: what a backfill of many days leaves behind before its last day is refreshed.
    # Where autovacuum is at work just then, a load leaves the index to it.
    ensure_schema(settings)
    ensure_partitions(settings, SOURCES['ga4_events'])
    for (leaf,) in query("select relid::regclass::text from pg_partition_tree('bronze.ga4_events') where isleaf"):
        query(f'alter table {leaf} set (autovacuum_enabled = off)')
    deliver(
        settings.data_dir,
        'ga4_events_20251001.csv',
        *(
            f'2025-10-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z,page_view,u{n},s{n},a{n % 3}'
            for n in range(60_000)
        ),
    )
    deliver(settings.data_dir, 'ga4_events_20251002.csv', '2025-10-02T01:00:00Z,page_view,u1,s1,a1')
    run_days(1)
    load(settings, 'ga4_events', 2)  # sees to it that the index knows of the rows before
    text = plan(settings, 'ga4_daily_summary')
    (partition,) = query('select distinct tableoid::regclass::text from bronze.ga4_events')[0]
    assert f'Seq Scan on {partition.removeprefix("bronze.")} ' not in text
    removed = sum(int(n) for n in re.findall(r'Rows Removed by (?:Filter|Index Recheck): (\d+)', text))
    assert removed < 8_000, text  # one range of 128 pages, not 60,000


def test_a_refresh_touches_the_keys_of_the_new_rows_only(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 5))
    run_days(1, 3)
    query(
        'insert into gold.ga4_daily_summary'
        " select date '2020-01-01' + n / 100, 'x' || n % 100, 1, 1, 1, now() from generate_series(1, 100000) as n"
    )
    query('analyze gold.ga4_daily_summary')
    load(settings, 'ga4_events', 4)
    text = plan(settings, 'ga4_daily_summary')
    assert 'Seq Scan on ga4_daily_summary' not in text, text
    read = [int(float(n)) for n in re.findall(r'on ga4_daily_summary target\b[^\n]*actual rows=([\d.]+)', text)]
    assert read, text
    assert max(read) < 100, text


# --- a key of two sessions --------------------------------------------------------------------------------------------


def test_two_sessions_of_one_key_in_one_refresh_undercount_and_the_mart_goes_on(settings: Settings, query: Query) -> None:
    """With a hash of 3 values instead of 2 ** 64 nearly every refresh meets a key twice."""
    weak = mart_sql('ga4_daily_summary').replace(
        'hashtextextended(content_id, session) as', 'hashtextextended(content_id, session) % 2 as'
    )
    assert '% 2' in weak
    for day in (1, 2):
        deliver(settings.data_dir, f'ga4_events_2025100{day}.csv', *events(1, 6 * day))
        load(settings, 'ga4_events', 1)
        for _ in range(2):
            run_sql(weak)
            ((pageviews, sessions, keys),) = query(
                'select sum(pageviews), sum(sessions), (select count(*) from gold.ga4_daily_sessions)'
                ' from gold.ga4_daily_summary'
            )
            assert pageviews == 6 * day
            assert 1 <= sessions == keys <= 3
