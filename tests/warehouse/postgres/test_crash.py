"""Whatever dies in the middle of a backfill, and whenever: a run again gives exact numbers. Real processes, real kills."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation import check as reconcile
from kly_mage.common.errors import RetryableError, UnreachableError, WarehouseError
from kly_mage.common.settings import REPOSITORY, Settings, load_settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres import connection, ledger, retry
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.embedded import start, stop_embedded
from kly_mage.warehouse.postgres.engine import Postgres
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.server import server
from tests import corrections, killer
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import FIRST, Background, deliver, deliver_october, load, run_days

pytestmark = pytest.mark.one_version

DAYS = ('--start', '2025-10-01', '--end', '2025-10-31', '--quiet')
FEW, MANY = range(2), [pytest.param(n, marks=pytest.mark.slow) for n in range(2, 20)]
MOMENTS = [*FEW, *MANY]


def start_backfill(*arguments: str) -> subprocess.Popen[str]:
    """The command as a process of its own; what it says comes at its end."""
    return subprocess.Popen(
        [sys.executable, '-m', 'kly_mage', *(arguments or ('backfill', *DAYS))],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait(process: subprocess.Popen[str]) -> int:
    print(process.communicate(timeout=300)[0])
    return process.returncode


@pytest.fixture
def october(settings: Settings) -> Settings:
    deliver_october(settings.data_dir, range(1, 32), count=300)
    return settings


@pytest.fixture(scope='module')
def own_server() -> Iterator[Path]:
    """The folder (KLY_LOCAL_DIR) of an embedded server that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix='kly_own_', dir='/tmp'))
    yield folder
    patch = pytest.MonkeyPatch()
    with patch.context() as environment:
        environment.setenv('KLY_LOCAL_DIR', str(folder))
        stop_embedded(load_settings())
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own(settings: Settings, own_server: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database of this test's own in the server that may be killed."""
    for name in ('POSTGRES_HOST', 'POSTGRES_PORT', 'POSTGRES_USER', 'POSTGRES_PASSWORD'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('KLY_LOCAL_DIR', str(own_server))
    monkeypatch.setenv('POSTGRES_DBNAME', f'crash_{uuid.uuid4().hex[:8]}')
    return server(load_settings())


@pytest.fixture
def own_october(own: Settings) -> Settings:
    deliver_october(own.data_dir, range(1, 32), count=300)
    return own


def query_of(settings: Settings) -> Query:
    def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    return run


def assert_exact_after_a_run_again(settings: Settings) -> None:
    query = query_of(settings)
    assert main(['backfill', *DAYS]) == 3  # rejects and conflicts are there on purpose
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    assert reconcile.reconcile(settings).accounted
    sums = 'rows_duplicate + rows_new + rows_already_loaded + rows_rejected + rows_conflicting + rows_outside'
    sums += ' + rows_unchanged'
    assert query(f"select count(*) from ops.loads where status = 'done' and rows_read <> {sums}") == [(0,)]
    assert query("select count(*) from ops.loads where status <> 'done' and rows_new > 0") == [(0,)]


# --- the loading process -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('moment', MOMENTS)
def test_the_loading_process_is_killed(october: Settings, query: Query, moment: int) -> None:
    process = start_backfill()
    time.sleep(random.Random(moment).uniform(0.5, 3.0))
    process.kill()
    process.communicate()
    assert_exact_after_a_run_again(october)


def test_a_run_that_died_stays_visible_and_nothing_of_it_is_kept(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    script = (
        'import os, signal\n'
        'from kly_mage.warehouse.postgres import ledger\n'
        'ledger.finish = lambda *values: os.kill(os.getpid(), signal.SIGKILL)\n'
        'from tests.scenes import run_days\n'
        'run_days(1, 2, "ads_revenue")\n'
    )
    assert subprocess.run([sys.executable, '-c', script], cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    assert query('select source, status, finished_at from ops.loads') == [('gam_delivery', 'running', None)]
    assert query('select count(*) from bronze.gam_delivery_hashrow') == [(0,)]
    run_days(1, 2)
    assert_gold_is_exact(query, settings.data_dir)
    assert query("select count(*) from ops.loads where status = 'running'") == [(1,)]


def test_a_load_that_fails_says_why_and_keeps_nothing(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    from tests.scenes import OpenLoad

    OpenLoad(settings, 'ga4_events', 1).is_open().fail()
    assert query('select status, error, rows_new from ops.loads') == [('failed', 'told to fail', 0)]
    assert query('select count(*) from bronze.ga4_events') == [(0,)]
    assert query('select count(*) from bronze.rejects') == [(0,)]


def test_the_connection_breaks_after_the_commit(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to COMMIT never comes: the load is done, and only the second try finds out."""
    deliver_october(settings.data_dir, range(1, 2))
    monkeypatch.setattr(retry, 'RETRY_SECONDS', (0.0,))
    remember, broken = ledger.remember_files, []

    def last_step(cursor: Any, *values: Any) -> None:
        remember(cursor, *values)
        if not broken:
            broken.append(True)
            cursor.connection.commit()
            raise psycopg2.OperationalError('server closed the connection unexpectedly')

    monkeypatch.setattr(ledger, 'remember_files', last_step)
    first = retrying(lambda: load(settings, 'ga4_events', 1))
    assert (first['rows_new'], first['rows_already_loaded']) == (0, 3)
    assert query('select status, rows_new, error from ops.loads order by load_id') == [('done', 3, None), ('done', 0, None)]
    run_days(1)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0


# --- PostgreSQL --------------------------------------------------------------------------------------------------------


def victims(settings: Settings) -> list[int]:
    """The backends that work for the backfill."""
    connection = psycopg2.connect(host=settings.host, dbname=settings.dbname, user='postgres')
    with connection, connection.cursor() as cursor:
        cursor.execute('select pid from pg_stat_activity where datname = %s and pid <> pg_backend_pid()', (settings.dbname,))
        pids = [pid for (pid,) in cursor.fetchall()]
    connection.close()
    return pids


@pytest.mark.parametrize('moment', MOMENTS)
def test_a_backend_is_killed_and_the_backfill_goes_on(own_october: Settings, moment: int) -> None:
    process = start_backfill()
    time.sleep(random.Random(100 + moment).uniform(0.5, 2.5))
    for _ in range(2000):
        with suppress(IndexError, ProcessLookupError):  # nobody there just now, or gone since we looked
            os.kill(victims(own_october)[0], signal.SIGKILL)  # the server then ends all its sessions and recovers
            break
        if process.poll() is not None:
            break
    assert wait(process) == 3  # done, with rejects: it has tried again by itself
    assert_exact_after_a_run_again(own_october)


@pytest.mark.parametrize('moment', MOMENTS)
def test_the_whole_server_is_killed_and_the_backfill_starts_it_again(
    own_october: Settings, own_server: Path, moment: int
) -> None:
    process = start_backfill()
    time.sleep(random.Random(200 + moment).uniform(0.5, 2.5))
    os.kill(int((own_server / 'postgres' / 'postmaster.pid').read_text().splitlines()[0]), signal.SIGKILL)
    assert wait(process) == 3
    assert_exact_after_a_run_again(own_october)


def test_a_session_is_ended_by_an_administrator(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_october(settings.data_dir, range(1, 2))
    monkeypatch.setattr(retry, 'RETRY_SECONDS', (0.0, 0.0))
    times: list[int] = []

    def work() -> list[tuple[Any, ...]]:
        with connect(settings) as connection, connection.cursor() as cursor:
            times.append(1)
            if len(times) == 1:
                query('select pg_terminate_backend(%s)', connection.info.backend_pid)
            cursor.execute('select 1')
            return cursor.fetchall()

    assert retrying(work) == [(1,)]
    assert len(times) == 2


TWO_DAYS = Window(FIRST, FIRST + timedelta(1))
QUESTIONS: dict[str, Callable[[Postgres], object]] = {
    'missing days': lambda found: found.missing_days(SOURCES['ga4_events'], [], TWO_DAYS),
    'days': lambda found: found.by_day([1, 2]),
    'rejects': lambda found: found.rejects(1, 3),
    'rows outside': lambda found: found.outside(1, 3),
    'files that changed': lambda found: found.changed(SOURCES['ga4_events'], TWO_DAYS, 3),
    'runs of Mage': lambda found: found.of_pipeline_runs(['1']),
    'a refresh': lambda found: found.last_refresh('ga4_daily_summary'),
}


@pytest.mark.parametrize('question', QUESTIONS)
def test_what_is_asked_after_a_load_is_asked_again_where_the_session_ends(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    run_days(1, 2)
    ask, session, ended = partial(QUESTIONS[question], Postgres(settings)), connection.session, []
    answer = ask()

    def ended_once(settings: Settings) -> Any:
        made = session(settings)
        if not ended:
            ended.append(made.info.backend_pid)
            query('select pg_terminate_backend(%s, 5000)', *ended)
        return made

    monkeypatch.setattr(connection, 'session', ended_once)
    monkeypatch.setattr(retry, 'RETRY_SECONDS', (0.0,))
    assert ask() == answer
    assert len(ended) == 1


# --- loads that restate and withdraw -----------------------------------------------------------------------------------


def moments(*now: tuple[str, str]) -> list[Any]:
    """All of them, of each scene; those that are not named are left to the slow tests."""
    every = [(name, moment) for name in corrections.SCENES for moment in killer.MOMENTS]
    return [pytest.param(*each, marks=() if each in now else pytest.mark.slow, id='-'.join(each)) for each in every]


def killed_at(name: str, moment: str, victim: str) -> int:
    """Load what is delivered again, and kill at that moment; gives the exit code."""
    return wait(killer.process(name, moment, victim))


@pytest.mark.parametrize(
    ('name', 'moment'),
    moments(('events', 'having corrected'), ('events', 'having committed'), ('ads', 'having corrected')),
)
def test_a_loader_that_corrects_is_killed(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, name: str, moment: str
) -> None:
    scene = corrections.SCENES[name]
    scene.begin(settings, monkeypatch)
    assert killed_at(name, moment, 'loader') == -signal.SIGKILL
    assert main(scene.backfill) in (0, 3)
    corrections.assert_all_agree(scene, settings, query)


@pytest.mark.parametrize('victim', ['backend', 'server'])
@pytest.mark.parametrize(
    ('name', 'moment'),
    moments(('events', 'before it commits'), ('events', 'having committed'), ('ads', 'before it commits')),
)
def test_postgresql_is_killed_under_a_load_that_corrects(
    own: Settings, monkeypatch: pytest.MonkeyPatch, victim: str, name: str, moment: str
) -> None:
    scene = corrections.SCENES[name]
    scene.begin(own, monkeypatch)
    assert killed_at(name, moment, victim) in (0, 3)  # it has tried again by itself
    # A session goes on for a moment without its server: a load at its end may not have met the kill. The next one starts it.
    start(own.local_dir / 'postgres')
    corrections.assert_all_agree(scene, own, query_of(own))


@pytest.mark.parametrize('name', corrections.SCENES)
@pytest.mark.parametrize('moment', MANY)
def test_a_loader_that_corrects_is_killed_at_any_moment(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, moment: int, name: str
) -> None:
    scene = corrections.SCENES[name]
    scene.begin(settings, monkeypatch)
    process = killer.process(name, killer.NEVER, 'nobody')
    time.sleep(random.Random(400 + moment).uniform(0.5, 1.6))
    process.kill()
    process.communicate()
    assert main(scene.backfill) in (0, 3)
    corrections.assert_all_agree(scene, settings, query)


# --- what is tried again, and what is not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('error', 'in_the_end'),
    [
        (psycopg2.OperationalError('server closed the connection unexpectedly'), UnreachableError),
        (psycopg2.DatabaseError('server closed the connection unexpectedly'), UnreachableError),  # while it commits
        (psycopg2.InterfaceError('connection already closed'), UnreachableError),
        (psycopg2.errors.SerializationFailure('could not serialize'), psycopg2.errors.SerializationFailure),
        (psycopg2.errors.DeadlockDetected('deadlock detected'), psycopg2.errors.DeadlockDetected),
        (psycopg2.errors.UniqueViolation('duplicate key'), psycopg2.errors.UniqueViolation),
        (RetryableError('no partition'), RetryableError),
    ],
)
def test_what_passes_is_tried_again_and_not_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, in_the_end: type[Exception]
) -> None:
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    tries: list[int] = []

    def work(failures: int) -> str:
        tries.append(1)
        if len(tries) <= failures:
            raise error
        return 'done'

    assert retrying(lambda: work(2)) == 'done'
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(in_the_end):
        retrying(lambda: work(1000))
    assert len(tries) == 1 + len(retry.RETRY_SECONDS)


@pytest.mark.parametrize(
    'error',
    [
        psycopg2.errors.OutOfMemory('out of shared memory'),
        psycopg2.errors.ConfigurationLimitExceeded('temporary file size exceeds temp_file_limit'),
        psycopg2.errors.QueryCanceled('canceling statement due to user request'),
        psycopg2.errors.TooManyColumns('tables can have at most 1600 columns'),
        psycopg2.errors.InsufficientPrivilege('permission denied'),
        psycopg2.errors.UndefinedTable('relation does not exist'),
        WarehouseError('refused'),
        ValueError('a fault of ours'),
    ],
)
def test_what_stays_is_said_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(time, 'sleep', lambda seconds: pytest.fail('it must not wait'))
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        retrying(work)
    assert len(tries) == 1


def test_a_wrong_host_is_said_at_once_and_a_server_that_was_there_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('POSTGRES_HOST', '/nowhere')
    waits: list[float] = []
    monkeypatch.setattr(time, 'sleep', waits.append)

    def work() -> None:
        with connect(load_settings()):
            pass

    with pytest.raises(WarehouseError, match='check POSTGRES_HOST'):
        retrying(work)
    assert waits == []
    monkeypatch.setattr('kly_mage.warehouse.postgres.connection.REACHED', {('/nowhere', 5432)})
    with pytest.raises(UnreachableError, match='did not come back within 32 s'):
        retrying(work)
    assert waits == list(retry.RETRY_SECONDS)


def test_a_server_that_went_down_between_the_knock_and_the_answer_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    with socket.create_server(('127.0.0.1', 0)) as listening:
        monkeypatch.setenv('POSTGRES_HOST', '127.0.0.1')
        monkeypatch.setenv('POSTGRES_PORT', str(listening.getsockname()[1]))

        def hang_up() -> None:
            while True:
                try:
                    listening.accept()[0].close()
                except OSError:
                    return

        Background(hang_up)

        def work() -> None:
            with connect(load_settings()):
                pass

        with pytest.raises(UnreachableError, match='broke off'):
            work()
        monkeypatch.setattr('kly_mage.warehouse.postgres.connection.REACHED', {('127.0.0.1', listening.getsockname()[1])})
        with pytest.raises(UnreachableError, match='did not come back within 32 s'):
            retrying(work)
        listening.shutdown(socket.SHUT_RDWR)


def test_a_server_stopped_on_purpose_stays_stopped(own: Settings, own_server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(own):
        pass
    assert stop_embedded(load_settings())
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)

    def work() -> None:
        with connect(own):
            pass

    with pytest.raises(UnreachableError, match='did not come back'):
        retrying(work)
    assert not (own_server / 'postgres' / 'postmaster.pid').exists()


# --- no room -----------------------------------------------------------------------------------------------------------


def test_a_write_is_refused_during_copy_and_works_after_there_is_room(
    own: Settings, own_server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that may write no file beyond 17 MB (a segment of its log has 16): bronze does not fit."""
    query = query_of(own)
    deliver_october(own.data_dir, range(1, 4))
    run_days(1, 2)
    rows = [f'2025-10-03T05:00:{n % 60:02}Z,page_view,u{n},s1,{"a" * 480}{n}' for n in range(40_000)]
    deliver(own.data_dir, 'ga4_events_20251003_more.csv', *rows)
    tables = ('bronze.ga4_events', 'bronze.ga4_events_hashrow', 'gold.ga4_daily_summary')
    before = [query(f'select count(*) from {table}') for table in tables]
    os.environ.pop('POSTGRES_HOST')
    assert stop_embedded(load_settings())
    small = f'ulimit -S -f {17 << 10}; exec {sys.executable} -m kly_mage env'  # the server inherits the limit
    subprocess.run(['bash', '-c', small], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    assert main(['backfill', '--start', '2025-10-03', '--end', '2025-10-03', '--quiet']) == 1
    said = capsys.readouterr().err
    assert 'could not extend file' in said
    assert before == [query(f'select count(*) from {table}') for table in tables]
    status, error = query('select status, error from ops.loads order by load_id desc limit 1')[0]
    assert status == 'failed'
    assert 'could not extend file' in error
    os.environ.pop('POSTGRES_HOST')
    assert stop_embedded(load_settings())
    assert_exact_after_a_run_again(server(load_settings()))


@pytest.mark.parametrize('table', ['bronze.ga4_events_hashrow', 'bronze.ga4_events', 'gold.ga4_daily_summary'])
def test_a_full_disk_is_said_with_its_remedy(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    deliver_october(settings.data_dir, range(1, 3))
    run_days(1)
    query(
        'create function full_disk() returns trigger language plpgsql as'
        " $$ begin raise 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$"
    )
    query(f'create trigger full_disk before insert on {table} for each row execute function full_disk()')
    assert main(['backfill', '--start', '2025-10-02', '--end', '2025-10-02', '--quiet']) == 1
    said = capsys.readouterr().err
    assert 'No space left on device' in said
    assert 'make room and run it again' in said
    assert query("select count(*) from gold.ga4_daily_summary where event_date = '2025-10-02'") == [(0,)]
    query(f'drop trigger full_disk on {table}')
    run_days(1, 2)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0


# --- Mage --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.mage
@pytest.mark.parametrize('moment', range(20))
def test_the_mage_run_is_killed(settings: Settings, query: Query, tmp_path: Path, moment: int) -> None:
    deliver_october(settings.data_dir, range(1, 4), count=300)
    process = subprocess.Popen(
        [Path(sys.executable).with_name('mage'), 'run', 'kly_mage', 'articles_performance'],
        cwd=REPOSITORY,
        env=os.environ | {'MAGE_DATA_DIR': str(tmp_path / 'mage')},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(random.Random(300 + moment).uniform(4, 14))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run_days(1, 3)
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
