"""The pipelines in Mage, with the warehouse on BigQuery: the same blocks, which load and refresh there."""

import re
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.declared.marts import DAILY_SUMMARY, GAM_DAILY_SUMMARY
from kly_mage.mage import sql_blocks
from kly_mage.warehouse.bigquery.engine import BigQuery
from tests.bigquery_emulator import client_folder
from tests.delivery import ad, article, deliver, event
from tests.gold import Query, assert_gold_is_exact
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
    # The days of a run are its own, whatever was loaded since.
    query(
        "update ops.loads set pipeline_run = '7', start_day = '2025-10-03', end_day = '2025-10-03' where load_id is not null"
    )
    assert there.preview(GAM_DAILY_SUMMARY, '7').is_empty()


def test_a_block_of_ones_own_that_is_written_for_postgresql_says_so(settings: Settings) -> None:
    block = SimpleNamespace(uuid='my_numbers', type='data_loader')
    with pytest.raises(UsageError, match='my_numbers is SQL for PostgreSQL, and the warehouse is BigQuery'):
        sql_blocks.on_bigquery(block, settings, {})
