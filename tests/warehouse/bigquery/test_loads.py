"""Both pipelines on BigQuery's emulator: the same rows in gold as the oracle works out, whatever happens on the way."""

import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.common.window import Window
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing.files import find_files
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.engine import BigQuery
from kly_mage.warehouse.bigquery.load_script import load_script
from kly_mage.warehouse.bigquery.staging import Staged
from tests.bigquery_emulator import client_folder
from tests.delivery import HEADERS, ad, ads, article, backfill, deliver, event
from tests.gold import Query
from tests.gold import assert_gold_is_exact as of_gold

assert_gold_is_exact = partial(of_gold, ratios=False)  # the emulator divides with doubles


def test_late_rows_restatements_and_rejects_have_their_places(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('8', 'Eight'))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u1', session='2'), event('u2', content=''), event('u1'))
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '0.000000000001'), ad('side', '-2.5'), ad('side', 'x'))
    assert backfill() == 3
    # Late for the first: one session known, one new; an article edited; a key with other numbers, twice.
    deliver(settings, 'cms_articles_20251002.csv', article('7', 'Edited'))
    deliver(
        settings, 'ga4_events_20251002.csv', event('u1', name='user_engagement'), event('u3'), event('u3', day='2025-10-02')
    )
    deliver(settings, 'gam_delivery_20251002.csv', ad('top', '9'), ad('top', '9'), ad('top', '8'), ad('new', '1'))
    assert backfill('2025-10-01', '2025-10-02') == 3
    assert_gold_is_exact(query, settings.data_dir)
    told = 'rows_read, rows_new, rows_already_loaded, rows_duplicate, rows_conflicting, rows_rejected'
    assert query(f"select {told} from ops.loads where source = 'gam_delivery' order by load_id") == [
        (3, 2, 0, 0, 0, 1),
        (7, 1, 2, 1, 2, 1),
    ]
    conflicts = query('select revenue_usd, counted_revenue_usd from bronze.gam_delivery_conflicts order by revenue_usd')
    assert conflicts == [(Decimal(8), Decimal('0.000000000001')), (Decimal(9), Decimal('0.000000000001'))]
    assert query('select line, column_name, value from bronze.rejects') == [(4, 'revenue_usd', 'x')]
    capsys.readouterr()
    assert main(['show', '--csv', '--sort', 'date']) == 0
    # Of 7: u1 twice and u3; three ads of 10 impressions each, of 0.000000000001 - 2.5 + 1 dollars.
    assert capsys.readouterr().out.splitlines()[1:3] == [
        '2025-10-01,(not set),(not set),(not set),(not set),(not set),,final,1,1,0,0,0,0,0,,',
        '2025-10-01,7,example.com,Edited,Author,News,2025-10-01T01:00:00+00:00,final,3,3,1,30,0,-1.499999999999,-500,-50,0',
    ]
    # The days behind the last one that was loaded wait, and one whose file is new; those before the first do not.
    days = Window(date(2025, 9, 29), date(2025, 10, 4))
    waiting = partial(BigQuery(settings).first_waiting, GAM_DELIVERY, days=days)
    assert waiting(find_files(settings, GAM_DELIVERY)) == date(2025, 10, 3)
    deliver(settings, 'gam_delivery_20251001-2.csv', ad('late'))
    assert waiting(find_files(settings, GAM_DELIVERY)) == date(2025, 10, 1)
    # Every row read has one place, by day as well.
    (total,) = query('select sum(rows_read) from ops.load_days')
    assert total == query('select sum(rows_read) from ops.loads')[0]


@pytest.mark.slow
def test_a_load_that_ends_between_its_jobs_leaves_nothing_half_done(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its client is gone while BigQuery goes on: what the ledger says of it is what has become of it."""
    deliver(settings, 'gam_delivery_20251001.csv', f'{ad("top")},x', header=f'{HEADERS["gam_delivery"]},further')
    run = Client.run

    def dying(at: str, is_done: bool, error: BaseException) -> Any:
        def ask(self: Client, text: str, values: Any = None, *, what: str, **given: Any) -> Any:
            told = run(self, text, values, what=what, **given) if what != at or is_done else []
            if what == at:
                raise error
            return told

        return ask

    def counts() -> tuple[int, int, str]:
        (rows,) = query('select count(*) from bronze.gam_delivery')
        (summed,) = query('select count(*) from gold.gam_daily_summary')
        states = query('select status from ops.loads order by load_id')
        return rows[0], summed[0], ' '.join(state for (state,) in states)

    refused, gone = WarehouseError('gone'), KeyboardInterrupt()
    for *moment, code, left in (
        ('columns', True, gone, 130, (0, 0, 'failed')),
        ('load', False, refused, 1, (0, 0, 'failed failed')),
        ('load', True, gone, 130, (1, 0, 'failed failed done')),
        ('refresh', False, refused, 1, (1, 0, 'failed failed done done')),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Client, 'run', dying(*moment))
            assert ads() == code
        assert counts() == left
    assert ads() == 0
    assert query('select revenue_usd, further from bronze.gam_delivery') == [(Decimal(1), 'x')]
    assert_gold_is_exact(query, settings.data_dir)
    # A script that comes after its load was called failed does nothing.
    (failed, *_) = (number for (number,) in query("select load_id from ops.loads where status = 'failed'"))
    days = {'start': date(2025, 10, 1), 'end': date(2025, 10, 1), 'started_by': 'test', 'pipeline_run': None}
    files = {each: [''] for each in ('file_names', 'file_sizes', 'file_times', 'read', 'found', 'left_out')}
    late = load_script(GAM_DELIVERY, failed, Staged([]), [])
    assert BigQuery(settings).client.run(late, days | files, what='test') == []


@pytest.mark.slow
def test_loads_at_once_insert_each_row_once(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', *(event(f'u{n}') for n in range(50)))
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'gam_delivery_20251001.csv', *(ad(f'a{n}') for n in range(50)))
    query('select 1')  # the tables are there
    command = [sys.executable, '-m', 'kly_mage', 'backfill', '--start', '2025-10-01', '--end', '2025-10-01']
    environment = {**os.environ, 'PYTHONPATH': str(client_folder())}
    loads = [subprocess.Popen(command, cwd=REPOSITORY, env=environment) for _ in range(3)]
    assert [load.wait(180) for load in loads] == [0, 0, 0]
    assert query('select count(*), count(distinct _hashrow) from bronze.gam_delivery') == [(50, 50)]
    assert_gold_is_exact(query, settings.data_dir)
