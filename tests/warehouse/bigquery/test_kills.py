"""A command that is killed between two jobs, or at any moment, and run again: the gold of the files, each row once."""

import os
import random
import subprocess
import sys
import time
from itertools import product

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.verify import verify
from kly_mage.common.settings import REPOSITORY, Settings
from tests.bigquery_emulator import client_folder
from tests.delivery import ad, article, deliver
from tests.gold import Query, assert_gold_is_exact
from tests.warehouse.test_corrections import event, exported

BACKFILL = ['backfill', '--start', '2025-10-01', '--end', '2025-10-02', '--quiet']
# Ends without a word before or behind the job of a number.
KILLED = """
import os, sys
from kly_mage.__main__ import main
from kly_mage.warehouse.bigquery.client import Client

at, is_behind, jobs = int(sys.argv[1]), sys.argv[2] == 'behind', 0

def dying(work):
    def ask(*given, **further):
        global jobs
        jobs += 1
        if (jobs, is_behind) == (at, False):
            os._exit(137)
        found = work(*given, **further)
        if (jobs, is_behind) == (at, True):
            os._exit(137)
        return found
    return ask

Client.run, Client.load = dying(Client.run), dying(Client.load)
sys.exit(main(sys.argv[3:]))
"""


def killed_at_a_job(number: int, when: str, asked: list[str] = BACKFILL) -> int:
    command = [sys.executable, '-c', KILLED, str(number), when, *asked]
    return subprocess.run(command, cwd=REPOSITORY, env=environment(), timeout=300, capture_output=True).returncode


def killed_after(seconds: float) -> int:
    process = subprocess.Popen(
        [sys.executable, '-m', 'kly_mage', *BACKFILL],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.kill()
    return process.wait()


def environment() -> dict[str, str]:
    return {**os.environ, 'PYTHONPATH': f'{REPOSITORY}{os.pathsep}{client_folder()}'}


@pytest.mark.slow
def test_a_program_of_kills_ends_in_the_gold_of_the_files(settings: Settings, query: Query) -> None:
    chance, ends = random.Random(18), list[int]()
    for step in range(2):
        deliver(settings, f'cms_articles_2025100{step + 1}.csv', article('7', f'Title {step}'))
        deliver(settings, f'gam_delivery_20251001-{step}.csv', *(ad(f'a{n}', f'{n}.5') for n in range(step, step + 3)))
        kind = ('events_intraday', 'events')[step]  # each newer one lacks an event, and brings another
        exported(settings, f'{kind}_20251001.csv', *(event(n, str(7 + n % 2), user=f'u{n}') for n in range(step, step + 3)))
        query('select 1')  # the tables are there
        for _ in range(2):
            ends.append(killed_at_a_job(chance.randint(2, 22), chance.choice(['before', 'behind'])))
        ends.append(killed_after(chance.uniform(1.5, 8)))
    assert ends.count(137) + ends.count(-9) >= 4, ends  # the others had done all there was to do
    assert main(BACKFILL) in (0, 3)
    assert_gold_is_exact(query, settings.data_dir, ratios=False)
    report = verify(settings)
    assert report
    assert (report.differences, report.waiting) == ([], [])
    assert query('select count(*), count(distinct _hashrow) from bronze.gam_delivery') == [(4, 4)]
    # What a newer delivery lacks went once, if it had ever been loaded.
    signs = 'select count(*) - count(distinct _hashrow), countif(sign > 0) from bronze.ga4_events_corrections'
    assert query(signs) == [(0, 0)]


@pytest.mark.slow
def test_a_forget_that_is_killed_at_any_job_has_taken_out_all_of_a_person_or_nothing(
    settings: Settings, query: Query
) -> None:
    exported(settings, 'events_20251001.csv', event(1, user='u1'), event(2, user='u2'))
    assert main(BACKFILL) in (0, 3)
    there = (
        "select (select count(*) from bronze.ga4_events where user_pseudo_id = 'u1'), (select count(*) from ops.forgotten)"
    )
    views = 'select coalesce(sum(pageviews), 0) from gold.daily_summary'
    states = list[tuple[int, ...]]()
    for number, when in product(range(2, 9), ('before', 'behind')):
        assert killed_at_a_job(number, when, ['forget', '--user', 'u1']) == 137, (number, when)
        (state,), (shown,) = query(there), query(views)
        assert (state, shown) in (((1, 0), (2,)), ((0, 1), (1,))), (number, when)
        states.append(state)
    assert states == sorted(states, reverse=True)
    assert len(set(states)) == 2
    assert main(['forget', '--user', 'u1']) == 0
    assert main(BACKFILL) in (0, 3)
    assert query('select user_pseudo_id from bronze.ga4_events') == [('u2',)]
    report = verify(settings)
    assert report
    assert (report.differences, report.waiting) == ([], [])
