"""Backfills and triggers on the real server: what they load, what they say, and what then stands in gold."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.gold import assert_gold_is_exact, gold
from tests.mage.browser import create_backfill
from tests.mage.conftest import END, START
from tests.mage.server import LANDING, Server, Webhook, wait_for

pytestmark = pytest.mark.mage


@pytest.mark.browser
def test_backfills_from_the_page_and_over_the_api_give_the_oracles_gold(server: Server, page: Page) -> None:
    client = server.client
    over_api = client.create_backfill('ads_revenue', 'October over the API', START, END)
    client.start_backfill(over_api)
    from_page = create_backfill(page, server.url, 'articles_performance', date(2025, 10, 1), date(2025, 10, 31))
    assert server.backfilled(over_api) == server.backfilled(from_page) == 'completed'
    assert len(client.runs(from_page)) == len(client.runs(over_api)) == 31
    page.goto(f'{server.url}/pipelines/articles_performance/backfills/{from_page}')
    page.get_by_text('completed', exact=False).first.wait_for()
    assert_gold_is_exact(server.query, LANDING)


@pytest.mark.usefixtures('loaded')
def test_the_command_line_follows_a_backfill_on_the_server(server: Server) -> None:
    before = gold(server.query)
    done = server.command('backfill', '--via-mage', '--start', '2025-10-03', '--end', '2025-10-04')
    assert done.returncode == 3, done.stderr  # the sample's rejects and conflicts
    assert '2025-10-04  ads_revenue  completed' in done.stderr
    assert 'ga4_events: ' in done.stdout
    assert 'ga4_events: 0 read' not in done.stdout
    assert done.stdout.count(' 0 new') == 3, done.stdout
    assert gold(server.query) == before


def test_a_monthly_backfill_loads_the_whole_month_in_one_run(server: Server) -> None:
    client = server.client
    number = client.create_backfill('ads_revenue', 'by month', START, END, 'month')
    client.start_backfill(number)
    assert server.backfilled(number) == 'completed'
    (run,) = client.runs(number)
    loaded = server.query('select start_day, end_day from ops.loads where pipeline_run = %s', str(run['id']))
    assert loaded == [(date(2025, 10, 1), date(2025, 10, 31))]


def test_a_weekly_backfill_loads_every_day_once(server: Server) -> None:
    client = server.client
    number = client.create_backfill('ads_revenue', 'by week', START, END, 'week')
    client.start_backfill(number)
    assert server.backfilled(number) == 'completed'
    runs = [str(run['id']) for run in client.runs(number)]
    windows = server.query('select start_day, end_day from ops.loads where pipeline_run = any(%s) order by 1', runs)
    starts = [date(2025, 10, day) for day in (1, 8, 15, 22, 29)]
    assert windows == list(zip(starts, [date(2025, 10, day) for day in (7, 14, 21, 28, 31)], strict=True))


@pytest.mark.usefixtures('loaded')
def test_a_trigger_fires_with_its_window(server: Server) -> None:
    path = server.repository / 'kly_mage/pipelines/articles_performance/triggers.yaml'
    lag = (datetime.now(UTC).date() - date(2025, 10, 10)).days
    path.write_text(
        path.read_text('utf-8')
        + '- name: once\n  schedule_type: time\n  schedule_interval: "@once"\n  start_time: 2025-10-01 00:00:00\n'
        + '  last_enabled_at: 2025-10-01 00:00:00\n  status: active\n'
        + f'  variables:\n    lag_days: {lag}\n    lookback_days: 3\n'
    )
    question = "select start_day, end_day, status from ops.loads where started_by = 'once' and source = 'ga4_events'"
    ((start, end, status),) = wait_for(
        lambda: (found := server.query(question)) and found[0][2] != 'running' and found, 90, 'the trigger'
    )
    assert ((end - start).days, status) == (3, 'done')
    assert end in (date(2025, 10, 10), date(2025, 10, 11))  # by the clock of Jakarta


@pytest.mark.usefixtures('loaded')
def test_run_once_loads_the_day_its_page_shows(server: Server) -> None:
    """The page makes a trigger as this one is: once, with its start a day ago and the pipeline's variables."""
    path = server.repository / 'kly_mage/pipelines/ads_revenue/triggers.yaml'
    path.write_text(
        path.read_text('utf-8')
        + '- name: by hand\n  schedule_type: time\n  schedule_interval: "@once"\n  start_time: 2025-10-01 00:00:00\n'
        + '  last_enabled_at: 2025-10-01 00:00:00\n  status: active\n  variables:\n    run_date: "2025-10-17"\n'
    )
    question = "select start_day, end_day, status from ops.loads where started_by = 'by hand'"
    (window,) = wait_for(
        lambda: (found := server.query(question)) and found[0][2] != 'running' and found, 90, 'the run by hand'
    )
    assert window == (date(2025, 10, 17), date(2025, 10, 17), 'done')


@pytest.mark.usefixtures('loaded')
def test_a_failing_loader_is_retried_reported_and_its_day_retried_alone(server: Server, webhook: Webhook) -> None:
    server.fail_flag.touch()
    client = server.client
    number = client.create_backfill('ads_revenue', 'broken', '2025-10-05', '2025-10-05')
    client.start_backfill(number)
    assert server.backfilled(number) == 'failed'
    (run,) = client.runs(number)
    (post,) = [post for post in webhook.posts if post['pipeline_run'] == run['id']]
    for part in ('ads_revenue', 'load_gam_delivery', '4 attempts', '2025-10-05', 'broke this loader', f'run {run["id"]}'):
        assert part in post['text'], post
    assert 'hunter2' not in str(webhook.posts)
    assert server.password not in str(webhook.posts)
    assert '\n' not in post['text']
    server.fail_flag.unlink()
    client.retry(run['id'])
    assert wait_for(lambda: server.client.runs(number)[0]['status'] == 'completed', 90, 'the retry')
    assert_gold_is_exact(server.query, LANDING)


def test_a_run_says_in_its_log_what_it_loaded_and_posts_what_needs_a_look(server: Server, webhook: Webhook) -> None:
    client = server.client
    number = client.create_backfill('ads_revenue', 'one day', START, START)
    client.start_backfill(number)
    assert server.backfilled(number) == 'completed'
    (run,) = client.runs(number)
    ((read, rejected, conflicting),) = server.query(
        'select rows_read, rows_rejected, rows_conflicting from ops.loads where pipeline_run = %s', str(run['id'])
    )
    assert rejected + conflicting > 0, 'the sample has nothing to look at on that day'
    records = [
        record
        for path in (server.repository / '.mage_data').rglob('*.log')
        for record in map(log_record, path.read_text('utf-8').splitlines())
        if record.get('pipeline_run_id') == run['id']
    ]
    begins = (f'gam_delivery {START}: {read:,} read, ', 'gold.gam_daily_summary: ', 'gold.daily_summary: ')
    told = [record for record in records if str(record.get('message')).startswith(begins)]
    logged = sorted(told, key=lambda record: record['timestamp'])
    assert [(record['block_uuid'], record['level']) for record in logged] == [
        ('export_gam_delivery', 'WARNING'),
        ('gam_daily_summary', 'INFO'),
        ('daily_summary', 'INFO'),
    ]
    (post,) = [post for post in webhook.posts if post['pipeline_run'] == run['id']]
    assert post['block'] == 'export_gam_delivery'
    assert post['text'] == f'ads_revenue: run {run["id"]} (Backfill one day) has loaded {logged[0]["message"]}'
    assert '; needs a look: ' in post['text']


def log_record(line: str) -> dict[str, Any]:
    """A line of Mage's log: JSON behind the time."""
    found: dict[str, Any] = json.loads(line[line.index('{') :]) if '{' in line else {}
    return found


def test_a_block_that_somebody_adds_is_reported_as_well_when_it_fails(server: Server, webhook: Webhook) -> None:
    project = server.repository / 'kly_mage'
    block, metadata = project / 'data_exporters' / 'my_mail.py', project / 'pipelines' / 'ads_revenue' / 'metadata.yaml'
    block.write_text("@data_exporter\ndef send(load, *args, **kwargs):\n    raise RuntimeError('no mail today')\n", 'utf-8')
    before = metadata.read_text('utf-8')
    entry = '- uuid: my_mail\n  type: data_exporter\n  language: python\n  upstream_blocks: [export_gam_delivery]\n'
    wired = before.replace('callbacks:\n', f'{entry}callbacks:\n')
    wired = wired.replace('downstream_blocks: [gam_daily_summary]', 'downstream_blocks: [gam_daily_summary, my_mail]')
    metadata.write_text(wired, 'utf-8')
    try:
        client = server.client
        number = client.create_backfill('ads_revenue', 'mail', START, START)
        client.start_backfill(number)
        assert server.backfilled(number) == 'failed'
        (run,) = client.runs(number)
        (post,) = [p for p in webhook.posts if (p['pipeline_run'], p['block']) == (run['id'], 'my_mail')]
        assert f'ads_revenue: block my_mail failed after 4 attempts for the run of {START}' in post['text']
        assert 'RuntimeError: no mail today' in post['text']
    finally:
        metadata.write_text(before, 'utf-8')
        block.unlink()


@pytest.mark.usefixtures('loaded')
def test_a_cancelled_backfill_leaves_truth_behind(server: Server) -> None:
    client = server.client
    number = client.create_backfill('articles_performance', 'cancelled', START, END)
    client.start_backfill(number)
    wait_for(lambda: any(run['status'] == 'completed' for run in client.runs(number)), 60, 'a first day')
    client.cancel_backfill(number)
    wait_for(lambda: not server.query("select from ops.loads where status = 'running' limit 1"), 60, 'the loads in flight')
    assert_gold_is_exact(server.query, LANDING)
