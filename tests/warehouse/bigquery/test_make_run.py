"""``make run`` on both warehouses: what it prints, and every row of gold, digit for digit."""

import os
import re
import subprocess
import uuid
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from tests.bigquery_emulator import client_folder
from tests.conftest import administer, database
from tests.gold import RATIOS, Query, assert_gold_is_exact, assert_near
from tests.walk.clone import INSTALLED

GOLD = {
    'articles': 'content_id, site, title, author, section, publish_timestamp',
    'ga4_daily_summary': 'event_date, content_id, pageviews, sessions, user_engagements',
    'gam_daily_summary': 'served_date, content_id, impressions, clicks, revenue_usd',
    'daily_summary': 'date, content_id, site, title, author, section, publish_timestamp, pageviews, sessions,'
    ' user_engagements, impressions, clicks, revenue_usd, finality',
}


def make_run(environment: dict[str, str]) -> str:
    """What it prints; fails where it does."""
    given = {name: value for name, value in os.environ.items() if name not in ('KLY_WAREHOUSE', 'KLY_DATA_DIR')}
    given |= environment | {'COLUMNS': '200', 'PYTHONPATH': str(client_folder())}
    command = [*INSTALLED.split(), '-o', '.venv/bigquery', 'run']
    done = subprocess.run(command, cwd=REPOSITORY, env=given, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def reconciled(path: Path) -> str:
    """The page of the reconciliation of October, but for the moment at which it was made."""
    assert main(['reconcile', '--start', '2025-10-01', '--end', '2025-10-31', '--quiet', '--html', str(path)]) == 3
    return re.sub('files read [0-9-]+ [0-9:]+ UTC', '', path.read_text('utf-8'))


@pytest.mark.slow
def test_make_run_ends_with_the_numbers_of_postgresql_digit_for_digit(
    settings: Settings,
    query: Query,
    postgres: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = database(postgres, f'test_{uuid.uuid4().hex[:12]}')
    administer(postgres, f'create database {there["POSTGRES_DBNAME"]}')
    said, said_there = make_run({'KLY_WAREHOUSE': 'bigquery'}), make_run(there)
    # As oracle and hand have it; 8,055 = 7,991 + 64, 8,215 = 8,055 + 11 + 149.
    assert 'gam_delivery: 8,215 read, 8,055 distinct, 7,991 new, 0 already loaded, 11 rejected, 64 conflicting' in said
    assert 'ga4_events: 50,674 read, 49,817 distinct, 49,817 new, 0 already loaded, 9 rejected' in said
    assert 'gold.daily_summary, most read' in said
    assert said_there.startswith(said)  # there follows what to do next
    connection = psycopg2.connect(host=postgres, dbname=there['POSTGRES_DBNAME'], user='postgres')
    with connection, connection.cursor() as cursor:
        for table, names in GOLD.items():
            cursor.execute(f'select {names} from gold.{table} order by 1, 2')
            assert sorted(query(f'select {names} from gold.{table}'), key=str) == sorted(cursor.fetchall(), key=str), table
        ratios = f'select {", ".join(RATIOS)} from gold.daily_summary order by date, content_id'
        cursor.execute(ratios)
        for one, other in zip(query(ratios), cursor.fetchall(), strict=True):
            assert_near(one, other)
    connection.close()
    assert_gold_is_exact(query, REPOSITORY / 'data', ratios=False)

    monkeypatch.setenv('KLY_DATA_DIR', str(REPOSITORY / 'data'))
    with monkeypatch.context() as patched:
        pages = [reconciled(tmp_path / 'here.html')]
        for name, value in (there | {'KLY_WAREHOUSE': 'postgres'}).items():
            patched.setenv(name, value)
        pages.append(reconciled(tmp_path / 'there.html'))
    assert pages[0] == pages[1]
    assert 'every cent accounted for' in pages[0]

    before = query('select * from gold.daily_summary order by date, content_id')
    capsys.readouterr()
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-31', '--quiet']) == 3
    # What did not change since is not read again, but for the rows that wait for a decision.
    said = capsys.readouterr().out
    skipped = '0 new, 0 already loaded, 9 rejected, 0 conflicting, 49,817 already loaded (file unchanged), 848 duplicate'
    assert re.search(rf'ga4_events: 50,674 read, [0-9,]+ distinct, {re.escape(skipped)}', said), said
    assert re.search('gam_delivery: 8,215 read, [0-9,]+ distinct, 0 new, .* 11 rejected, 64 conflicting', said), said
    assert query('select * from gold.daily_summary order by date, content_id') == before
    assert query('select count(*), count(distinct _hashrow) from bronze.ga4_events') == [(49_817, 49_817)]
    assert query('select sum(money_read) from ops.loads') == [(2 * Decimal('1052.249946'),)]
