"""Bronze's partitions over years: the server's table of locks is watched, and past days are packed by month."""

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres import partitions
from kly_mage.warehouse.postgres.bronze_checks import check_bronze
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_partitions
from kly_mage.warehouse.postgres.differences import one_picture
from kly_mage.warehouse.report import Report
from tests.gold import Query, assert_gold_is_exact, gold
from tests.remedies import obey
from tests.scenes import deliver, deliver_october, run_days

PAST = 70  # days


@pytest.fixture
def past(settings: Settings) -> None:
    """October loaded, and its rows of bronze as if they had come in on three days some seventy days ago."""
    deliver_october(settings.data_dir)
    run_days(1, 4)
    today = datetime.now(UTC).date()
    for source in SOURCES.values():
        with connect(settings) as connection, connection.cursor() as cursor:
            for back in range(PAST, PAST + 3):
                day = today - timedelta(days=back)
                cursor.execute(
                    f'create table bronze.{source.name}_{day:%Y%m%d} partition of bronze.{source.name}'
                    f" for values from ('{day} 00:00:00+00') to ('{day + timedelta(days=1)} 00:00:00+00')"
                )
            for table in (source.name, f'{source.name}_hashrow'):
                cursor.execute(
                    f"update bronze.{table} set _updated_at = now() - interval '{PAST} days'"
                    " - interval '1 day' * (hashtext(_hashrow::text) & 1)"
                )


def leaves(query: Query, source: str) -> set[str]:
    return {
        name for (name,) in query('select relid::regclass::text from pg_partition_tree(%s) where isleaf', f'bronze.{source}')
    }


@pytest.mark.usefixtures('past')
def test_packed_months_hold_the_same_rows_and_loads_go_on_exactly(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    before, months = gold(query), {f'{datetime.now(UTC).date() - timedelta(days=PAST + n):%Y%m}' for n in range(3)}
    rows = {name: query(f'select * from bronze.{name} order by _hashrow') for name in SOURCES}
    held = locks(settings)
    capsys.readouterr()
    assert main(['pack']) == 0
    told = ', '.join(f'{month[:4]}-{month[4:]}' for month in sorted(months))
    assert capsys.readouterr().out.splitlines() == [f'{name}: {told}' for name in SOURCES]
    assert locks(settings) < held
    for name in SOURCES:
        assert rows[name] == query(f'select * from bronze.{name} order by _hashrow')
        assert {leaf.rpartition('_')[2].strip('"') for leaf in leaves(query, name)} >= months
        assert len(leaves(query, name)) == len(months) + 2  # today and tomorrow
        comment = query('select obj_description(%s::regclass)', f'bronze.{name}_{min(months)}')
        assert comment == [(f'Rows of {name} ingested in {min(months)[:4]}-{min(months)[4:]} (UTC).',)]
    assert gold(query) == before
    assert main(['verify']) == 0
    main(['pack'])
    assert capsys.readouterr().out.splitlines()[-1].endswith('no days of past months to put together')
    deliver_october(settings.data_dir, range(1, 7))
    run_days(1, 6)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0


@pytest.mark.usefixtures('past')
def test_a_picture_of_bronze_keeps_its_rows_while_months_are_packed(settings: Settings, query: Query) -> None:
    packing = threading.Thread(target=lambda: main(['pack']))
    waits = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
    report = Report()
    with connect(settings) as connection, connection.cursor() as cursor:
        one_picture(cursor)
        cursor.execute('select 1')  # the picture is taken
        packing.start()
        while packing.is_alive() and query(waits) == [(0,)]:
            pass
        check_bronze(cursor, report)
    packing.join()
    assert report.differences == []
    assert main(['verify']) == 0


@pytest.mark.usefixtures('past')
def test_who_asks_what_there_is_to_pack_waits_for_no_partition(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With one held and another waited for, two who pack would each wait for the other.
    assert main(['pack']) == 0
    capsys.readouterr()
    monkeypatch.setenv('KLY_LOCK_WAIT', '1')
    with connect(settings) as connection, connection.cursor() as cursor:
        for name in SOURCES:
            cursor.execute(f'lock table bronze.{name}_{datetime.now(UTC):%Y%m%d} in access exclusive mode')
        assert main(['pack']) == 0
    assert capsys.readouterr().out.splitlines() == [f'{name}: no days of past months to put together' for name in SOURCES]


@pytest.mark.usefixtures('past')
def test_months_are_packed_while_loads_and_readers_are_at_work(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 9))
    codes: list[int] = []
    busy = [
        threading.Thread(target=lambda command=command: codes.append(main(command)))
        for command in (
            ['backfill', '--start', '2025-10-01', '--end', '2025-10-06', '--quiet'],
            ['backfill', '--start', '2025-10-05', '--end', '2025-10-08', '--quiet'],
            ['verify'],
            ['pack'],
        )
    ]
    for each in busy:
        each.start()
    assert main(['pack']) == 0  # somebody else packs too
    for each in busy:
        each.join()
    assert not {1, 2}.intersection(codes)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    for name in SOURCES:
        assert len(leaves(query, name)) <= 3 + 2


def locks(settings: Settings) -> int:
    """How many one look at gold.reconciliation takes."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('select count(*) from gold.reconciliation')
        cursor.execute('select count(*) from pg_locks where pid = pg_backend_pid()')
        (count,) = cursor.fetchone()
        return int(count)


def test_months_that_loads_still_write_into_are_not_packed(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir)
    run_days(1, 4)
    assert partitions.pack(settings, SOURCES['gam_delivery']) == []
    query("update ops.watermarks set watermark = now() + interval '40 days' where mart = 'bronze.cms_articles'")
    ensure_partitions(settings, SOURCES['gam_delivery'])  # the clock was ahead: stamps go on from there
    assert datetime.now(UTC).date().replace(day=1) in partitions.pack(settings, SOURCES['gam_delivery'])
    run_days(1, 4)
    assert main(['verify']) == 0


@pytest.mark.parametrize(('others', 'told'), [(0, []), (20_000, ['python -m kly_mage pack'])])
def test_a_server_whose_room_for_locks_is_nearly_used_up_is_told_at_the_first_load_of_a_day(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, others: int, told: list[str]
) -> None:
    # The test's servers have room for 256 locks times 100 sessions; a database of its own has a handful of partitions.
    monkeypatch.setattr(partitions, 'OTHER_LOCKS', others)
    with caplog.at_level(logging.WARNING, 'kly_mage'):
        deliver(settings.data_dir, 'gam_delivery_20251001.csv', '2025-10-01T05:00:00Z,/top,l,c,a1,1,1,1')
        main(['backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--quiet'])
    found = [record.getMessage() for record in caplog.records if 'max_locks_per_transaction' in record.getMessage()]
    assert [words for line in found[:1] for words in told if words in line] == told
    assert bool(found) == bool(told)
    assert [obey(line) for line in found[:1]] == [0 for _ in told]
