"""Who may pass the dashboard's guard: over HTTP on the running server, as any user of the machine could."""

import re
from urllib.parse import urlencode

import jwt
import pytest

from kly_mage.dashboard.guard import MOST_SESSIONS, SESSION_SECONDS, Door
from kly_mage.mage.devices import DEVICE
from kly_mage.mage.hosts import own_hosts
from tests.dashboard.conftest import PASSWORD, Dashboard
from tests.security.conftest import Answer, Attacker

pytestmark = pytest.mark.one_version

SOCKET = {
    'Upgrade': 'websocket',
    'Connection': 'Upgrade',
    'Sec_WebSocket_Version': '13',
    'Sec_WebSocket_Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}
PAGES = ['/', '/articles', '/health', '/articles?article=1', '/proof?day=2025-10-01', '/anything']
FILES = [
    '/index.html',
    '/favicon.png',
    '/static/js/index.js',
    '/_stcore/health',
    '/healthz',
    '/_stcore/host-config',
    '/_stcore/metrics',
    '/_stcore/stream',
    '/media/x.csv',
    '/component/x/y',
    '/_stcore/upload_file/a/b',
]


def asset(visitor: Attacker) -> str:
    """A script of the page, which there really is."""
    page = visitor.ask('/', Cookie=visitor.cookie).text
    found = re.search(r'src="\./(static/js/index[^"]+)"', page)
    assert found, page
    return '/' + found[1]


def sign_in(visitor: Attacker, password: str, path: str = '/sign-in', **headers: str) -> Answer:
    """Send the form of the sign-in page."""
    origin = {'Origin': visitor.server.url} | headers
    body = urlencode({'password': password})
    return visitor.ask(path, 'POST', body, Content_Type='application/x-www-form-urlencoded', **origin)


@pytest.mark.parametrize('cookie', ['', 'kly_dashboard_{port}=', 'kly_dashboard_{port}=guess', 'kly_dashboard_1={session}'])
def test_nobody_gets_anything_without_having_signed_in(visitor: Attacker, cookie: str) -> None:
    given = cookie.format(port=visitor.server.port, session=visitor.cookie.partition('=')[2])
    for path in PAGES:
        answer = visitor.ask(path, Cookie=given)
        assert (answer.status, answer.headers['location'].split('?')[0]) == (302, '/sign-in'), path
    for path in [*FILES, asset(visitor)]:
        assert visitor.ask(path, Cookie=given).status in (302, 401), path
        assert 'Streamlit' not in visitor.ask(path, Cookie=given).text
    assert visitor.ask('/_stcore/stream', Origin=visitor.server.url, Cookie=given, **SOCKET).status == 401


def test_who_has_signed_in_gets_page_script_and_socket(visitor: Attacker) -> None:
    for path in ('/', '/articles', '/_stcore/health', asset(visitor)):
        assert visitor.ask(path, Cookie=visitor.cookie).status == 200, path
    assert visitor.ask('/_stcore/stream', Origin=visitor.server.url, Cookie=visitor.cookie, **SOCKET).status == 101


def test_the_socket_is_closed_to_pages_of_others_and_to_who_names_no_page(visitor: Attacker) -> None:
    for origin in ('null', '', 'http://evil.example', 'http://127.0.0.1:1', f'https://127.0.0.1:{visitor.server.port}'):
        answer = visitor.ask('/_stcore/stream', Origin=origin, Cookie=visitor.cookie, **SOCKET)
        assert answer.status == 403, origin
    assert visitor.ask('/_stcore/stream', Cookie=visitor.cookie, **SOCKET).status == 403


@pytest.mark.parametrize('host', ['evil.example', 'evil.example:{port}', '127.0.0.1', '127.0.0.1:1', ''])
def test_a_name_that_leads_here_but_is_not_ours_gets_nothing(visitor: Attacker, host: str) -> None:
    for path in ('/', '/sign-in', f'/?token={visitor.server.token}', '/_stcore/health'):
        answer = visitor.ask(path, Host=host.format(port=visitor.server.port), Cookie=visitor.cookie)
        assert answer.status == 421, path
        assert 'set-cookie' not in answer.headers


def test_a_page_of_another_site_may_link_to_a_page_and_nothing_else(visitor: Attacker) -> None:
    link = {'Sec_Fetch_Site': 'cross-site', 'Sec_Fetch_Mode': 'navigate', 'Sec_Fetch_Dest': 'document'}
    assert visitor.ask('/articles', Cookie=visitor.cookie, **link).status == 200
    # A browser leaves the strict cookie out then: the page asks once more by itself, and shows nothing.
    answer = visitor.ask('/articles', **link)
    assert answer.status == 200
    assert 'http-equiv="refresh"' in answer.text
    for dest in ('iframe', 'script', 'image'):
        other = link | {'Sec_Fetch_Dest': dest, 'Sec_Fetch_Mode': 'no-cors'}
        assert visitor.ask('/articles', Cookie=visitor.cookie, **other).status == 403, dest


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
def test_the_dashboard_takes_nothing(visitor: Attacker, method: str) -> None:
    for path in ('/', '/_stcore/upload_file/a/b', '/media/x', '/articles'):
        assert visitor.ask(path, method, b'x', Cookie=visitor.cookie, Origin=visitor.server.url).status == 405, path
        assert visitor.ask(path, method, b'x', Cookie=visitor.cookie).status == 403, path


def test_the_password_of_the_editor_opens_it_and_leads_to_the_page_that_was_asked_for(visitor: Attacker) -> None:
    asked = visitor.ask('/articles?from=2025-10-01&search=a%26b')
    answer = sign_in(visitor, PASSWORD, asked.headers['location'])
    assert (answer.status, answer.headers['location']) == (303, '/articles?from=2025-10-01&search=a%26b')
    cookie = answer.headers['set-cookie']
    assert 'HttpOnly' in cookie
    assert 'SameSite=Strict' in cookie
    assert visitor.ask('/', Cookie=cookie.partition(';')[0]).status == 200


@pytest.mark.parametrize(
    'place', ['//evil.example/', '/\\evil.example', 'https://evil.example', '\\\\evil.example', '/%0d%0aX:y']
)
def test_signing_in_leads_to_no_other_server(visitor: Attacker, place: str) -> None:
    answer = sign_in(visitor, PASSWORD, '/sign-in?' + urlencode({'next': place}))
    assert re.fullmatch(r'/(?![/\\]).*|/', answer.headers['location'])
    with_token = visitor.ask(f'//evil.example/?token={visitor.server.token}')
    assert with_token.headers['location'] == '/evil.example/'


def test_a_token_leaves_the_address_and_opens_nothing_if_it_is_wrong(visitor: Attacker) -> None:
    answer = visitor.ask(f'/articles?from=2025-10-01&token={visitor.server.token}')
    assert (answer.status, answer.headers['location']) == (303, '/articles?from=2025-10-01')
    for token in ('', 'x', visitor.server.token[:-1], visitor.server.token + 'x', '%ff'):
        wrong = visitor.ask(f'/?token={token}')
        assert (wrong.status, 'set-cookie' in wrong.headers) == (401, False), token


def test_signing_out_ends_the_session_and_takes_a_click(visitor: Attacker) -> None:
    cookie = sign_in(visitor, PASSWORD).headers['set-cookie'].partition(';')[0]
    assert visitor.ask('/sign-out', Cookie=cookie).status == 200
    assert visitor.ask('/', Cookie=cookie).status == 200
    assert visitor.ask('/sign-out', 'POST', b'', Cookie=cookie, Origin=visitor.server.url).status == 303
    assert visitor.ask('/', Cookie=cookie).status == 302


def test_every_answer_says_that_nothing_comes_from_elsewhere_and_that_nobody_may_frame_it(visitor: Attacker) -> None:
    for path in ('/', '/sign-in', '/_stcore/health', asset(visitor)):
        headers = visitor.ask(path, Cookie=visitor.cookie).headers
        assert "default-src 'self'" in headers['content-security-policy'], path
        assert "frame-ancestors 'self'" in headers['content-security-policy']
        assert 'access-control-allow-origin' not in headers
        assert 'server' not in headers


def test_wrong_passwords_are_counted_and_the_lock_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr('kly_mage.dashboard.guard.time.time', lambda: now[0])
    door = Door(own_hosts(1), 'right', 'token', 'cookie')
    assert [door.opens_with(given, door.password) for given in ('right', 'wrong', '')] == [True, False, False]
    assert not door.opens_with('', None)
    session = door.new_session()
    assert (door.knows(session), door.knows(''), door.knows(session + 'x')) == (True, False, False)
    now[0] += SESSION_SECONDS
    assert not door.knows(session)
    for _ in range(MOST_SESSIONS + 5):
        door.new_session()
    assert len(door.sessions) == MOST_SESSIONS


def test_a_sixth_wrong_password_within_a_minute_has_to_wait_but_no_browser_that_was_let_in_before(
    dashboard: Dashboard,
) -> None:
    """Last, because everybody waits then."""
    visitor = Attacker(dashboard, '', '')  # type: ignore[arg-type]
    device, session = sign_in(visitor, PASSWORD).cookies
    assert all(flag in device for flag in ('HttpOnly', 'SameSite=Strict', 'Path=/sign-in'))
    device, session = (cookie.partition(';')[0] for cookie in (device, session))
    by_token = next(cookie for cookie in visitor.ask(f'/?token={dashboard.token}').cookies if 'device' in cookie)
    answers = [sign_in(visitor, f'guess {n}') for n in range(6)]
    assert [answer.status for answer in answers] == [401] * 5 + [429]
    assert 0 < int(answers[-1].headers['retry-after']) <= 60
    name, _, signed = device.partition('=')
    of_mage = jwt.encode({'aud': DEVICE, 'user': 1, 'device': 'x'}, 'a secret that only the editor has to itself', 'HS256')
    said, _, signature = signed.rpartition('.')
    forged = f'{said}.{"B" if signature[0] == "A" else "A"}{signature[1:]}'  # all bits of the first letter count
    for unknown in ('', session, f'{name}=x.y.z', f'{name}={of_mage}', f'{name}={forged}', f'kly_device={signed}'):
        assert sign_in(visitor, PASSWORD, Cookie=unknown).status == 429, unknown
    # A known browser has five attempts of its own; those of another one are not its.
    assert [sign_in(visitor, f'guess {n}', Cookie=device).status for n in range(6)] == [401] * 5 + [429]
    assert sign_in(visitor, PASSWORD, Cookie=device).status == 429
    assert sign_in(visitor, PASSWORD, Cookie=by_token.partition(';')[0]).status == 303
