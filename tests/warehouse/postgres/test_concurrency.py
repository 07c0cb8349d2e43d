"""Loads, refreshes, rebuilds and readers beside each other, as steps over real connections: nobody fails, gold is exact."""

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.verify import rebuild
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared import SOURCES, marts
from kly_mage.loads import runner
from kly_mage.warehouse.postgres import ddl as schema
from kly_mage.warehouse.postgres import gold_checks, locks
from kly_mage.warehouse.postgres import load as bronze
from kly_mage.warehouse.postgres.connection import connect
from tests import corrections, killer
from tests.gold import Query, assert_gold_is_exact, empty_warehouse, gold
from tests.scenes import (
    Background,
    OpenLoad,
    deadlocks,
    deliver,
    deliver_october,
    events,
    load,
    mart_sql,
    refresh,
    run_days,
    wait_until_blocked,
)

MARTS = ('ga4_daily_summary', 'gam_daily_summary', 'daily_summary')
SOURCE_NAMES = tuple(SOURCES)


# --- load beside load -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('source', SOURCE_NAMES)
@pytest.mark.parametrize('outcome', ['commits', 'fails'])
def test_two_loads_of_one_day_insert_each_row_once(settings: Settings, query: Query, source: str, outcome: str) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    first = OpenLoad(settings, source, 1).is_open()
    second = Background(lambda: load(settings, source, 1))
    wait_until_blocked(query, second)
    if outcome == 'commits':
        inserted = first.commit()['rows_new']
        assert second.result()['rows_new'] == 0
    else:
        first.fail()
        inserted = second.result()['rows_new']
    rows, hashes = query(f'select count(*), count(distinct _hashrow) from bronze.{source}')[0]
    assert rows == hashes == inserted > 0
    run_days(1, 2)
    assert_gold_is_exact(query, settings.data_dir)
    assert deadlocks(query) == 0


@pytest.mark.parametrize('source', ['ga4_events', 'gam_delivery'])
def test_loads_of_different_days_do_not_wait_for_each_other(settings: Settings, query: Query, source: str) -> None:
    # Both meet the same rejects without a day, and look at the same files.
    deliver_october(settings.data_dir, range(1, 4))
    first = OpenLoad(settings, source, 1).is_open()
    assert load(settings, source, 2)['rows_new'] > 0  # would wait for ever if it waited for the first
    assert load(settings, source, 3)['rows_new'] > 0
    first.commit()
    run_days(1, 3)
    assert_gold_is_exact(query, settings.data_dir)
    assert query("select count(*) from bronze.rejects where source = 'ga4_events'") == [(3,)]


def test_loads_of_overlapping_ranges_wait_in_one_direction(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 6))
    first = OpenLoad(settings, 'ga4_events', 2, 3).is_open()
    around = Background(lambda: load(settings, 'ga4_events', 1, 5))
    wait_until_blocked(query, around)
    after = Background(lambda: load(settings, 'ga4_events', 3, 4))
    wait_until_blocked(query, after, sessions=2)
    first.commit()
    around.result()
    after.result()
    run_days(1, 5)
    assert_gold_is_exact(query, settings.data_dir)
    assert deadlocks(query) == 0


def test_a_load_of_decades_keeps_to_a_few_locks_and_days_still_wait_for_it(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    days = pytest.MonkeyPatch()
    with days.context() as patch:
        patch.setattr(locks, 'LOCKED_DAYS', 2)
        decades = OpenLoad(settings, 'ga4_events', 1, 30).is_open()
    assert query("select count(*) from pg_locks where locktype = 'advisory'")[0][0] <= 3
    one_day = Background(lambda: load(settings, 'ga4_events', 2))
    wait_until_blocked(query, one_day)
    decades.commit()
    assert one_day.result()['rows_new'] == 0


def test_the_articles_of_a_file_that_came_after_the_rows_were_read_are_loaded_next_time(
    settings: Settings, query: Query
) -> None:
    # In Mage minutes lie between loader and exporter; the exporter notes which files were read.
    deliver(settings.data_dir, 'cms_articles_20251001.csv', 'a1,site,Read,author,news,2025-10-01')
    block = {block.uuid: block.function() for block in runner.blocks(['articles_performance']) if block.language == 'python'}
    day = {'run_date': '2025-10-01', 'env': 'dev'}
    rows = block['hash_cms_articles'](block['load_cms_articles'](**day))
    deliver(settings.data_dir, 'cms_articles_20230101.csv', 'old,site,Came meanwhile,author,news,2023-01-01')
    deliver(settings.data_dir, 'cms_articles_20251001.csv', 'a1,site,Changed meanwhile,author,news,2025-10-01')
    block['export_cms_articles'](rows, **day)
    run_days(2)
    assert query('select content_id, title from gold.articles order by 1') == [
        ('a1', 'Changed meanwhile'),
        ('old', 'Came meanwhile'),
    ]


# --- refresh beside load, refresh and readers -------------------------------------------------------------------------


@pytest.mark.parametrize('mart', MARTS)
def test_two_refreshes_at_once_count_once(settings: Settings, query: Query, mart: str) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    for source in SOURCE_NAMES:
        load(settings, source, 1, 2)
    if mart == 'daily_summary':
        refresh('ga4_daily_summary')
        refresh('gam_daily_summary')
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(mart_sql(mart))
        second = Background(lambda: refresh(mart))
        wait_until_blocked(query, second)
        connection.commit()
    second.result()
    run_days(1, 2)
    assert_gold_is_exact(query, settings.data_dir)


def test_readers_of_gold_never_wait(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    run_days(1)
    before = gold(query)

    def read() -> dict[str, list[tuple[object, ...]]]:
        return gold(lambda text: query(f"set lock_timeout = '1ms'; {text}"))

    loads = [OpenLoad(settings, source, 2).is_open() for source in SOURCE_NAMES]
    assert read() == before
    for step in loads:
        step.commit()
    before = gold(query)  # articles are a view: the load is their refresh
    with connect(settings) as connection, connection.cursor() as cursor:
        for mart in MARTS:
            cursor.execute(mart_sql(mart))
            assert read() == before, mart
        connection.commit()
    assert_gold_is_exact(query, settings.data_dir)
    before = gold(query)
    with connect(settings) as connection, connection.cursor() as cursor:
        gold_checks.lock(cursor)
        for declared in marts.MARTS:
            gold_checks.refill(cursor, declared, mart_sql)
            assert read() == before, declared.name
        cursor.execute("update ops.watermarks set built_from = null where mart = 'gold.daily_summary'")
        cursor.execute(mart_sql('daily_summary'))
        assert read() == before


def test_a_rebuild_waits_for_the_load_and_the_load_for_the_rebuild(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 5))
    run_days(1)
    first = OpenLoad(settings, 'ga4_events', 2).is_open()
    building = Background(lambda: rebuild(settings))
    wait_until_blocked(query, building)
    second = Background(lambda: load(settings, 'gam_delivery', 3))
    third = Background(lambda: run_days(4))
    first.commit()
    for step in (building, second, third):
        step.result()
    run_days(1, 4)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    assert deadlocks(query) == 0


def test_rebuilds_refreshes_and_verify_at_once(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 4))
    run_days(1, 2)
    steps = [Background(lambda: rebuild(settings)) for _ in range(2)]
    steps += [Background(lambda: run_days(3)), Background(lambda: main(['verify'])), Background(lambda: run_days(2, 3))]
    codes = [step.result() for step in steps]
    assert codes[3] in (0, 3)
    assert_gold_is_exact(query, settings.data_dir)
    assert deadlocks(query) == 0


# --- what is made on the way: schema, partitions, columns -------------------------------------------------------------


def test_starts_that_wait_for_one_another_on_an_empty_database_make_the_schema_once(
    settings: Settings, query: Query
) -> None:
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('kly_mage schema'))")
        starts = [Background(lambda: schema.ensure_schema(settings)) for _ in range(4)]
        for start in starts:
            wait_until_blocked(query, start)
    for start in starts:
        start.result()


def test_a_start_that_found_no_schema_does_not_wait_for_the_load_of_the_one_that_made_it(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    first = OpenLoad(settings, 'ga4_events', 1).is_open()
    state, looks = schema._state, []

    def looked_too_early(cursor: object, ddl: str) -> object:
        looks.append(cursor)
        return None if len(looks) == 1 else state(cursor, ddl)

    monkeypatch.setattr(schema, '_state', looked_too_early)
    schema.ensure_schema(settings)  # the DDL would wait for the open load, with the ledger locked
    first.commit()


def test_partitions_are_made_beside_loads_and_refreshes(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 4))
    run_days(1)
    for source in ('ga4_events', 'gam_delivery'):
        open_load = OpenLoad(settings, source, 2).is_open()
        (name,) = query(
            f"select max(relid::regclass::text) from pg_partition_tree('bronze.{source}') where isleaf"
            f' and relid::regclass::text <> (select max(tableoid::regclass::text) from bronze.{source})'
        )[0]
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '1ms'")
            with pytest.raises(Exception, match='lock timeout'):
                cursor.execute(f'drop table {name}')
        open_load.commit()
        query(f'drop table {name}')
        open_load = OpenLoad(settings, source, 1).is_open()
        query("update ops.watermarks set watermark = now() + interval '9 days' where mart like 'bronze%'")
        made = Background(lambda source=source: load(settings, source, 3))  # makes two partitions beside the open load
        made.result()
        query("update ops.watermarks set watermark = now() + interval '19 days' where mart like 'bronze%'")
        refreshing = Background(lambda source=source: refresh(mart_of(source)))
        wait_until_blocked(query, refreshing)
        last = Background(lambda source=source: load(settings, source, 3))  # wants partitions while a refresh waits
        open_load.commit()
        refreshing.result()
        last.result()
    run_days(1, 3)
    assert_gold_is_exact(query, settings.data_dir)
    assert deadlocks(query) == 0


def test_a_partition_that_another_session_has_made_is_seen(settings: Settings) -> None:
    source, day = SOURCES['ga4_events'], date(2031, 1, 1)
    schema.ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        assert not schema.has_partition(cursor, source, day)
        with connect(settings) as other, other.cursor() as faster:
            schema._attach_partition(faster, source, day)
        assert schema.has_partition(cursor, source, day)


def mart_of(source: str) -> str:
    return {'ga4_events': 'ga4_daily_summary', 'gam_delivery': 'gam_daily_summary'}[source]


def test_a_new_column_is_added_beside_loads_and_refreshes(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    run_days(1)
    first = OpenLoad(settings, 'ga4_events', 2).is_open()
    wide = settings.data_dir / 'ga4_events' / 'ga4_events_20251003.csv'
    lines = [f'{row},{n}' for n, row in enumerate(events(3))]
    wide.write_text(
        'event_timestamp,event_name,user_pseudo_id,session_id,content_id,app\n' + '\n'.join(lines) + '\n', 'utf-8'
    )
    widening = [Background(lambda: load(settings, 'ga4_events', 3)) for _ in range(2)]
    wait_until_blocked(query, widening[0], sessions=2)
    refreshing = Background(lambda: refresh('ga4_daily_summary'))
    first.commit()
    assert sorted(step.result()['rows_new'] for step in widening) == [0, 3]
    refreshing.result()
    run_days(1, 3)
    assert query('select array_agg(app order by app) from bronze.ga4_events where app is not null') == [(['0', '1', '2'],)]
    assert_gold_is_exact(query, settings.data_dir)
    assert deadlocks(query) == 0


def test_a_load_whose_partition_is_not_there_tries_again(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A load that waited over midnight, or behind a clock that was ahead, is stamped for a day nobody has prepared.
    deliver_october(settings.data_dir, range(1, 2))
    run_days(1)
    ensure, calls = bronze.ensure_partitions, []

    def too_early(*values: object) -> None:
        ensure(*values)
        calls.append(values)
        if len(calls) == 1:
            query("update ops.watermarks set watermark = now() + interval '9 days' where mart like 'bronze%'")

    monkeypatch.setattr(bronze, 'ensure_partitions', too_early)
    deliver(settings.data_dir, 'ga4_events_20251002.csv', *events(2))
    run_days(2, 2, 'articles_performance')
    assert len(calls) > 2
    assert_gold_is_exact(query, settings.data_dir)


# --- whole runs -------------------------------------------------------------------------------------------------------


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A command of the project as a process of its own."""
    return subprocess.Popen(
        [sys.executable, '-m', 'kly_mage', *arguments],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes: subprocess.Popen[str]) -> list[int]:
    """Their exit codes; what they said goes to the test's own output."""
    for process in processes:
        print(process.communicate(timeout=300)[0])
    return [process.returncode for process in processes]


def test_processes_that_start_on_an_empty_database_at_once(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    days = ('backfill', '--start', '2025-10-01', '--end', '2025-10-02', '--quiet')
    started = [
        command(*days),
        command(*days, '--pipeline', 'ads_revenue'),
        command(*days, '--pipeline', 'articles_performance'),
    ]
    assert finish(*started) == [3, 3, 3]  # rejects and conflicts are there on purpose
    assert_gold_is_exact(query, settings.data_dir)
    assert query("select count(*) from ops.loads where status <> 'done'") == [(0,)]
    assert deadlocks(query) == 0


@pytest.mark.one_version
def test_two_overlapping_backfills_and_a_daily_run_three_times(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deliver_october(settings.data_dir, range(1, 32), count=20)

    def backfill(*ranges: tuple[int, int]) -> None:
        for start, end in ranges:
            run_days(start, end)

    def daily() -> None:
        for fired in (30, 31):  # the run of the next morning: yesterday and three days of late rows
            runner.run(runner.names(), env='prod', ds=f'2025-10-{fired}', lag_days=1, trigger_name='daily')

    for round_ in range(3):
        if round_ == 2:  # the third time from nothing, the second over what is there
            empty_warehouse(query)
            rebuild(settings)
        steps = [
            Background(lambda: backfill((1, 16), (17, 31))),
            Background(lambda: backfill((20, 31), (1, 25))),
            Background(daily),
        ]
        for step in steps:
            step.result()
        assert_gold_is_exact(query, settings.data_dir)
        assert main(['verify']) == 0
    assert query("select count(*) from ops.loads where status <> 'done'") == [(0,)]
    assert deadlocks(query) == 0


@pytest.mark.parametrize('name', corrections.SCENES)
def test_overlapping_backfills_of_the_same_corrected_days_correct_them_once(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scene = corrections.SCENES[name]
    scene.begin(settings, monkeypatch)

    def backfill(*ranges: tuple[int, int]) -> None:
        for start, end in ranges:
            run_days(start, end, scene.pipeline)

    def refreshes() -> None:
        while any(step.running for step in steps):
            refresh(mart_of(scene.source))

    steps = [
        Background(lambda: backfill((1, 4), (3, 6))),
        Background(lambda: backfill((2, 6), (1, 3))),
        Background(lambda: backfill((6, 6), (1, 6))),
    ]
    beside = Background(refreshes)
    for step in steps:
        step.result()
    beside.result()
    corrections.assert_all_agree(scene, settings, query)
    assert query("select count(*) from ops.loads where status <> 'done'") == [(0,)]
    assert deadlocks(query) == 0


@pytest.mark.slow
@pytest.mark.parametrize('name', corrections.SCENES)
def test_processes_that_correct_the_same_days_at_once_correct_them_once(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scene = corrections.SCENES[name]
    scene.begin(settings, monkeypatch)
    codes = finish(*[killer.process(name, killer.NEVER, 'nobody') for _ in range(3)])
    assert set(codes) <= {0, 3}
    assert 3 in codes  # days that were final are corrected: whoever has done it says so
    corrections.assert_all_agree(scene, settings, query)
    assert deadlocks(query) == 0


@pytest.mark.slow
def test_two_overlapping_backfills_of_the_sample_and_a_daily_run_three_times(settings: Settings, query: Query) -> None:
    shutil.copytree(REPOSITORY / 'data', settings.data_dir, dirs_exist_ok=True)
    for _ in range(3):
        started = [
            command('backfill', '--start', '2025-10-01', '--end', '2025-10-31', '--quiet'),
            command('backfill', '--start', '2025-10-10', '--end', '2025-10-31', '--quiet'),
            command('backfill', '--start', '2025-10-28', '--end', '2025-10-31', '--quiet'),
        ]
        assert finish(*started) == [3, 3, 3]
        assert_gold_is_exact(query, settings.data_dir)
        assert main(['verify']) == 0
