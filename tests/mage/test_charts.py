"""The charts of the editor's side pane, as their blocks draw them from a small warehouse."""

import importlib
import json
from datetime import date
from typing import Any

import pytest

from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import PROJECT, Settings
from kly_mage.loads import runner
from kly_mage.mage.charts import outputs
from tests.gold import Query
from tests.scenes import deliver, run_days

CHARTS = sorted(path.stem for path in PROJECT.glob('charts/[!_]*.py'))


def drawn(chart: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = getattr(importlib.import_module(f'kly_mage.charts.{chart}'), chart)().to_dict('records')
    return rows


@pytest.mark.parametrize('place', ['postgres', 'bigquery'])
def test_a_chart_block_has_a_query_of_its_name(place: str) -> None:
    queries = {path.stem for path in PROJECT.glob(f'warehouse/{place}/queries/*.sql')}
    assert queries >= set(CHARTS) != set()


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
    assert drawn('pageviews_by_day') == [{'day': '2025-10-01', 'pageviews': 3}]
    assert drawn('sessions_by_day') == [{'day': '2025-10-01', 'sessions': 3}]
    assert drawn('revenue_by_day') == [{'day': '2025-10-01', 'revenue_usd': 0.008}]
    # 0.006 over 2 views of a0; 0.002 over a1's 1 of the day and the 1 of August
    assert drawn('page_rpm_by_section') == [
        {'section': 'news', 'page_rpm_usd': 3},
        {'section': '(not set)', 'page_rpm_usd': 1},
    ]
    query("update ops.loads set finished_at = '2025-12-31T05:00:00Z' where end_day = '2025-08-31'")
    query("update ops.loads set finished_at = '2025-12-31T18:00:00Z' where end_day = '2025-10-01'")
    # By the days of Jakarta, the newest first. Two articles, three events and two ads are new, and met again by the second
    # run, as are a duplicate, a reject and a conflict; of August its one event.
    october = [('new', 7), ('already loaded', 7), ('duplicate', 1), ('rejected', 1), ('conflicting', 1)]
    found = [(row['day'], row['outcome'], row['rows']) for row in drawn('rows_by_outcome')]
    assert found[:5] == [('2026-01-01', outcome, rows) for outcome, rows in october]
    assert found[5] == ('2025-12-31', 'new', 1)


class Drawing:
    """Mage's own, as far as it is asked here; the browser's test has the whole one."""

    uuid = 'page_rpm_by_section'

    def get_chart_configuration_settings(self) -> dict[str, Any]:
        return {'chart_type': 'bar chart'}

    def post_process_variables(self, variables: Any, data_source_output: Any, chart_type: str) -> dict[str, Any]:
        return {'x': data_source_output['section'].tolist(), 'y': data_source_output['page_rpm_usd']}


def test_a_page_that_is_opened_is_told_what_a_chart_draws_whatever_a_section_is_called(settings: Settings) -> None:
    widget = Drawing()
    assert outputs(widget) == []  # and Mage's page has its button
    section = '\'a\' "b" \\" <i>é\\'
    written = section.replace('"', '""')
    deliver(settings.data_dir, 'cms_articles_20251001.csv', f'a0,site,Title,author,"{written}",2025-10-01')
    deliver(settings.data_dir, 'ga4_events_20251001.csv', '2025-10-01T05:00:00Z,page_view,u1,s1,a0')
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', '2025-10-01T05:00:00Z,/top,l,c,a0,250,1,0.006')
    run_days(1, 1)
    (said,) = outputs(widget)
    text = json.loads(said['text_data'])['data'][0]  # and what Mage's page makes of it before it reads that
    shown = json.loads(text[1:-1].replace('\\"', '"').replace("\\'", "'"))
    assert shown == {'x': [section], 'y': [6.0]}
