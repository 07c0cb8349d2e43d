"""The pipelines in Mage, with the warehouse on BigQuery: the same blocks, which load and refresh there."""

import re
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from kly_mage.common.errors import PipelineError, UsageError
from kly_mage.common.settings import Settings
from kly_mage.declared.marts import DAILY_SUMMARY, GAM_DAILY_SUMMARY
from kly_mage.mage import sql_blocks
from kly_mage.mage.charts import frame
from kly_mage.warehouse.bigquery.engine import BigQuery
from tests.bigquery_emulator import client_folder
from tests.delivery import ad, article, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.mage.server import Server
from tests.mage.test_run import PIPELINES, assert_nothing_foreign, finished, start

pytestmark = pytest.mark.mage


@pytest.mark.slow
def test_both_pipelines_at_once_load_and_refresh_there(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('PYTHONPATH', str(client_folder()))
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u2'), event('u1'), event('u1', session='x' * 9))
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '0.000000000001'), ad('side', '2.5'))
    query('select 1')  # the tables are there
    said = finished(*(start(pipeline, tmp_path, run_date='2025-10-01') for pipeline in PIPELINES))
    articles, ads = (re.sub('.*another transaction was in the way of refresh; .*\n', '', text) for text in said)
    assert_nothing_foreign(articles)
    assert_nothing_foreign(ads)
    assert re.search('^ga4_events 2025-10-01: 4 read, 3 distinct, 3 new, ', articles, re.MULTILINE), articles
    assert re.search(r'^gold\.gam_daily_summary: 1 row, refreshed at 20\d\d-', ads, re.MULTILINE), ads
    assert_gold_is_exact(query, settings.data_dir, ratios=False)

    there = BigQuery(settings)
    shown = there.preview(DAILY_SUMMARY, '')
    assert shown.select('date', 'content_id', 'pageviews', 'sessions').rows() == [(date(2025, 10, 1), '7', 3, 3)]
    assert f'{shown["revenue_usd"][0]:f}' == '2.500000000001'
    # Three events of a session each; the ads beside them earn 2.5 dollars.
    assert frame('sessions_by_day').to_dict('records') == [{'day': '2025-10-01', 'sessions': 3.0}]
    assert frame('page_rpm_by_section').to_dict('records') == [{'section': 'News', 'page_rpm_usd': 833.33}]
    # The days of a run are its own, whatever was loaded since.
    query(
        "update ops.loads set pipeline_run = '7', start_day = '2025-10-03', end_day = '2025-10-03' where load_id is not null"
    )
    assert there.preview(GAM_DAILY_SUMMARY, '7').is_empty()


@pytest.mark.slow
def test_the_editor_runs_the_same_pipelines_and_previews_there(settings: Settings, query: Query, tmp_path: Path) -> None:
    pytest.importorskip('google.cloud.bigquery')  # the server sees no folder but its own
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u2'), event('u1'))
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '0.000000000001'), ad('side', '2.5'))
    query('select 1')  # the tables are there
    folder = tmp_path / 'editor'
    folder.mkdir()
    server = Server(folder, landing=settings.data_dir)
    try:
        server.start()
        for pipeline in PIPELINES:
            backfill = server.client.create_backfill(pipeline, pipeline, '2025-10-01', '2025-10-01')
            server.client.start_backfill(backfill)
            assert server.backfilled(backfill) == 'completed'
        assert_gold_is_exact(query, settings.data_dir, ratios=False)
        done = server.command('backfill', '--via-mage', '--start', '2025-10-01', '--end', '2025-10-01')
        assert done.returncode == 0, done.stderr
        assert re.search(
            r'gam_delivery: 2 read, 2 distinct, 0 new, .* 2 already loaded \(file unchanged\)$', done.stdout, re.M
        )
        with server.kernel() as run:
            preview = (server.repository / 'kly_mage/data_loaders/preview_gam_daily_summary.sql').read_text('utf-8')
            block = {'pipeline_uuid': 'ads_revenue', 'uuid': 'preview_gam_daily_summary', 'type': 'data_loader'}
            shown = str([message.get('data') for message in run(preview, **block)()])
            assert '"7", 20, 0, 2.5' in shown, shown  # Mage shows money as JavaScript's numbers
    finally:
        server.command('stop')
        if server.process:
            server.process.communicate(timeout=60)
    assert server.processes() == []


def test_a_chart_without_anything_to_draw_says_what_to_run_first(settings: Settings) -> None:
    with pytest.raises(PipelineError, match='nothing to draw yet: run the blocks'):
        frame('pageviews_by_day')


def test_a_block_of_ones_own_that_is_written_for_postgresql_says_so(settings: Settings) -> None:
    block = SimpleNamespace(uuid='my_numbers', type='data_loader')
    with pytest.raises(UsageError, match='my_numbers is SQL for PostgreSQL, and the warehouse is BigQuery'):
        sql_blocks.on_bigquery(block, settings, {})
