"""Mage as people use it: the real server, a real browser, and what then stands in gold.

The tests share one server and run in this order: each leaves it as the next expects it.
"""

import json
import re
import shutil
import signal
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import websocket
from playwright.sync_api import Page

from kly_mage.common.errors import EditorError
from kly_mage.common.settings import REPOSITORY
from kly_mage.mage.client import API_KEY
from kly_mage.mage.editor import EMAIL
from tests.gold import assert_gold_is_exact, gold
from tests.mage.browser import CHARTS, EditorPage, browser_page, create_backfill, sign_in
from tests.mage.server import LANDING, Server, Webhook, running_editor, wait_for
from tests.oracle import expected

pytestmark = pytest.mark.mage

BLOCKS = {
    'articles_performance': [
        'load_cms_articles', 'hash_cms_articles', 'export_cms_articles',
        'load_ga4_events', 'hash_ga4_events', 'export_ga4_events',
        'ga4_daily_summary', 'preview_ga4_daily_summary', 'daily_summary', 'preview_daily_summary',
    ],
    'ads_revenue': [
        'load_gam_delivery', 'hash_gam_delivery', 'export_gam_delivery',
        'gam_daily_summary', 'preview_gam_daily_summary', 'daily_summary', 'preview_daily_summary',
    ],
}  # fmt: skip
START, END = '2025-10-01', '2025-10-31'


@pytest.fixture(scope='module')
def editor() -> Iterator[tuple[Server, Webhook]]:
    # Not pytest's own folder: under root, PostgreSQL runs as another user, who cannot get in there.
    folder = Path(tempfile.mkdtemp(prefix='kly_editor_', dir='/tmp'))
    folder.chmod(0o755)
    with running_editor(folder) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(editor: tuple[Server, Webhook]) -> Server:
    return editor[0]


@pytest.fixture
def webhook(editor: tuple[Server, Webhook]) -> Webhook:
    return editor[1]


@pytest.fixture
def loaded(server: Server) -> None:
    """The sample is in the warehouse: whoever runs alone loads it, others find what tests before them have loaded."""
    if server.query("select to_regclass('gold.daily_summary')") == [(None,)] or not server.query(
        'select 1 from gold.daily_summary having count(distinct date) >= 31'
    ):
        done = server.command('backfill', '--start', START, '--end', END)
        assert done.returncode == 3, done.stderr  # the sample's rejects and conflicts


@pytest.fixture(scope='module')
def page(editor: tuple[Server, Webhook]) -> Iterator[Page]:
    with browser_page() as opened:
        sign_in(opened, editor[0].url, EMAIL, editor[0].password)
        yield opened


def committed(path: str) -> str:
    return (REPOSITORY / 'kly_mage' / path).read_text('utf-8')


def test_it_says_where_it_is_and_how_to_sign_in_the_first_time(server: Server) -> None:
    assert server.url in server.said
    assert server.password in server.said
    assert (server.folder / 'env').stat().st_mode & 0o777 == 0o600


def test_the_first_start_runs_nothing_and_leaves_the_triggers_as_they_are_written(server: Server) -> None:
    question = 'select pipeline_uuid, status::text, schedule_interval from pipeline_schedule order by 1'
    loaded = wait_for(lambda: server.query(question, database='kly_mage'), 30, 'the triggers')
    assert loaded == [('ads_revenue', 'ACTIVE', '0 0 * * *'), ('articles_performance', 'ACTIVE', '0 0 * * *')]
    assert server.query('select count(*) from pipeline_run', database='kly_mage') == [(0,)]
    for pipeline in BLOCKS:
        path = f'pipelines/{pipeline}/triggers.yaml'
        assert (server.repository / 'kly_mage' / path).read_text('utf-8') == committed(path)


def test_a_second_editor_and_a_busy_port_are_refused_with_a_remedy(server: Server) -> None:
    again = server.command('editor')
    assert again.returncode == 1
    assert 'runs already' in again.stderr
    assert 'make stop' in again.stderr
    elsewhere = server.command('editor', KLY_LOCAL_DIR=str(server.folder / 'elsewhere'))
    assert elsewhere.returncode == 1
    assert f'KLY_EDITOR_PORT={server.port + 1}' in elsewhere.stderr


PAGES = [
    '/', '/overview', '/pipelines', '/pipelines/ads_revenue/edit', '/pipelines/ads_revenue/backfills', '/triggers',
    '/pipeline-runs', '/settings', '/settings/workspace/users', '/files', '/terminal', '/manage', '/templates',
    '/version-control', '/global-data-products', '/global-hooks', '/oauth', '/sign-in/../pipelines',
]  # fmt: skip
RESOURCES = [
    'pipelines', 'pipelines/ads_revenue', 'pipelines/ads_revenue/blocks', 'pipelines/ads_revenue/backfills', 'backfills',
    'pipeline_runs', 'block_runs', 'pipeline_schedules', 'logs', 'files', 'file_contents/metadata.yaml', 'projects', 'users',
    'variables', 'secrets', 'kernels', 'clusters', 'events', 'event_matchers', 'event_matchers/1', 'downloads/abc',
    'pipelines/ads_revenue/blocks/load_gam_delivery/analyses',
    'pipelines/ads_revenue/block_outputs/load_gam_delivery/downloads',
    'block_outputs/load_gam_delivery', 'widgets', 'interactions', 'git_branches/test', 'scheduler', 'search_results',
    'status/../pipelines', 'statuses/1',
]  # fmt: skip


class Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def answer(url: str, method: str = 'GET', **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, b'{}' if method != 'GET' else None, headers, method=method)
    try:
        with urllib.request.build_opener(Unfollowed).open(request, timeout=20) as response:
            return response.status, response.headers.get('Location') or response.read().decode('utf-8', 'replace')
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get('Location') or error.read().decode('utf-8', 'replace')


@pytest.mark.parametrize('path', PAGES)
def test_a_page_leads_whoever_is_not_signed_in_to_the_sign_in_page(server: Server, path: str) -> None:
    assert answer(f'{server.url}{path}') == (302, '/sign-in')


@pytest.mark.parametrize('path', RESOURCES)
@pytest.mark.parametrize('method', ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'])
def test_a_resource_refuses_whoever_is_not_signed_in(server: Server, method: str, path: str) -> None:
    for headers in ({}, {'X-API-KEY': API_KEY}, {'X-API-KEY': API_KEY, 'OAUTH-TOKEN': 'x', 'Cookie': 'oauth_token=x.y.z'}):
        code, body = answer(f'{server.url}/api/{path}', method, **headers)
        assert code == 401, (headers, body)


def test_sign_in_and_status_are_open(server: Server) -> None:
    assert answer(f'{server.url}/sign-in')[0] == 200
    assert answer(f'{server.url}/api/statuses')[0] == 200


def test_a_wrong_password_or_the_well_known_one_is_refused(server: Server) -> None:
    for password in ('admin', 'wrong', ''):
        with pytest.raises(EditorError, match='refuses'):
            type(server.client)(server.url, EMAIL, password)


@pytest.mark.filterwarnings('ignore:The HMAC key is 7 bytes')  # Mage's secret is a short one, too
def test_a_token_signed_with_mages_own_secret_is_refused(server: Server) -> None:
    import jwt

    forged = jwt.encode({'expires': 4e9, 'token': 'x'}, 'materia', algorithm='HS256')
    assert answer(f'{server.url}/pipelines', Cookie=f'oauth_token={forged}') == (302, '/sign-in')


def test_an_api_trigger_asks_for_its_own_token(server: Server) -> None:
    for path in ('pipeline_schedules/1/pipeline_runs/abc', 'pipeline_schedules/1/api_trigger', 'runs/abc', 'runs'):
        assert 'error' in answer(f'{server.url}/api/{path}', 'POST')[1], path
    assert server.query('select count(*) from pipeline_run', database='kly_mage') == [(0,)]


@pytest.mark.parametrize('path', ['/websocket/', '/websocket/terminal', '/event-streams/x'])
def test_a_socket_refuses_whoever_is_not_signed_in(server: Server, path: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match='401'):
        websocket.create_connection(f'{server.url.replace("http", "ws")}{path}', timeout=20)


def test_a_socket_refuses_a_page_of_another_site(server: Server) -> None:
    token = server.client._headers['OAUTH-TOKEN']
    address = f'{server.url.replace("http", "ws")}/websocket/'
    websocket.create_connection(address, timeout=20, header=[f'OAUTH-TOKEN: {token}']).close()
    with pytest.raises(websocket.WebSocketBadStatusException, match='403'):
        websocket.create_connection(address, timeout=20, header=[f'OAUTH-TOKEN: {token}'], origin='http://evil.example')


def test_the_first_block_of_a_kernel_is_heard_while_a_page_asks_for_its_memory(server: Server) -> None:
    code = '@data_loader\ndef load(*args, **kwargs):\n    import time\n\n    time.sleep(3)\n    return {"heard": 1}\n'
    client = server.client
    with server.kernel() as run:
        end = run(code, pipeline_uuid='articles_performance', uuid='load_cms_articles', type='data_loader')
        for _ in range(5):  # Mage counts its questions from 0, as it does the blocks
            assert client.call('GET', 'kernels')['kernels'][0]['alive']
        assert 'heard' in str([message.get('data') for message in end()])


def test_the_kernel_has_the_corrections_too(server: Server) -> None:
    code = 'from mage_ai.data_preparation.models import pipeline\nprint(type(pipeline.yaml).__name__)'
    with server.kernel() as run:
        assert 'Yaml' in str([message.get('data') for message in run(code)()])


@pytest.mark.browser
def test_a_block_without_its_upstream_says_what_to_do(server: Server, page: Page) -> None:
    said = EditorPage(page, server.url, 'ads_revenue').run('export_gam_delivery')
    assert 'no rows to work on: run hash_gam_delivery first' in said


@pytest.mark.browser
@pytest.mark.parametrize('pipeline', list(BLOCKS))
def test_every_block_runs_from_its_play_button_and_shows_something(server: Server, page: Page, pipeline: str) -> None:
    opened = EditorPage(page, server.url, pipeline)
    for block in BLOCKS[pipeline]:
        said = opened.run(block)
        assert 'Traceback' not in said, said
        if not block.endswith('daily_summary') or block.startswith('preview_'):
            assert '"columns"' in said, f'{block} shows no table: {said}'
        else:
            assert re.search(rf'gold\.{block}: [\d,]+ rows, refreshed at ', said), said
        if block.startswith('export_'):
            assert f'{block.removeprefix("export_")} {START}: ' in said
            assert 'rows_new' in said
            page.get_by_text('rows_conflicting').first.wait_for()
    truth = expected(LANDING, 'Asia/Jakarta', 3)
    if pipeline == 'ads_revenue':
        wanted = sum(row['revenue_usd'] for row in truth.gam_daily_summary if str(row['served_date']) == START)
        found = server.query('select sum(revenue_usd) from gold.gam_daily_summary where served_date = %s', START)
    else:
        wanted = sum(row['pageviews'] for row in truth.ga4_daily_summary if str(row['event_date']) == START)
        found = server.query('select sum(pageviews) from gold.ga4_daily_summary where event_date = %s', START)
    assert found == [(wanted,)]


@pytest.mark.browser
def test_running_a_block_twice_does_no_harm(server: Server, page: Page) -> None:
    before = gold(server.query)
    opened = EditorPage(page, server.url, 'ads_revenue')
    for block in ('load_gam_delivery', 'hash_gam_delivery', 'export_gam_delivery', 'gam_daily_summary', 'daily_summary'):
        opened.run(block)
    assert gold(server.query) == before


@pytest.mark.browser
@pytest.mark.parametrize('pipeline', list(BLOCKS))
def test_opening_running_and_saving_changes_nothing_in_the_pipeline(server: Server, page: Page, pipeline: str) -> None:
    opened = EditorPage(page, server.url, pipeline)
    opened.run(BLOCKS[pipeline][0])
    path = server.repository / f'kly_mage/pipelines/{pipeline}/metadata.yaml'
    page.locator('.monaco-editor .view-lines').first.click()
    for keys in ('# x', 'Backspace'):
        since = path.stat().st_mtime_ns
        if keys == 'Backspace':
            for _ in range(3):
                page.keyboard.press(keys)
        else:
            page.keyboard.press('Control+End')
            page.keyboard.type(keys)
        page.wait_for_timeout(700)
        page.keyboard.press('Control+s')
        wait_for(lambda before=since: path.stat().st_mtime_ns != before, 30, 'the save')
    assert path.read_text('utf-8') == committed(f'pipelines/{pipeline}/metadata.yaml')


@pytest.mark.browser
def test_backfills_from_the_page_and_over_the_api_give_the_oracles_gold(server: Server, page: Page) -> None:
    client = server.client
    over_api = client.create_backfill('ads_revenue', 'October over the API', START, END)
    client.start_backfill(over_api)
    assert server.backfilled(over_api) == 'completed'
    from_page = create_backfill(page, server.url, 'articles_performance', date(2025, 10, 1), date(2025, 10, 31))
    assert server.backfilled(from_page) == 'completed'
    assert len(client.runs(from_page)) == len(client.runs(over_api)) == 31
    page.goto(f'{server.url}/pipelines/articles_performance/backfills/{from_page}')
    page.get_by_text('completed', exact=False).first.wait_for()
    assert_gold_is_exact(server.query, LANDING)


@pytest.mark.browser
def test_a_backfills_page_shows_no_day_that_it_does_not_load(server: Server, page: Page) -> None:
    number = server.client.create_backfill('ads_revenue', 'not started', '2025-10-05', '2025-10-06')
    page.goto(f'{server.url}/pipelines/ads_revenue/backfills/{number}')
    page.get_by_text('run_date', exact=True).wait_for()
    page.get_by_text('one per run', exact=True).wait_for()
    assert page.get_by_text(START, exact=True).count() == 0  # the pipeline's own, for the editor
    assert server.query('select variables::text from backfill where id = %s', number, database='kly_mage') == [('{}',)]


@pytest.mark.browser
def test_version_control_is_off_and_says_so(server: Server, page: Page) -> None:
    page.goto(f'{server.url}/pipelines')
    page.mouse.move(35, 200)  # the icons at the left unfold
    page.get_by_text('Version control', exact=True).click()
    page.get_by_text('Use git in a terminal', exact=False).wait_for()
    for path in ('git_branches', 'git_custom_branches/reset', 'version_control_files', 'syncs'):
        with pytest.raises(EditorError, match='Version control is off'):
            server.client.call('POST', path, {})
    assert server.client.call('GET', 'git_branches/test?_format=with_basic_details')  # each page asks for it


def test_the_log_of_the_server_holds_no_traceback_of_its_own_files(server: Server) -> None:
    assert server.client.call('GET', 'autocomplete_items')['autocomplete_items']
    said = (server.local / 'mage.log').read_text('utf-8')
    assert "the 'package' argument is required" not in said
    assert "No module named 'trino'" not in said  # a connector that nobody has installed


@pytest.mark.browser
@pytest.mark.usefixtures('loaded')
@pytest.mark.parametrize('pipeline', list(BLOCKS))
def test_the_charts_draw(server: Server, page: Page, pipeline: str) -> None:
    opened = EditorPage(page, server.url, pipeline, side='charts')
    for chart in CHARTS:
        said = opened.run_chart(chart)
        assert 'Traceback' not in said, said


@pytest.mark.browser
def test_the_triggers_page_lists_both(server: Server, page: Page) -> None:
    page.goto(f'{server.url}/triggers')
    for pipeline in BLOCKS:
        page.get_by_text(pipeline, exact=True).first.wait_for()


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


@pytest.mark.usefixtures('loaded')
def test_ctrl_c_leaves_no_process_and_a_restart_keeps_everything(server: Server) -> None:
    before = gold(server.query)
    questions = (
        'select count(*) from pipeline_run',
        # Mage puts a trigger that fires once out of action in its own time.
        'select name, pipeline_uuid, status::text from pipeline_schedule'
        " where schedule_interval is distinct from '@once' order by 1, 2",
    )
    remembered = [server.query(question, database='kly_mage') for question in questions]
    password = server.password
    assert len(server.processes()) >= 4  # PostgreSQL, the server, its scheduler, the kernel
    assert 'stopped' in server.interrupt(signal.SIGINT)
    assert server.processes() == []
    server.start()
    assert server.password == password
    assert password not in server.said
    assert gold(server.query) == before
    assert [server.query(question, database='kly_mage') for question in questions] == remembered


def test_stop_ends_an_editor_that_was_killed(server: Server) -> None:
    assert server.process
    server.process.kill()
    server.process.wait()
    assert server.processes() != []
    assert server.command('stop').returncode == 0
    assert server.processes() == []
