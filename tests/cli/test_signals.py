"""Ctrl-C and SIGTERM: the exit code a shell expects, one line, and nothing half-done."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import ad, ads, deliver
from tests.gold import Query
from tests.scenes import PATIENCE

pytestmark = pytest.mark.one_version

ROWS = 400_000  # some seconds of work
by_signal = pytest.mark.parametrize(
    ('number', 'code', 'word'), [(signal.SIGINT, 130, 'interrupted'), (signal.SIGTERM, 143, 'terminated')]
)


def begun(query: Query, question: str, *options: str) -> 'subprocess.Popen[str]':
    """A load of ads, and what it has started, in a session of its own; it has come to where the question has an answer."""
    command = [sys.executable, '-m', 'kly_mage', 'backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', *options]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    while not query(question):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@by_signal
def test_a_load_that_is_ended_says_so_and_keeps_nothing_half_done(
    settings: Settings, query: Query, number: signal.Signals, code: int, word: str
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', *(ad(f'unit {n}', '0.01') for n in range(ROWS)))
    deliver(settings, 'gam_delivery_20250930.csv', ad('before', '1', day='2025-09-30'))
    assert ads('2025-09-30') == 0
    process = begun(query, "select 1 from ops.loads where status = 'running'")
    os.killpg(process.pid, number)  # as a terminal does, to everything that was started
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    assert out == ''
    assert err.splitlines()[-1] == f'{word}; nothing half-done was kept'
    assert 'Traceback' not in err
    assert query('select count(*) from bronze.gam_delivery') == [(1,)]
    assert query("select count(*) from ops.loads where status = 'done'") == [(1,)]
    assert ads() == 0
    assert query('select sum(revenue_usd) from gold.daily_summary') == [(1 + ROWS // 100,)]


@by_signal
def test_a_wait_for_a_lock_is_ended_too(
    settings: Settings, query: Query, number: signal.Signals, code: int, word: str
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    assert ads() == 0
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('lock table bronze.gam_delivery')
        waits = "select 1 from pg_locks where not granted and relation = 'bronze.gam_delivery'::regclass"
        process = begun(query, waits, '--quiet')
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)  # the lock is still held
    assert (process.returncode, out) == (code, ''), err
    assert err.splitlines()[-1] == f'{word}; nothing half-done was kept'
    assert 'Traceback' not in err
    assert query('select status from ops.loads order by load_id') == [('done',), ('failed',)]


@by_signal
def test_a_load_that_is_ended_while_it_sends_rows_does_not_begin_again(
    settings: Settings, query: Query, number: signal.Signals, code: int, word: str
) -> None:
    """psycopg2 tells what a file's ``read`` raised in words alone, as a query that was cancelled, which is tried again."""
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    script = (
        'import signal, sys\n'
        'from kly_mage.cli import main\n'
        'from kly_mage.warehouse.postgres import copy\n'
        'number, encoded = int(sys.argv.pop(1)), copy._encoded\n'
        'def pieces(*given):\n'
        '    yield from encoded(*given)\n'
        '    signal.raise_signal(number)\n'
        'copy._encoded = pieces\n'
        'main.run_as_process()\n'
    )
    command = [str(int(number)), 'backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--quiet']
    ended = subprocess.run(
        [sys.executable, '-c', script, *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, '', f'{word}; nothing half-done was kept\n')
    assert query('select status from ops.loads') == [('failed',)]


@by_signal
def test_a_load_is_ended_too_while_the_server_is_at_the_last_of_its_rows(
    settings: Settings, query: Query, number: signal.Signals, code: int, word: str
) -> None:
    """There it was psycopg2's error that was met in the midst of being made."""
    deliver(settings, 'gam_delivery_20250930.csv', ad('before', day='2025-09-30'))
    assert ads('2025-09-30') == 0
    query(
        "create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(600); return null; end';"
        'create trigger slow after insert on bronze.gam_delivery execute function slow()'
    )
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    sleeps = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    process = begun(query, sleeps, '--quiet')
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (code, '', f'{word}; nothing half-done was kept\n')
    assert query('select status from ops.loads order by load_id') == [('done',), ('failed',)]


@pytest.mark.parametrize('where', ['main.interruption.listen', 'main._command'])
@by_signal
def test_a_command_that_is_ended_while_it_begins_says_so(number: signal.Signals, code: int, word: str, where: str) -> None:
    """To import what it needs takes half a second, in which somebody sees that it is the wrong one."""
    script = (
        'import signal, sys\n'
        'from kly_mage.cli import main\n'
        f'found = {where}\n'
        'def ended(*given):\n'
        f'    {where} = found\n'
        f'    signal.raise_signal({int(number)})\n'
        f'{where} = ended\n'
        "sys.argv[1:] = ['status']\n"
        'main.run_as_process()\n'
    )
    ended = subprocess.run(
        [sys.executable, '-c', script], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, '', f'{word}; nothing half-done was kept\n')


@pytest.mark.parametrize('code', [1, 130, 143])
def test_what_was_broken_off_ends_the_process_whatever_its_threads_do(code: int) -> None:
    """A reader of pyarrow that was at work as the interpreter ended made it an abort, now and then."""
    script = (
        'import threading, time\n'
        'from kly_mage.cli import main\n'
        'threading.Thread(target=time.sleep, args=(600,)).start()\n'
        f'main.main = lambda: print("last words") or {code}\n'
        'main.run_as_process()\n'
    )
    ended = subprocess.run([sys.executable, '-c', script], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, 'last words\n', '')
