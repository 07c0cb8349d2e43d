"""Loads and marts, whichever warehouse it is: the rows of gold that the oracle works out, whatever happens on the way."""

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.common.window import Window
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.fetch.bigquery import Dataset, Remote
from kly_mage.loads import summary
from kly_mage.loads.found import find_files
from kly_mage.warehouse.choice import warehouse
from tests.bigquery_emulator import client_folder
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.ga4_dataset import fill
from tests.ga4_export import SAMPLE, events
from tests.gold import Query, assert_gold_is_exact
from tests.warehouse.both import *  # noqa: F403 -- fixtures


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
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')
    # A file that has not changed is not read again, and its rows are counted apart.
    known = 'rows_already_loaded + rows_unchanged'
    told = f'rows_read, rows_new, {known} as known, rows_duplicate, rows_conflicting, rows_rejected'
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
    waiting = partial(warehouse(settings).first_waiting, GAM_DELIVERY, days=days)
    assert waiting(find_files(settings, GAM_DELIVERY)) == date(2025, 10, 3)
    deliver(settings, 'gam_delivery_20251001-2.csv', ad('late'))
    assert waiting(find_files(settings, GAM_DELIVERY)) == date(2025, 10, 1)
    # Every row read has one place, by day as well.
    (total,) = query('select sum(rows_read) from ops.load_days')
    assert total == query('select sum(rows_read) from ops.loads')[0]


def test_a_client_that_is_gone_between_two_steps_leaves_nothing_half_done(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('top'), ad('side', '2'))
    counts = 'select count(*) from bronze.gam_delivery union all select count(*) from gold.gam_daily_summary'
    kind = type(warehouse(settings))
    for step, left in (('load', [0, 2]), ('refresh', [1, 2])):
        work = getattr(kind, step)

        def gone_behind(*given: Any, work: Any = work) -> Any:
            work(*given)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(kind, step, gone_behind)
            assert ads() == 130
        assert sorted(row[0] for row in query(counts)) == left
    assert ads() == 0
    assert query("select count(*) from ops.loads where status <> 'done'") == [(0,)]
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')


def test_the_export_of_ga4_is_the_same_from_files_and_where_it_stands(
    settings: Settings,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if settings.warehouse == 'postgres':
        packed = settings.data_dir / 'ga4_events/events_20251001.ndjson.gz'
        packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    else:
        project = settings.bigquery_project or ''
        monkeypatch.setenv('KLY_GA4_DATASET', f'{project}.analytics_1')
        monkeypatch.setenv('BIGQUERY_STORAGE_EMULATOR_HOST', request.getfixturevalue('address').storage)
        table, changed = Dataset.table, datetime(2025, 11, 1, tzinfo=UTC)

        def settled(self: Dataset, name: str) -> Remote | None:  # the emulator says that a table was changed just now
            found = table(self, name)
            return found and Remote(name, changed, found.bytes, found.rows, False, found.fields)

        monkeypatch.setattr(Dataset, 'table', settled)
        fill(project, 'events_20251001', events(SAMPLE))
    assert backfill('2025-10-01', None, '--pipeline', 'articles_performance') == 3  # its rejects, and no articles
    # All by one user in one session; what opens an app or ends a session is no page view.
    assert query('select content_id, pageviews, sessions from gold.ga4_daily_summary where pageviews > 0 order by 1') == [
        ('(not set)', 1, 1),
        ('7000001', 2, 1),
        ('7000002', 1, 1),
        ('7000003', 1, 1),
        ('7000007', 1, 1),
    ]
    assert query('select count(*), count(distinct _hashrow) from bronze.ga4_events') == [(12, 12)]
    capsys.readouterr()
    assert main(['reconcile', '--source', 'ga4_events', '--json']) == 0
    told = json.loads(capsys.readouterr().out)['sources']['ga4_events']['total']['rows']
    assert {place: rows for place, rows in told.items() if rows} == dict.fromkeys(('read', 'bronze', 'stored'), 12)


def test_what_the_runs_of_a_mage_backfill_did_is_told_together(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1.5'), ad('side', 'x'))
    left_out = f'gam_delivery/{deliver(settings, "gam_delivery_20251002.csv", "x", header="served_at").name}'
    day = '2025-10-03'
    deliver(settings, 'gam_delivery_20251003.csv', ad('late', day='2025-10-02'), ad('c', day=day), ad('c', day=day))
    for number in (1, 2, 3):
        ads(f'2025-10-0{number}')
    text = 'text' if settings.warehouse == 'postgres' else 'string'
    query(f"update ops.loads set pipeline_run = cast(start_day as {text}) where source = 'gam_delivery'")
    (told,) = warehouse(settings).of_pipeline_runs(['2025-10-01', '2025-10-02', 'no run'])
    assert {name: count for name, count in told.items() if name.startswith('rows_') and count} == {
        'rows_read': 3,
        'rows_distinct': 2,
        'rows_new': 2,
        'rows_rejected': 1,
    }
    assert (told['source'], told['money_read'], list(told['left_out'])) == ('gam_delivery', Decimal('2.5'), [left_out])
    assert (told['files_changed'], told['far_off'], told['stale'], told['final_days']) == (0, [], None, [])
    assert summary.look(told, []) == [
        f'{left_out} is left out',
        'rows cannot be used (python -m kly_mage rejects --source gam_delivery)',
    ]
    (of_one,) = warehouse(settings).of_pipeline_runs([day])
    assert (of_one['rows_read'], of_one['rows_duplicate'], of_one['rows_new']) == (2, 1, 1)
    # What these runs have left out stays theirs, whatever has become of the file since.
    deliver(settings, 'gam_delivery_20251002.csv', ad('b', day='2025-10-02'))
    ads('2025-10-02')
    (again,) = warehouse(settings).of_pipeline_runs(['2025-10-01', '2025-10-02', 'no run'])
    assert again['left_out'] == told['left_out']


@pytest.mark.slow
def test_loads_at_once_insert_each_row_once(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', *(event(f'u{n}') for n in range(50)))
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'gam_delivery_20251001.csv', *(ad(f'a{n}') for n in range(50)))
    query('select 1')  # the tables are there
    command = [sys.executable, '-m', 'kly_mage', 'backfill', '--start', '2025-10-01', '--end', '2025-10-01']
    environment = {**os.environ, 'PYTHONPATH': str(client_folder())}
    loads = [subprocess.Popen(command, cwd=REPOSITORY, env=environment) for _ in range(3)]
    assert [load.wait(600) for load in loads] == [0, 0, 0]
    assert query('select count(*), count(distinct _hashrow) from bronze.gam_delivery') == [(50, 50)]
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')
