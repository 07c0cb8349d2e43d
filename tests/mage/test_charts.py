"""The charts of the editor's side pane, as their blocks draw them from a small warehouse."""

import importlib
from datetime import date
from typing import Any

import pytest

from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import PROJECT, Settings
from kly_mage.loads import runner
from tests.gold import Query
from tests.scenes import deliver, run_days

CHARTS = sorted(path.stem for path in PROJECT.glob('charts/[!_]*.py'))


def drawn(chart: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = getattr(importlib.import_module(f'kly_mage.charts.{chart}'), chart)().to_dict('records')
    return rows


def test_a_chart_block_has_a_query_of_its_name_and_each_query_a_block() -> None:
    queries = sorted(path.stem for path in PROJECT.glob('warehouse/postgres/charts/*.sql'))
    assert queries == CHARTS != []


@pytest.mark.parametrize('chart', CHARTS)
def test_a_chart_without_anything_to_draw_says_what_to_run_first(settings: Settings, chart: str) -> None:
    with pytest.raises(PipelineError, match='nothing to draw yet: run the blocks'):
        drawn(chart)


def test_the_charts_draw_what_gold_holds(settings: Settings, query: Query) -> None:
    deliver(settings.data_dir, 'cms_articles_20251001.csv', 'a0,site,Title,author,news,2025-10-01', 'a1,site,Title,author,,')
    deliver(
        settings.data_dir,
        'ga4_events_20251001.csv',
        '2025-10-01T05:00:00Z,page_view,u1,s1,a0',
        '2025-10-01T05:00:00Z,page_view,u1,s1,a0',  # the same event once more
        '2025-10-01T05:01:00Z,page_view,u1,s1,a1',  # one session on two articles
        '2025-10-01T05:02:00Z,page_view,u2,s1,a0',
        'no time,page_view,u3,s1,a0',
    )
    deliver(settings.data_dir, 'ga4_events_20250831.csv', '2025-08-31T05:00:00Z,page_view,u1,s1,a1')  # 31 days before
    deliver(
        settings.data_dir,
        'gam_delivery_20251001.csv',
        '2025-10-01T05:00:00Z,/top,l,c,a0,250,1,0.006',
        '2025-10-01T05:00:00Z,/top,l,c,a0,250,1,0.007',  # another version of the same row
        '2025-10-01T06:00:00Z,/top,l,c,a1,50,0,0.002',
    )
    run_days(1, 1)
    run_days(1, 1)
    runner.run(['articles_performance'], start_date=date(2025, 8, 31), end_date=date(2025, 8, 31), started_by='test')
    assert drawn('pageviews_by_day') == [{'day': '10-01', 'pageviews': 3, 'sessions': 3}]
    assert drawn('revenue_by_day') == [{'day': '10-01', 'revenue_usd': 0.008}]
    # 0.006 over 2 views of a0; 0.002 over a1's 1 of the day and the 1 of August
    assert drawn('page_rpm_by_section') == [
        {'section': 'news', 'page_rpm_usd': 3},
        {'section': '(not set)', 'page_rpm_usd': 1},
    ]
    query("update ops.loads set finished_at = '2025-12-31T05:00:00Z' where end_day = '2025-08-31'")
    query("update ops.loads set finished_at = '2025-12-31T18:00:00Z' where end_day = '2025-10-01'")
    august, october = drawn('rows_by_outcome')  # by the days of Jakarta
    assert (august['day'], august['new']) == ('12-31', 1)  # its one event; the articles' file had been read before
    # Two articles, three events and two ads, met again by the second run, as are a duplicate, a reject and a conflict.
    assert october == {
        'day': '01-01', 'new': 7, 'already_loaded': 7, 'duplicate': 2, 'rejected': 2, 'conflicting': 2, 'outside': 0,
        'superseded': 0, 'forgotten': 0,
    }  # fmt: skip
