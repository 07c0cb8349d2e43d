"""``backfill --workers``: days in shares, each loaded by a process of its own, and told as one load."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.loads import shares
from kly_mage.warehouse.postgres.ddl import ensure_schema
from tests.gold import Query, assert_gold_is_exact, empty_warehouse, gold
from tests.scenes import PATIENCE, OpenLoad, deliver, deliver_october

DAYS = ('--start', '2025-10-01', '--end', '2025-10-08')


def backfill(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what the command says for programs."""
    capsys.readouterr()
    code = main(['backfill', *DAYS, '--json', *options])
    said = capsys.readouterr()
    assert said.out, (code, said.err)
    told: dict[str, Any] = json.loads(said.out)
    return code, told


def without_numbers(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in load.items() if name != 'load_id'} for load in told['ranges'][0]['loads']]


def test_four_processes_make_of_days_what_one_makes(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each day has an equal row, a late row of the day before, a restatement of it and a row without a day.
    deliver_october(settings.data_dir, range(1, 9), count=50)
    code, told = backfill(capsys, '--workers', '4')
    assert_gold_is_exact(query, settings.data_dir)
    of_four = gold(query)
    assert query("select source, count(*) from ops.loads where status = 'done' group by source order by source") == [
        ('cms_articles', 1),
        ('ga4_events', 4),
        ('gam_delivery', 4),
    ]
    rejects = query('select file, line, reason, resolved_at from bronze.rejects order by file, line')
    conflicts = query('select _file, _line from bronze.gam_delivery_conflicts order by 1, 2')
    assert len(rejects) == 8
    assert len(conflicts) == 7
    # Again: nothing is read, everything is known.
    again_code, again = backfill(capsys, '--workers', '4')
    by_source = {load['source']: load['rows'] for load in again['ranges'][0]['loads']}
    assert again_code == 3
    assert by_source['ga4_events']['rejected'] == 8
    assert by_source['ga4_events']['new'] == by_source['gam_delivery']['new'] == 0

    empty_warehouse(query)
    one_code, one = backfill(capsys, '--workers', '1')
    assert (code, without_numbers(told)) == (one_code, without_numbers(one))
    assert one_code == 3
    assert gold(query) == of_four
    assert query('select file, line, reason, resolved_at from bronze.rejects order by file, line') == rejects
    assert query('select _file, _line from bronze.gam_delivery_conflicts order by 1, 2') == conflicts


def test_a_share_that_fails_holds_up_no_other_and_the_next_run_loads_it(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver_october(settings.data_dir, range(1, 9))
    ensure_schema(settings)
    query("create function no() returns trigger language plpgsql as $$ begin raise 'no room on the 3rd'; end $$")
    query(
        "create trigger no before insert on ops.load_days for each row when (new.day = '2025-10-03') execute function no()"
    )
    assert main(['backfill', *DAYS, '--workers', '4', '--pipeline', 'articles_performance', '--quiet']) == 1
    assert 'no room on the 3rd' in capsys.readouterr().err
    assert query("select status, count(*) from ops.loads where source = 'ga4_events' group by status order by 1") == [
        ('done', 3),
        ('failed', 1),
    ]
    query('drop function no cascade')
    assert backfill(capsys, '--workers', '4')[0] == 3
    assert_gold_is_exact(query, settings.data_dir)


def begun(query: Query) -> tuple['subprocess.Popen[str]', list[int]]:
    """A command whose three processes all wait for a lock, and their numbers."""
    command = [sys.executable, '-m', 'kly_mage', 'backfill', *DAYS, '--workers', '3', '--pipeline', 'articles_performance']
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    # The days of this database: nobody else on the server counts, nor a wait that is soon over.
    of_days = (
        "select count(*) from pg_locks where not granted and locktype = 'advisory'"
        ' and database = (select oid from pg_database where datname = current_database())'
    )
    while query(of_days) != [(3,)]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = list(begun_by(process.pid))
    assert len(workers) == 3
    return process, workers


def begun_by(pid: int) -> Iterator[int]:
    """The processes that load, of a command."""
    for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if b'spawn_main' in Path(f'/proc/{child}/cmdline').read_bytes():
                yield int(child)


@pytest.mark.parametrize(('number', 'code', 'status'), [(signal.SIGINT, 130, 'failed'), (signal.SIGKILL, -9, 'running')])
def test_whatever_ends_the_command_ends_its_processes_and_rolls_back_what_each_is_at(
    settings: Settings, query: Query, number: signal.Signals, code: int, status: str
) -> None:
    deliver_october(settings.data_dir, range(1, 5))
    held = OpenLoad(settings, 'ga4_events', 1, 4).is_open()
    process, workers = begun(query)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (code, ''), err
    assert 'Traceback' not in err
    assert number == signal.SIGKILL or err.splitlines()[-1] == 'interrupted; nothing half-done was kept'
    deadline = time.monotonic() + PATIENCE
    while any(Path(f'/proc/{pid}').exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    held.fail()
    ended = "select status, count(*) from ops.loads where source = 'ga4_events' and started_by <> 'test' group by status"
    assert query(ended) == [(status, 3)]
    assert query('select count(*) from bronze.ga4_events') == [(0,)]


def test_a_process_that_is_killed_is_told(settings: Settings, query: Query) -> None:
    deliver_october(settings.data_dir, range(1, 5))
    held = OpenLoad(settings, 'ga4_events', 1, 4).is_open()
    process, workers = begun(query)
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    held.fail()
    assert process.returncode == 1
    assert 'fewer --workers' in err.splitlines()[-1]
    assert 'Traceback' not in err


def test_ctrl_c_in_a_terminal_is_told_once_also_while_the_processes_begin(settings: Settings) -> None:
    deliver_october(settings.data_dir, range(1, 5))
    command = [sys.executable, '-m', 'kly_mage', 'backfill', *DAYS, '--workers', '3', '--quiet']
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    while not any(
        'site-packages' in Path(f'/proc/{pid}/maps').read_text() for pid in begun_by(process.pid)
    ):  # at its imports
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, '', 'interrupted; nothing half-done was kept\n')


def test_a_process_that_is_ended_before_it_has_begun_says_nothing() -> None:
    script = (
        'import multiprocessing, signal\n'
        'from kly_mage.loads import side_by_side\n'
        'side_by_side.interruption.listen = lambda: signal.raise_signal(signal.SIGTERM)\n'
        'side_by_side._serve(multiprocessing.Pipe()[0], None, {}, 30)\n'
    )
    ended = subprocess.run([sys.executable, '-c', script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, '', '')


def cut(settings: Settings, source: str, workers: int | None) -> list[str]:
    days = Window(date(2025, 10, 1), date(2025, 10, 6))
    return [str(part) for part in shares.shares(settings, [SOURCES[source]], days, workers).get(source, ())]


def test_days_are_cut_where_the_files_make_equal_shares(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, rows in ((1, 30), (2, 10), (3, 20), (5, 60)):
        deliver(settings.data_dir, f'ga4_events_2025100{day}.csv', *['x' * 1000] * rows)
    assert cut(settings, 'ga4_events', 1) == []
    assert cut(settings, 'ga4_events', 2) == ['2025-10-01 to 2025-10-03', '2025-10-04 to 2025-10-06']
    # Four days have a file, so of 120 rows 30 are a share; the 5th has two of them, but is one day.
    assert cut(settings, 'ga4_events', 9) == ['2025-10-01', '2025-10-02 to 2025-10-03', '2025-10-04 to 2025-10-06']
    monkeypatch.setattr(shares, 'SHARE_DAYS', 2)  # of which a load would lock all days of its source
    assert cut(settings, 'ga4_events', 2) == [
        '2025-10-01 to 2025-10-02',
        '2025-10-03',
        '2025-10-04 to 2025-10-05',
        '2025-10-06',
    ]


def test_without_a_number_files_are_shared_by_half_the_cores_if_they_are_worth_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2, 3, 4):
        deliver(settings.data_dir, f'ga4_events_2025100{day}.csv', 'x' * 1000)
    monkeypatch.setattr(shares, 'cores', lambda: 2)
    assert cut(settings, 'ga4_events', None) == []
    monkeypatch.setattr(shares, 'cores', lambda: 4)
    assert cut(settings, 'ga4_events', None) == []
    monkeypatch.setattr(shares, 'SHARE_BYTES', 1000)
    assert cut(settings, 'ga4_events', None) == ['2025-10-01 to 2025-10-02', '2025-10-03 to 2025-10-06']


@pytest.mark.parametrize('name', ['ga4_events.csv', 'events_20251003.ndjson'])
def test_files_that_days_do_not_divide_are_one_load(settings: Settings, name: str) -> None:
    for day in (1, 2):
        deliver(settings.data_dir, f'ga4_events_2025100{day}.csv', 'x')
        deliver(settings.data_dir, f'cms_articles_2025100{day}.csv', 'x')
    assert len(cut(settings, 'ga4_events', 2)) == 2
    (settings.data_dir / 'ga4_events' / name).write_text('x\n')
    assert cut(settings, 'ga4_events', 2) == cut(settings, 'cms_articles', 2) == []


def test_processes_are_of_this_command_alone(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['backfill', *DAYS, '--workers', '2', '--via-mage']) == 2
    assert '--workers is for processes of this command' in capsys.readouterr().err
