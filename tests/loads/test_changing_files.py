"""Files that change while they are looked at, or have just changed: nothing of them is loaded, the next run takes them."""

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kly_mage.common.settings import Settings
from kly_mage.landing import left_out
from kly_mage.loads import runner
from tests.delivery import HEADERS, ad, ads, deliver
from tests.gold import Query, assert_gold_is_exact

pytestmark = pytest.mark.one_version

NAME = 'gam_delivery/gam_delivery_20251002.csv'
ROWS = [ad(f'{n:060}', '0.01', day='2025-10-02') for n in range(30_000)]  # 3 MB: several frames
OTHERS = [row.replace(',0.01', ',0.02') for row in ROWS]


def content(rows: list[str]) -> bytes:
    return '\n'.join([HEADERS['gam_delivery'], *rows, '']).encode()


def rewrite(path: Path, rows: list[str]) -> None:
    """In place: the file stays the same one."""
    with path.open('r+b') as file:
        file.write(content(rows))
        file.truncate()


def replace(path: Path) -> None:
    """By another file of the same size and time."""
    other, before = path.with_suffix('.part'), path.stat()
    other.write_bytes(content(OTHERS))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES: dict[str, Callable[[Path], Any]] = {
    'rewritten in place': lambda path: rewrite(path, OTHERS),
    'cut in place': lambda path: rewrite(path, ROWS[:10_000]),
    'appended to': lambda path: rewrite(path, [*ROWS, ad('more', day='2025-10-02')]),
    'replaced by another': replace,
    'taken away': lambda path: path.rename(path.with_name('elsewhere')),
}


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES)
def test_nothing_of_a_file_that_changes_while_it_is_read_is_loaded(
    settings: Settings, query: Query, change: Callable[[Path], Any]
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    path = deliver(settings, 'gam_delivery_20251002.csv', *ROWS)
    changed = []

    def meddle(what: str, done: float, total: float, told: str = '') -> None:
        if NAME in told and not changed:  # its first rows have been taken
            change(path)
            changed.append(path)

    outputs = runner.run(['ads_revenue'], start_date='2025-10-01', end_date='2025-10-02', progress=meddle)
    assert changed
    ((name, reason),) = outputs['export_gam_delivery']['left_out'].items()
    assert name == NAME
    assert reason.startswith(('changed while it was looked at', 'cannot be opened (No such file'))
    assert query('select ad_unit from bronze.gam_delivery') == [('a',)]
    assert query('select file from ops.files') == [('gam_delivery/gam_delivery_20251001.csv',)]
    ads('2025-10-01', '2025-10-02')
    assert query('select count(*) from bronze.rejects where resolved_at is null') == [(0,)]
    assert_gold_is_exact(query, settings.data_dir)


def stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> int:
    """The second at which it stands: how long a command takes until it looks at its files is the machine's affair."""
    now = int(time.time())
    monkeypatch.setattr(left_out, 'datetime', SimpleNamespace(now=lambda zone: datetime.fromtimestamp(now, zone)))
    return now


def test_a_file_that_has_just_changed_is_left_for_the_next_run_and_named(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv('KLY_SETTLE_SECONDS')
    told = f'{NAME} is left out, its days are incomplete: changed less than 2 s ago, so somebody may still be writing to it'
    settled = deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    path = deliver(settings, 'gam_delivery_20251002.csv', ad('b', '3', day='2025-10-02'))
    now = stop_the_clock(monkeypatch)
    os.utime(settled, (now - 2, now - 2))
    os.utime(path, (now - 1.9, now - 1.9))
    assert ads('2025-10-01', '2025-10-02') == 3
    assert told in capfd.readouterr().err
    assert query('select ad_unit from bronze.gam_delivery') == [('a',)]
    assert ads('2025-10-01', '2025-10-02', '--dry-run') == 3
    assert f'{NAME}: changed less than 2 s ago' in capfd.readouterr().out
    os.utime(path, (now - 2, now - 2))
    assert ads('2025-10-01', '2025-10-02') == 0
    assert query('select count(*) from bronze.rejects where resolved_at is null') == [(0,)]
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(5,)]


@pytest.mark.parametrize(('seconds', 'age', 'loaded'), [('0', 0, 1), ('60', 59, 0), ('60', 60, 1), ('60', -3600, 1)])
def test_how_long_a_file_has_to_be_left_alone_is_a_setting(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, seconds: str, age: int, loaded: int
) -> None:
    monkeypatch.setenv('KLY_SETTLE_SECONDS', seconds)
    path = deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    then = stop_the_clock(monkeypatch) - age  # an hour ahead is another machine's clock, not a change
    os.utime(path, (then, then))
    assert ads() == (0 if loaded else 1)
    assert query("select count(*) from ops.loads where status = 'done' and left_out = '{}'") == [(loaded,)]
