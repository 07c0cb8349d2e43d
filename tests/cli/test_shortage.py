"""No memory, no room on this machine's disk: one line with the cause and the remedy, no abort, no traceback."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kly_mage.common.memory import LEAST
from kly_mage.common.settings import REPOSITORY, Settings
from tests.delivery import ad, ads, article, deliver, event
from tests.gold import Query

pytestmark = pytest.mark.one_version

FULL = Path('/dev/full')


def command(*arguments: str, addresses: int | None = None, output: int = subprocess.PIPE) -> tuple[int, str, str]:
    """A command as a process of its own, with so many bytes of addresses; gives its code, output and errors."""

    def limit() -> None:
        if addresses:
            resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))

    done = subprocess.run(
        [sys.executable, '-m', 'kly_mage', *arguments],
        cwd=REPOSITORY,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=limit,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize('megabytes', [700, 1200, 1600, 2400, (LEAST >> 20) - 1])
def test_a_limit_of_memory_that_could_abort_a_load_is_said_before_it(
    settings: Settings, query: Query, megabytes: int
) -> None:
    """Without the question beforehand 1,600 MB ended in `memory allocation of … bytes failed`, exit code 134."""
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    code, out, err = command(
        'backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--quiet', addresses=megabytes << 20
    )
    assert (code, out) == (1, '')
    (line,) = err.splitlines()
    assert line.startswith(f'error: this process may have {megabytes:,} MB of addresses (ulimit -v)')
    assert 'raise that limit' in line


def test_the_least_that_is_asked_for_is_enough(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', *(event(f'u{n}') for n in range(200_000)))
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    code, out, err = command(
        'backfill', '--start', '2025-10-01', '--pipeline', 'articles_performance', '--quiet', addresses=LEAST
    )
    assert code == 0, err
    assert 'ga4_events: 200,000 read, 200,000 distinct, 200,000 new' in out


@pytest.mark.skipif(not FULL.exists(), reason='this system has no /dev/full')
@pytest.mark.parametrize('arguments', [('status',), ('status', '--json'), ('reconcile', '--csv')])
def test_a_full_disk_behind_the_output_is_said(settings: Settings, arguments: tuple[str, ...]) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    assert ads() == 0
    full = os.open(FULL, os.O_WRONLY)
    try:
        code, _, err = command(*arguments, output=full)
    finally:
        os.close(full)
    assert code == 1
    assert err.splitlines() == ['error: no space left on this machine (No space left on device); make room and run it again']
