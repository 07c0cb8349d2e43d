"""Whoever waits for a lock says for whom, and ends: a loader that was stopped stops nobody in silence."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg2
import pytest

from kly_mage.checks.reconciliation import check as reconcile
from kly_mage.checks.verify import rebuild
from kly_mage.common.errors import LockedError
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres import ddl, watch
from kly_mage.warehouse.postgres.connection import connect
from tests.commands import run
from tests.gold import Query, assert_gold_is_exact
from tests.remedies import obey
from tests.scenes import Background, OpenLoad, deliver_october, load, mart_sql, refresh, run_days, wait_until_blocked

pytestmark = pytest.mark.one_version

DAY = ('--start', '2025-10-01', '--end', '2025-10-01', '--quiet')


@contextmanager
def stopped_loader(settings: Settings) -> Iterator[int]:
    """A process that was stopped (SIGSTOP) in the middle of its load of the first day's ads; woken at the end."""
    script = (
        'import os, signal\n'
        'from kly_mage.warehouse.postgres import ledger\n'
        'finish = ledger.finish\n'
        'def stop(*values):\n'
        '    ledger.finish = finish\n'
        '    os.kill(os.getpid(), signal.SIGSTOP)\n'
        '    finish(*values)\n'
        'ledger.finish = stop\n'
        'from tests.scenes import run_days\n'
        'run_days(1, 1, "ads_revenue")\n'
    )
    process = subprocess.Popen([sys.executable, '-c', script], cwd=REPOSITORY)
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield process.pid
        process.send_signal(signal.SIGCONT)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.wait()


def test_a_run_behind_a_stopped_loader_says_for_whom_it_waits_and_gives_up(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    with stopped_loader(settings) as process:
        ended = run('backfill', *DAY, '--pipeline', 'ads_revenue', KLY_LOCK_WAIT='6')
        assert ended.returncode == 1
        waiting, error = ended.stderr.strip().splitlines()
        holder = r'load 1 (gam_delivery, 2025-10-01, by test, since '
        session = query("select pid from pg_stat_activity where application_name like 'kly_mage load 1 /%'")[0][0]
        for line in (waiting, error):
            assert holder in line
            assert f'process {process} on ' in line
            assert f'PostgreSQL session {session}' in line
            assert 'silent for ' in line
        assert 'WARNING waiting for load 1' in waiting
        assert error.startswith('error: gave up after waiting 6 s (KLY_LOCK_WAIT) for load 1')
        assert f'kill -CONT {process}' in error
        assert f'pg_terminate_backend({session})' in error
        assert query('select status, error from ops.loads where load_id = 2')[0][0] == 'failed'
        assert obey(error) == 0
        assert run('backfill', *DAY, '--pipeline', 'ads_revenue', KLY_LOCK_WAIT='6').returncode == 3  # a conflict
    run_days(1, 2)
    assert_gold_is_exact(query, settings.data_dir)


def test_the_remedy_works(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    with stopped_loader(settings):
        waiting = Background(lambda: load(settings, 'gam_delivery', 1))
        wait_until_blocked(query, waiting)
        query("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'kly_mage load 1 /%'")
        assert waiting.result()['rows_new'] == 3
    run_days(1)  # the loader, once awake, has tried again
    assert_gold_is_exact(query, settings.data_dir)


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in the way is seen some ten times before a short wait ends, however late the one or other look comes."""
    monkeypatch.setattr(watch, 'SAID_AFTER', 0.2)
    monkeypatch.setattr(watch, '_LOOK', 0.2)


def reconciling(settings: Settings) -> None:
    reconcile.reconcile(settings)


def new_column(settings: Settings) -> None:
    ddl.ensure_columns(settings, SOURCES['ga4_events'], ['app'])


def new_schema(settings: Settings) -> None:
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("update ops.declarations set fingerprint = 'another'")
    ddl.ensure_schema(settings)


@pytest.mark.parametrize(
    ('held', 'step'),
    [
        ('lock table bronze.ga4_events in row exclusive mode', new_column),
        ('lock table bronze.ga4_events in row exclusive mode', lambda _: refresh('ga4_daily_summary')),
        ("select pg_advisory_lock(hashtext('gold.daily_summary'))", lambda _: refresh('daily_summary')),
        ("select pg_advisory_lock(hashtext('kly_mage reconcile'))", reconciling),
        ("select pg_advisory_lock(hashtext('kly_mage schema'))", new_schema),
        ('lock table bronze.ga4_events in row exclusive mode', rebuild),
        ("insert into bronze.rejects select (jsonb_populate_record(null::bronze.rejects, '{}')).* where false;"
         # What was resolved waits again when a load meets it: that is the row it writes to.
         ' update bronze.rejects set resolved_at = clock_timestamp(); commit; begin;'
         ' update bronze.rejects set line = line', lambda settings: load(settings, 'ga4_events', 1)),
    ],
    ids=['a new column', 'a refresh', 'the view', 'reconcile', 'the schema', 'rebuild', 'a row'],
)  # fmt: skip
@pytest.mark.usefixtures('looking_often')
def test_every_wait_says_for_whom_and_ends(
    settings: Settings,
    query: Query,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    held: str,
    step: Callable[[Settings], object],
) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    run_days(1)
    monkeypatch.setenv('PGAPPNAME', 'kly_mage verify')
    monkeypatch.setenv('KLY_LOCK_WAIT', '3')
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(held)
        monkeypatch.setenv('PGAPPNAME', 'kly_mage backfill')
        with pytest.raises(LockedError, match=f'3 s .* for kly_mage verify .*session {connection.info.backend_pid}'):
            step(replace(settings, lock_wait=3))
    assert 'waiting for kly_mage verify' in caplog.text
    step(settings)


def test_who_stands_in_a_queue_is_told_who_stands_at_its_head(
    settings: Settings, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    first = OpenLoad(settings, 'gam_delivery', 1).is_open()
    impatient = replace(settings, lock_wait=4)
    second = Background(lambda: load(impatient, 'gam_delivery', 1))
    wait_until_blocked(query, second)
    third = Background(lambda: load(impatient, 'gam_delivery', 1))
    for waiting in (second, third):
        with pytest.raises(LockedError, match=r'for load 1 \(gam_delivery, 2025-10-01, by test'):
            waiting.result()
    assert 'waiting for load 2' not in caplog.text
    first.commit()


def test_who_does_not_wait_says_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with connect(replace(settings, lock_wait=1)) as connection, connection.cursor() as cursor:
        cursor.execute('select pg_sleep(2)')  # busy for longer than anybody may wait
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures('looking_often')
def test_a_foreign_session_is_named_in_one_line(settings: Settings, query: Query) -> None:
    run_days(1)
    other = psycopg2.connect(host=settings.host, dbname=settings.dbname, user='postgres', application_name='\x1b[2Jdbt')
    with other, other.cursor() as cursor:
        cursor.execute('lock table bronze.ga4_events')
        with pytest.raises(LockedError, match=rf'dbt .*session {other.info.backend_pid}') as error:
            load(replace(settings, lock_wait=2), 'ga4_events', 1)
    other.close()
    assert str(error.value).isprintable()


@pytest.mark.parametrize('mart', ['ga4_daily_summary', 'gam_daily_summary', 'daily_summary'])
def test_a_block_that_mage_runs_over_its_own_connection_has_a_bound_too(settings: Settings, mart: str) -> None:
    run_days(1)
    connection = psycopg2.connect(host=settings.host, dbname=settings.dbname, user=settings.user)
    with connection, connection.cursor() as cursor:
        cursor.execute(f'{mart_sql(mart)}; show lock_timeout')
        assert cursor.fetchone() == ('15min',)
    connection.close()
    with connect(settings) as ours, ours.cursor() as cursor:
        cursor.execute("set lock_timeout = '7s'")
        cursor.execute(f'{mart_sql(mart)}; show lock_timeout')
        assert cursor.fetchone() == ('7s',)
