"""Files that have not changed are not read again, and nothing is lost by it, whatever it is that changes."""

import os
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.landing import readers
from kly_mage.loads import depends, runner
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from kly_mage.warehouse.postgres import unchanged
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import HEADERS, ad, ads, article, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.reading import *  # noqa: F403 -- fixtures
from tests.reading import in_bronze, last, taken
from tests.scenes import Background, wait_until_blocked

pytestmark = pytest.mark.one_version

FILE = 'gam_delivery_20251001.csv'


def test_a_daily_run_reads_the_new_file_alone(settings: Settings, query: Query, read: list[str]) -> None:
    for day in range(1, 5):
        deliver(settings, f'gam_delivery_2025100{day}.csv', ad('a', day=f'2025-10-0{day}'), ad('late'))
        runner.run(['ads_revenue'], ds=f'2025-10-0{day + 1}', env='prod', lag_days=1, lookback_days=3)
        assert taken(read) == [f'gam_delivery_2025100{day}.csv']
    # Of the fourth file one row is new, the late one is known; the three others have both their rows in bronze.
    assert last(query, 'new', 'already_loaded', 'unchanged') == (1, 1, 6)
    assert in_bronze(query) == 5
    assert_gold_is_exact(query, settings.data_dir)


def test_other_bytes_of_the_same_size_and_time_are_read(settings: Settings, query: Query, read: list[str]) -> None:
    path = deliver(settings, FILE, ad('a'))
    assert ads() == 0
    before = path.stat()
    with path.open('r+b') as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace(b',a,', b',b,') if b',a,' in text else text.replace(b'/a', b'/b'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    taken(read)
    readers._header.cache_clear()
    assert ads() == 3  # the file has changed since it was loaded
    assert taken(read) == [FILE]
    assert last(query, 'new', 'unchanged') == (1, 0)


def test_the_same_bytes_at_another_time_are_not(settings: Settings, query: Query, read: list[str]) -> None:
    path = deliver(settings, 'ga4_events_20251001.csv', event('u1'))
    backfill()
    taken(read)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    backfill()
    assert 'ga4_events_20251001.csv' not in taken(read)
    assert query('select count(*) from bronze.ga4_events') == [(1,)]


def test_an_undated_file_of_articles_that_is_delivered_later_counts_as_later(settings: Settings, query: Query) -> None:
    """Which version of an article counts goes by when it was delivered, which of such files only their time tells."""
    old = deliver(settings, 'cms_articles_a.csv', article('1', 'First'))
    new = deliver(settings, 'cms_articles_b.csv', article('1', 'Second'))
    for path, time in ((old, 1_700_000_000), (new, 1_700_000_100)):
        os.utime(path, (time, time))
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    assert query('select title from gold.articles') == [('Second',)]
    os.utime(old, (1_700_000_200, 1_700_000_200))
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    assert query('select title from gold.articles') == [('First',)]


def set_timezone_of_files(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(SOURCES['gam_delivery'], early_days=1))
    main(['migrate'])


def set_late_days(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KLY_LATE_DAYS', '2')


def set_mapping(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.data_dir / 'landing.toml').write_text('')


def edit_a_block(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depends, '_code', lambda: 'edited')


def wire_a_block_of_ones_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = runner.blocks

    def wired(pipelines: Any) -> list[runner.Block]:
        return [
            replace(block, lanes=(('a_block_of_mine',),)) if block.uuid == 'hash_gam_delivery' else block
            for block in blocks(pipelines)
        ]

    monkeypatch.setattr(depends.runner, 'blocks', wired)


def unload(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(['unload', '--source', 'gam_delivery', '--start', '2025-10-01', '--end', '2025-10-01']) == 0


def decide(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(['rejects', '--accept', 'as it is', '--by', 'Ani']) == 0


def empty_bronze(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from kly_mage.warehouse.postgres.connection import connect

    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('truncate bronze.gam_delivery, bronze.gam_delivery_hashrow')


@pytest.mark.parametrize(
    'change',
    [set_timezone_of_files, set_late_days, set_mapping, edit_a_block, unload, decide, empty_bronze],
    ids=lambda change: change.__name__,
)
def test_whatever_a_load_depends_on_brings_its_files_back(
    settings: Settings, query: Query, read: list[str], monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    deliver(settings, FILE, ad('a'), ad('b'), ad('c', 'x'))
    assert ads() == 3
    taken(read)
    change(settings, monkeypatch)
    taken(read)
    ads()
    assert taken(read) == [FILE]
    assert in_bronze(query) == 2
    ads()
    assert taken(read) == []
    assert in_bronze(query) == 2


def test_behind_a_block_of_somebodys_own_all_files_are_read(
    settings: Settings, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(settings, FILE, ad('a'))
    assert depends.recalling(settings, SOURCES['gam_delivery'], reread=False) is not None
    wire_a_block_of_ones_own(settings, monkeypatch)
    assert depends.recalling(settings, SOURCES['gam_delivery'], reread=False) is None


def test_rows_deleted_by_hand_are_found_by_reconcile_and_brought_back_by_repair(
    settings: Settings, query: Query, read: list[str]
) -> None:
    deliver(settings, FILE, ad('a'), ad('b'))
    assert ads() == 0
    query("delete from bronze.gam_delivery where ad_unit = 'b'")
    query(
        'delete from bronze.gam_delivery_hashrow as known where not exists (select from bronze.gam_delivery as stored'
        ' where stored._hashrow = known._hashrow)'
    )
    assert ads() == 0
    assert main(['reconcile', '--source', 'gam_delivery']) == 3
    assert main(['repair', '--source', 'gam_delivery', '--quiet']) == 0
    assert in_bronze(query) == 2
    query('delete from bronze.gam_delivery_hashrow where _hashrow = (select _hashrow from bronze.gam_delivery limit 1)')
    query(
        'delete from bronze.gam_delivery as stored where not exists (select from bronze.gam_delivery_hashrow as known'
        ' where stored._hashrow = known._hashrow)'
    )
    assert ads('2025-10-01', None, '--reread') == 0
    assert in_bronze(query) == 2


def test_a_load_that_died_has_kept_nothing(
    settings: Settings, query: Query, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(settings, FILE, ad('a'))

    def die(*values: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(unchanged, 'note', die)
        assert ads() != 0
    assert in_bronze(query) == 0
    taken(read)
    assert ads() == 0
    assert taken(read) == [FILE]
    assert in_bronze(query) == 1


def test_an_exporter_beside_whose_loader_another_day_of_the_file_was_found_in_conflict_reads_it(
    settings: Settings, query: Query
) -> None:
    asked = {'start_date': date(2025, 10, 1), 'end_date': date(2025, 10, 1)}
    further = '2025-10-02'
    deliver(settings, 'gam_delivery_a.csv', ad('a'), ad('b', '1', day=further), ad('b', '2', day=further))
    assert ads('2025-10-01') == 0
    rows = hash_rows(read_days('gam_delivery', asked), 'gam_delivery')
    assert ads(further) == 3  # of a file with conflicts nothing is kept
    done = export_new_rows(rows, 'gam_delivery', asked)
    assert (done['rows_read'], done['rows_already_loaded'], done['rows_unchanged']) == (1, 1, 0)
    assert_gold_is_exact(query, settings.data_dir)


def test_what_another_load_of_other_days_ceases_to_keep_meanwhile_is_not_kept_again(
    settings: Settings, query: Query, read: list[str]
) -> None:
    """That load has found another version of a row in the file, say: its days are none of this one's."""
    deliver(settings, FILE, ad('a'))
    assert ads() == 0
    with connect(settings) as other, other.cursor() as cursor:
        unchanged.drop(cursor, 'gam_delivery')
        load = Background(ads)  # counts on what is kept, and waits for the file's row
        wait_until_blocked(query, load)
    assert load.result() == 0
    assert last(query, 'already_loaded', 'unchanged') == (0, 1)
    assert query('select content, held, registry from ops.files') == [(None, None, None)]
    taken(read)
    assert ads() == 0
    assert taken(read) == [FILE]
    # As an earlier version has left it, which kept the file again, without its days; each later load failed.
    query("update ops.files set held = jsonb_build_object('days', '{}'::jsonb)")
    assert ads() == 0
    assert taken(read) == [FILE]
    assert_gold_is_exact(query, settings.data_dir)


def whole_day(settings: Settings, day: int, *rows: str) -> str:
    """A table of GA4's export of one October day; gives its name."""
    path = settings.data_dir / f'ga4_events/events_2025100{day}.csv'
    path.write_text('\n'.join([HEADERS['ga4_events'], *rows, '']), 'utf-8')
    return path.name


def test_whole_days_of_which_a_part_is_taken_away_are_read(settings: Settings, query: Query, read: list[str]) -> None:
    for part, user in ((0, 'u1'), (1, 'u2')):
        path = settings.data_dir / f'ga4_events/events_20251003-{part}.csv'
        path.write_text('\n'.join([HEADERS['ga4_events'], event(user, day='2025-10-03'), '']), 'utf-8')
    backfill('2025-10-01', '2025-10-03', '--pipeline', 'articles_performance')
    taken(read)
    path.unlink()
    backfill('2025-10-01', '2025-10-03', '--pipeline', 'articles_performance')
    assert taken(read) == ['events_20251003-0.csv']
    assert query('select pageviews::int from gold.ga4_daily_summary') == [(1,)]
    assert_gold_is_exact(query, settings.data_dir)


def test_a_daily_run_over_an_export_reads_the_tables_of_the_new_day_alone(
    settings: Settings, query: Query, read: list[str]
) -> None:
    for day in range(1, 5):
        late = [event(f'late{day}', day=f'2025-10-0{day - 1}')] if day > 1 else []
        path = settings.data_dir / f'ga4_events/events_intraday_2025100{day}.csv'
        path.write_text('\n'.join([HEADERS['ga4_events'], event(f'u{day}', day=f'2025-10-0{day}'), '']), 'utf-8')
        backfill(f'2025-10-0{day}', None, '--pipeline', 'articles_performance')
        taken(read)
        name = whole_day(settings, day, event(f'u{day}', day=f'2025-10-0{day}', content='8'), *late)
        runner.run(['articles_performance'], ds=f'2025-10-0{day + 1}', env='prod', lag_days=1, lookback_days=3)
        assert taken(read) == [name, path.name]
    assert query('select count(*) from bronze.ga4_events_corrections') == [(4,)]
    assert_gold_is_exact(query, settings.data_dir)


def test_rejects_that_were_accepted_stay_so_without_being_read(settings: Settings, read: list[str]) -> None:
    deliver(settings, FILE, ad('a'), ad('c', 'x'))
    assert ads() == 3
    decide(settings, pytest.MonkeyPatch())
    assert ads() == 0
    taken(read)
    assert ads() == 0
    assert taken(read) == []


def test_a_file_that_lost_rows_is_read_and_named_until_it_is_repaired(
    settings: Settings, query: Query, read: list[str]
) -> None:
    deliver(settings, FILE, ad('a'), ad('b'))
    assert ads() == 0
    deliver(settings, FILE, ad('a'))
    assert ads() == ads() == 3
    assert taken(read) == [FILE]
    assert main(['repair', '--source', 'gam_delivery', '--quiet']) == 0
    assert ads() == 0
    taken(read)
    assert ads() == 0
    assert taken(read) == []


def test_rows_outside_are_said_when_their_files_day_comes_whatever_day_was_loaded_before(
    settings: Settings, query: Query
) -> None:
    deliver(settings, 'gam_delivery_20251003.csv', ad('late'), ad('o', day='2025-09-01'))
    ads('2025-10-01')
    assert last(query, 'new', 'outside') == (1, 0)
    assert ads('2025-10-03') == 3
    assert last(query, 'outside') == (1,)
    assert ads('2025-10-03') == 3
    assert last(query, 'outside', 'read') == (1, 1)


def test_a_file_that_comes_beside_others_of_its_day_leaves_them_unread(
    settings: Settings, query: Query, read: list[str]
) -> None:
    deliver(settings, FILE, ad('a'))
    ads()
    taken(read)
    deliver(settings, 'gam_delivery_20251001_b.csv', ad('a'), ad('b'))
    ads()
    assert taken(read) == ['gam_delivery_20251001_b.csv']
    assert last(query, 'new', 'already_loaded', 'unchanged') == (1, 1, 1)
    assert in_bronze(query) == 2


def test_whole_days_that_are_as_they_were_are_read_again_only_for_days_that_nobody_has_asked_them_for(
    settings: Settings, query: Query, read: list[str]
) -> None:
    names = [whole_day(settings, day, event(f'u{day}', day=f'2025-10-0{day}')) for day in (2, 3)]
    backfill('2025-10-02', '2025-10-03', '--pipeline', 'articles_performance')
    assert taken(read) == names
    backfill('2025-10-02', '2025-10-03', '--pipeline', 'articles_performance')
    assert taken(read) == []
    unchanged = "select rows_read, rows_unchanged from ops.loads where source = 'ga4_events' order by load_id desc limit 1"
    assert query(unchanged) == [(2, 2)]
    backfill('2025-10-01', '2025-10-02', '--pipeline', 'articles_performance')
    assert taken(read) == names  # neither has a row of the first, which is said only now
    backfill('2025-10-01', '2025-10-03', '--pipeline', 'articles_performance')
    assert taken(read) == []
    whole_day(settings, 3, event('u3', day='2025-10-03'), event('u2', day='2025-10-02', content='8'))
    backfill('2025-10-03', '2025-10-03', '--pipeline', 'articles_performance')
    assert taken(read) == names[1:]
    backfill('2025-10-02', '2025-10-03', '--pipeline', 'articles_performance')
    assert taken(read) == names[1:]  # it has a row of the second, too, which nobody has asked for
    assert_gold_is_exact(query, settings.data_dir)
