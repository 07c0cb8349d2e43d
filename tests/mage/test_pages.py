"""Mage as people use it: the real server, a real browser, and what then stands in gold.

The tests share one server and run in this order: each leaves it as the next expects it.
"""

import re
import signal
import urllib.error
import urllib.request
from typing import Any

import pytest
import websocket
from playwright.sync_api import Page

from kly_mage.common.errors import EditorError
from kly_mage.common.settings import REPOSITORY
from kly_mage.mage.client import API_KEY, EMAIL
from tests.gold import gold
from tests.mage.browser import CHARTS, EditorPage
from tests.mage.conftest import START
from tests.mage.server import LANDING, Server, wait_for
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
            if block.startswith('preview_'):
                assert re.search(rf'{block}: [\d,]+ rows shown', said), said
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
    assert 'signing is disabled' not in said  # of no kernel's messages, not even for a moment


# How many bars there are beside the name of an axis; what they stand on is one, too.
BARS = """name => {
    let beside = name;
    while (!beside.querySelector('rect')) beside = beside.parentElement;
    return beside.querySelectorAll('rect').length - 1;
}"""


@pytest.mark.browser
@pytest.mark.usefixtures('loaded')
@pytest.mark.parametrize('pipeline', list(BLOCKS))
def test_the_charts_are_drawn_when_the_page_is_opened_and_by_their_buttons(
    server: Server, page: Page, pipeline: str
) -> None:
    opened = EditorPage(page, server.url, pipeline, side='charts')
    for measure, bars in (('pageviews', 31), ('sessions', 31), ('revenue_usd', 31), ('page_rpm_usd', 17)):  # days, sections
        assert page.get_by_text(f'sum({measure})', exact=True).evaluate(BARS) == bars, measure
    page.get_by_text('conflicting', exact=True).first.wait_for()  # a row of the table
    for chart in CHARTS:
        said = opened.run_chart(chart)
        assert 'Traceback' not in said, said


@pytest.mark.browser
def test_the_triggers_page_lists_both(server: Server, page: Page) -> None:
    page.goto(f'{server.url}/triggers')
    for pipeline in BLOCKS:
        page.get_by_text(pipeline, exact=True).first.wait_for()


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
