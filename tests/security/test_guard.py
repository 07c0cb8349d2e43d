"""Who may pass the editor's guard: attacks over HTTP on the running server."""

import json

import pytest

from kly_mage.mage.client import API_KEY, EMAIL
from tests.security.conftest import Attacker

pytestmark = pytest.mark.mage

PIPELINE = json.dumps({'pipeline': {'name': 'made by a stranger', 'type': 'python'}})
JSON = 'application/json'


def pipelines(attacker: Attacker) -> str:
    return attacker.ask('/api/pipelines', X_API_KEY=API_KEY, OAUTH_TOKEN=attacker.token).text


@pytest.mark.parametrize(
    'host', ['evil.example', 'evil.example:{port}', '127.0.0.1', '127.0.0.1:1', 'localhost.:{port}', '']
)
def test_a_name_that_leads_here_but_is_not_ours_gets_nothing_even_with_the_cookie(attacker: Attacker, host: str) -> None:
    for path in ('/sign-in', '/pipelines', '/api/pipelines', '/api/statuses', '/fonts/x', '/websocket/'):
        answer = attacker.ask(path, Host=host.format(port=attacker.server.port), Cookie=attacker.cookie)
        assert answer.status == 421, path
        assert answer.headers['content-type'] == JSON


@pytest.mark.parametrize('name', ['127.0.0.1', 'localhost', 'LOCALHOST', '[::1]'])
def test_the_names_of_this_machine_are_ours(attacker: Attacker, name: str) -> None:
    host = f'{name}:{attacker.server.port}'
    assert attacker.ask('/pipelines', Host=host, Origin=f'http://{host}', Cookie=attacker.cookie).status == 200


FOREIGN = [
    'null',
    '',
    'http://evil.example',
    'http://127.0.0.1:1',
    'http://127.0.0.1',
    'https://127.0.0.1:{port}',
    '127.0.0.1',
]


@pytest.mark.parametrize('origin', FOREIGN)
@pytest.mark.parametrize('method', ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
def test_a_request_from_another_origin_is_refused_whatever_it_carries(attacker: Attacker, method: str, origin: str) -> None:
    before = pipelines(attacker)
    for path in ('/api/pipelines', '/sign-in', '/api/sessions', '/api/statuses'):
        answer = attacker.ask(
            path, method, PIPELINE, Origin=origin.format(port=attacker.server.port), Cookie=attacker.cookie,
            OAUTH_TOKEN=attacker.token, X_API_KEY=API_KEY, Content_Type='text/plain',
        )  # fmt: skip
        assert answer.status == 403, path
        assert 'access-control-allow-origin' not in answer.headers
    assert pipelines(attacker) == before


@pytest.mark.parametrize('path', ['/websocket/', '/websocket/terminal', '/event-streams/x'])
@pytest.mark.parametrize('origin', FOREIGN)
def test_a_socket_is_closed_to_another_origin(attacker: Attacker, path: str, origin: str) -> None:
    answer = attacker.ask(
        path, Origin=origin.format(port=attacker.server.port), Cookie=attacker.cookie, Upgrade='websocket',
        Connection='Upgrade', Sec_WebSocket_Version='13', Sec_WebSocket_Key='dGhlIHNhbXBsZSBub25jZQ==',
    )  # fmt: skip
    assert answer.status == 403


@pytest.mark.parametrize('path', ['/api/pipelines', f'/api/pipelines?api_key={API_KEY}'])
def test_the_cookie_alone_changes_nothing(attacker: Attacker, path: str) -> None:
    before = pipelines(attacker)
    for kind in ('text/plain', JSON, 'application/x-www-form-urlencoded'):
        body = json.dumps({'api_key': API_KEY, **json.loads(PIPELINE)})
        assert attacker.ask(path, 'POST', body, Cookie=attacker.cookie, Content_Type=kind).status == 401
        for site in ('cross-site', 'same-site'):  # another port of 127.0.0.1 is the same site
            headers = {'Cookie': attacker.cookie, 'Content_Type': kind, 'Sec_Fetch_Site': site}
            assert attacker.ask(path, 'POST', body, **headers).status == 403
    assert pipelines(attacker) == before


def test_our_own_page_may_do_with_the_cookie_what_it_is_for(attacker: Attacker) -> None:
    for proof in ({'Origin': attacker.server.url}, {'Sec_Fetch_Site': 'same-origin'}):
        answer = attacker.ask('/api/pipelines', 'OPTIONS', Cookie=attacker.cookie, **proof)
        assert answer.status not in (401, 403), proof


def test_another_site_may_link_to_a_page_but_not_load_or_frame_it(attacker: Attacker) -> None:
    link = {'Cookie': attacker.cookie, 'Sec_Fetch_Site': 'cross-site', 'Sec_Fetch_Mode': 'navigate'}
    answer = attacker.ask('/pipelines', Sec_Fetch_Dest='document', **link)
    assert answer.status == 200
    assert answer.headers['content-security-policy'] == "frame-ancestors 'self'"
    assert answer.headers['x-frame-options'] == 'SAMEORIGIN'
    assert attacker.ask('/pipelines', Sec_Fetch_Dest='iframe', **link).status == 403
    assert attacker.ask('/api/pipelines', Sec_Fetch_Dest='document', **link).status == 403
    assert attacker.ask('/pipelines', Cookie=attacker.cookie, Sec_Fetch_Site='cross-site').status == 403


def test_no_answer_may_be_read_by_another_site_or_taken_for_another_kind(attacker: Attacker) -> None:
    signed = {'X_API_KEY': API_KEY, 'OAUTH_TOKEN': attacker.token}
    for path in (
        '/api/pipelines',
        '/sign-in',
        '/api/statuses',
        '/favicon.ico',
        '/fonts/none',
        '/_next/static/none',
        '/none',
    ):
        for headers in ({}, signed):
            answer = attacker.ask(path, **headers)
            assert not [name for name in answer.headers if name.startswith('access-control-')], path
            assert answer.headers['x-content-type-options'] == 'nosniff'
            assert answer.headers['referrer-policy'] == 'same-origin'
            assert 'server' not in answer.headers


def test_whoever_is_not_signed_in_learns_neither_paths_nor_processes(attacker: Attacker) -> None:
    for path in ('/api/statuses', '/api/status', '/api/statuses?_format=with_activity_details'):
        answer = attacker.ask(path, X_API_KEY=API_KEY)
        [status] = json.loads(answer.text)['statuses']
        assert answer.status == 200
        assert set(status) == {'is_instance_manager', 'require_user_authentication', 'require_user_permissions'}
    assert 'repo_path' in attacker.ask('/api/statuses', X_API_KEY=API_KEY, OAUTH_TOKEN=attacker.token).text


def test_a_token_of_another_service_cannot_be_planted_and_opens_nothing(attacker: Attacker) -> None:
    planted = {'oauth': {'provider': 'github', 'token': 'planted', 'expires_in': 9999}}
    answer = attacker.ask('/api/oauths', 'POST', json.dumps(planted), X_API_KEY=API_KEY, Content_Type=JSON)
    assert answer.status == 401
    assert json.loads(attacker.ask('/api/oauths', X_API_KEY=API_KEY).text) == {'oauths': []}
    attacker.server.query(
        "with other as (insert into oauth2_application (client_id, client_type, name) values ('github', 'PRIVATE', 'github')"
        ' returning id) insert into oauth2_access_token (token, expires, user_id, oauth2_application_id)'
        ' select %s, now() + interval \'1 day\', "user".id, other.id from other, "user" limit 1',
        'planted',
        database='kly_mage',
    )
    for path, refused in (('/api/pipelines', 401), ('/api/event_matchers', 401), ('/websocket/', 401), ('/pipelines', 302)):
        assert attacker.ask(path, OAUTH_TOKEN='planted', X_API_KEY=API_KEY).status == refused


TRICKS = [
    '//api/pipelines', '/api//pipelines', '/api/../api/pipelines', '/./api/pipelines', '/%61pi/pipelines',
    '/api%2fpipelines', '/sign-in/../api/pipelines', '/sign-in%2f..%2fapi/pipelines', '/sign-in/', '/sign-in;/api/pipelines',
    '/api/sessions/', '/api/sessions/1', '/api/sessions%2f', '/api/statuses/', '/api/statuses/../pipelines',
    '/api/oauths/github', '/api/oauths/', '/fonts/../api/pipelines', '/fonts/%2e%2e/%2e%2e/server.py',
    '/_next/static/..%2f..%2f..%2fserver.py', '/images/....//server.py', '/monaco-editor/%2e%2e/index.html',
    '/api/pipelines/x/sessions', '/api/users/1/sessions', '/favicon.ico/../api/pipelines', '/metrics', '/event-streams/x',
    '/api/events', '/api/event_matchers/1', '/api/downloads/x', '/api/runs', '/api/runs/x', '/api/users',
    '/api/pipeline_schedules/1/api_trigger', '/api/pipeline_schedules/1/pipeline_runs/x', 'http://127.0.0.1/sign-in', '*',
    '/%00', '/sign-in%00', '/sign-in%0a', '/api/pipelines?token={token}', '/api/pipelines?HTTP_AUTHORIZATION={token}',
    '/websocket/?token={token}', '/api/pipelines/ads_revenue/block_outputs/load_gam_delivery/downloads?token=x',
]  # fmt: skip


@pytest.mark.parametrize('path', TRICKS)
@pytest.mark.parametrize('method', ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'])
def test_no_way_of_writing_a_path_leads_past_the_guard(attacker: Attacker, method: str, path: str) -> None:
    body = None if method in ('GET', 'HEAD') else '{}'
    answer = attacker.ask(path.format(token=attacker.token), method, body, X_API_KEY=API_KEY, Content_Type=JSON)
    assert answer.status == 302 or 400 <= answer.status < 500
    assert answer.headers.get('location') in (None, '/sign-in')
    for told in ('Traceback', str(attacker.server.folder), '.py', 'mage_ai'):
        assert told not in answer.text.replace('server.py', '')


def test_an_api_triggers_token_opens_its_address_alone_and_its_errors_tell_nothing(attacker: Attacker) -> None:
    [(number,)] = attacker.server.query(
        'insert into pipeline_schedule (name, pipeline_uuid, schedule_type, status, token)'
        " values ('called from outside', 'gone', 'API', 'ACTIVE', 'itsowntoken') returning id",
        database='kly_mage',
    )
    address = f'/api/pipeline_schedules/{number}'
    for path, headers in (
        (f'{address}/pipeline_runs/itsowntoken', {}),
        (f'{address}/api_trigger', {'Authorization': 'Bearer itsowntoken'}),
    ):
        answer = attacker.ask(path, 'POST', '{}', Content_Type=JSON, **headers)
        assert answer.status == 500
        assert json.loads(answer.text)['error']['message'] == 'This does not work; the log of the server says why.'
    for path in (f'{address}/pipeline_runs/another', '/api/pipelines', f'{address}/api_trigger/', '/pipelines'):
        answer = attacker.ask(path, 'POST', '{}', Content_Type=JSON, Authorization='Bearer itsowntoken')
        assert answer.status == 401, path


def test_a_body_too_long_for_a_password_is_not_read(attacker: Attacker) -> None:
    for path in ('/api/sessions', '/api/pipelines'):
        answer = attacker.ask(path, 'POST', b'{}', Content_Length=str(10**8), Content_Type=JSON)
        assert answer.status == 400


def test_signing_out_closes_the_door(attacker: Attacker) -> None:
    signed = json.loads(attacker.sign_in({'email': EMAIL, 'password': attacker.server.password}).text)['session']['token']
    cookie = f'oauth_token={signed}'
    assert attacker.ask('/pipelines', Cookie=cookie).status == 200
    attacker.server.query(
        "update oauth2_access_token set expires = now() - interval '1 second' where id = (select max(id) from"
        ' oauth2_access_token)',
        database='kly_mage',
    )
    assert attacker.ask('/pipelines', Cookie=cookie).status == 302
