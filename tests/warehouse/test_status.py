"""``status``, whichever warehouse it is: loads at work and dead ones, files that have changed since they were loaded."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import polars as pl
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings, load_settings
from kly_mage.common.window import Window
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads.found import find_files
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.request import Request
from tests.bigquery_emulator import client_folder
from tests.delivery import ad, ads, article, backfill, deliver
from tests.gold import Query, assert_gold_is_exact
from tests.warehouse.both import *  # noqa: F403 -- fixtures

FILE = 'gam_delivery_20251001.csv'
DAY = Window(date(2025, 10, 1), date(2025, 10, 1))


def told(capsys: pytest.CaptureFixture[str], source: str = 'gam_delivery', *options: str) -> tuple[int, Any]:
    """The exit code of ``status``, and what it says of the first day of October."""
    capsys.readouterr()
    code = main(['status', '--json', '--source', source, '--start', '2025-10-01', '--end', '2025-10-01', *options])
    (found,) = json.loads(capsys.readouterr().out)['sources'][source]['days']
    return code, found


def load_by_hand(settings: Settings, frames: Iterator[pl.DataFrame]) -> None:
    """A load of that day, whose rows come as the test gives them."""
    files = find_files(settings, GAM_DELIVERY)
    warehouse(settings).load(Request(GAM_DELIVERY, DAY, files, [file.name for file in files], [], 'a test'), frames)


def dies() -> None:
    """A load of a process that is killed while rows come."""

    def killed() -> Iterator[pl.DataFrame]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield pl.DataFrame()

    load_by_hand(load_settings(), killed())


def test_a_load_at_work_is_told_from_one_that_failed_and_one_that_died(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(settings, FILE, ad('a', '6'))
    seen = []

    def looking() -> Iterator[pl.DataFrame]:
        seen.append(told(capsys))
        raise OSError('the disk is gone')
        yield pl.DataFrame()

    with pytest.raises(OSError, match='the disk'):
        load_by_hand(settings, looking())
    ((code, day),) = seen
    assert (code, day['state'], day['finished_at'], day['files']) == (0, 'running', None, [f'gam_delivery/{FILE}'])
    code, failed = told(capsys)
    assert (code, failed['state'], failed['detail'], failed['load_id']) == (3, 'failed', 'the disk is gone', day['load_id'])
    command = [sys.executable, '-c', 'from tests.warehouse.test_status import dies; dies()']
    environment = {**os.environ, 'PYTHONPATH': f'{REPOSITORY}{os.pathsep}{client_folder()}'}
    assert subprocess.run(command, cwd=REPOSITORY, env=environment, timeout=120).returncode == -signal.SIGKILL
    if settings.warehouse == 'bigquery':  # which hears of it when the load has said nothing for a while
        assert told(capsys)[1]['state'] == 'running'
        monkeypatch.setattr('kly_mage.warehouse.bigquery.at_work.SILENT_SECONDS', 0)
    until = time.monotonic() + 60
    while (found := told(capsys))[1]['state'] == 'running' and time.monotonic() < until:
        time.sleep(0.1)
    code, died = found
    assert (code, died['state'], died['finished_at']) == (3, 'never finished', None)
    assert died['load_id'] > failed['load_id']
    assert ads() == 0
    code, done = told(capsys)
    assert (code, done['state'], done['broken_off'], done['rows']) == (0, 'loaded', '', 1)
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')


@pytest.mark.slow_on_bigquery
def test_a_file_that_has_changed_is_named_by_each_load_and_by_status_until_repair_has_made_gold_what_it_says(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*rows: str) -> tuple[int, int, list[str]]:
        """A load of the file with these rows: its code, how many files it calls changed, and what it says of them."""
        deliver(settings, FILE, *rows)
        capsys.readouterr()
        code = ads('2025-10-01', None, '--json')
        said = capsys.readouterr()
        (load,) = json.loads(said.out)['ranges'][0]['loads']
        return code, load['files_changed'], [line for line in said.err.splitlines() if 'is not what load' in line]

    assert run(ad('a', '6'), ad('b', '4')) == (0, 0, [])
    (number,) = query("select max(load_id) from ops.loads where source = 'gam_delivery'")[0]
    was = f'gam_delivery/{FILE} is not what load {number} read: it had 2 rows (10 of money) of 2025-10-01, now it has'
    # Shorter, emptied, a number corrected, two swapped, a count corrected: named by every load, not the first alone.
    assert run(ad('a', '6')) == (3, 1, [f'{was} 1 row (6 of money)'])
    assert told(capsys)[:1] == (3,)
    assert run() == (3, 1, [f'{was} 0 rows (0 of money)'])
    assert run(ad('b', '6'), ad('a', '4')) == (3, 1, [f'{was} 2 rows (10 of money), others'])
    assert run(ad('a', '6'), ad('b', '4', clicks='1')) == (3, 1, [f'{was} 2 rows (10 of money), others'])
    code, day = told(capsys)
    assert (code, day['state'], day['detail']) == (3, 'file changed', f'{was} 2 rows (10 of money), others')
    # As it was, in another order: nobody is asked any more. Grown, which is no change to report.
    assert run(ad('b', '4'), ad('a', '6')) == (0, 0, [])
    assert told(capsys)[1]['state'] == 'loaded'
    assert run(ad('c', '1'), ad('b', '4'), ad('a', '6'), ad('d', '2'), ad('d', '2')) == (0, 0, [])
    # A key corrected; repair alone makes gold what the file says.
    code, count, line = run(ad('c', '1'), ad('b', '4'), ad('a', '6'), ad('e', '5'))
    assert (code, count) == (3, 1)
    assert 'it had 5 rows (15 of money) of 2025-10-01, now it has 4 rows (16 of money)' in line[0]
    assert main(['status', '--source', 'gam_delivery']) == 3
    said = capsys.readouterr().out
    assert 'python -m kly_mage repair --source gam_delivery --start 2025-10-01 --end 2025-10-01' in said
    assert main(['repair', '--quiet', '--source', 'gam_delivery']) == 0
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')
    assert told(capsys)[1]['state'] == 'loaded'
    assert run(ad('c', '1'), ad('b', '4'), ad('a', '6'), ad('e', '5')) == (0, 0, [])


@pytest.mark.slow
def test_files_of_articles_are_held_against_what_they_held_as_a_whole(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('1'), article('2', published=''))
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    deliver(settings, 'cms_articles_20251001.csv', article('2', 'Another title', published=''))
    assert backfill('2025-10-01', None, '--pipeline', 'articles_performance') == 3
    code, day = told(capsys, 'cms_articles')
    assert (code, day['state']) == (3, 'file changed')
    assert day['detail'].endswith('read: it had 2 rows, now it has 1 row')
    main(['repair', '--quiet', '--source', 'cms_articles'])
    assert told(capsys, 'cms_articles')[1]['state'] == 'loaded'


def test_a_file_that_only_the_load_of_the_day_before_has_looked_into_is_missing_once_it_is_gone(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, FILE, ad('a', '6'))
    next_day = deliver(settings, 'gam_delivery_20251002.csv', ad('b', '4', day='2025-10-02'))
    content = next_day.read_bytes()
    assert ads() == 0  # looks for late rows of the first there, and takes none of the second
    next_day.unlink()
    capsys.readouterr()
    assert ads('2025-10-02') == 3
    assert 'gam_delivery: no file, or one without rows, for 2025-10-02' in capsys.readouterr().err
    status = ['status', '--source', 'gam_delivery', '--start', '2025-10-02', '--end', '2025-10-02']
    assert main(status) == 3
    assert '2025-10-02: missing file' in capsys.readouterr().out
    next_day.write_bytes(content)
    assert ads('2025-10-02') == 0
    next_day.unlink()  # its rows are there: a load that does not find it any more does not make its day a missing one
    assert ads('2025-10-02') == 0
    assert main(status) == 0
    assert 'file removed' in capsys.readouterr().out
    assert query('select sum(revenue_usd) = 10 from gold.gam_daily_summary') == [(True,)]


def test_two_files_that_gain_the_same_new_row_in_one_load_have_grown(settings: Settings, query: Query) -> None:
    rows = {'gam_delivery_20251001.csv': [ad('a')], 'gam_delivery_20251002.csv': [ad('b')]}
    for further in ([], [ad('x', '2'), ad('x', '2')]):
        for name, own in rows.items():
            deliver(settings, name, *own, *further)
        assert ads('2025-10-01', '2025-10-02') == 0
    # The first brings x, of which it has two and the other file two more; neither has lost a row.
    told = "select rows_read, rows_new, rows_duplicate from ops.loads where source = 'gam_delivery' order by load_id desc"
    assert query(told)[0] == (6, 1, 3)
    deliver(settings, 'gam_delivery_20251002.csv', ad('x', '2'), ad('x', '2'))
    assert ads('2025-10-01', '2025-10-02') == 3
