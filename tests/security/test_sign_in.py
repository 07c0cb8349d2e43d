"""Signing in: what is no way in, what an attacker can find out, and that the owner gets in all the same."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from kly_mage.mage.client import API_KEY, EMAIL
from kly_mage.mage.sign_in import FAILURES, NOBODY, SECONDS, Attempts
from tests.mage.server import wait_for
from tests.security.conftest import Attacker

JSON = 'application/json'
STRANGER = 'stranger@example.org'

NO_PASSWORD = [
    {'token': 'x', 'provider': 'nosuch', 'email': EMAIL},
    {'token': 'x', 'provider': 'nosuch', 'email': STRANGER},
    {'token': 'x', 'provider': 'google', 'email': EMAIL},
    {'token': 'x', 'provider': 'nosuch', 'email': EMAIL, 'password': '{password}'},
    {'email': EMAIL, 'password': '{password}', 'roles': 1},
    {'email': EMAIL, 'username': 'admin', 'password': '{password}'},
    {'email': EMAIL},
    {'password': '{password}'},
    {'email': EMAIL, 'password': ''},
    {'email': EMAIL, 'password': None},
    {'email': EMAIL, 'password': ['{password}']},
    {'email': {'like': '%'}, 'password': '{password}'},
    {'email': [EMAIL], 'password': '{password}'},
    {'email': f'{EMAIL}\0', 'password': '{password}'},
    {},
]


def users(attacker: Attacker) -> list[tuple[object, ...]]:
    return attacker.server.query('select email, username from "user"', database='kly_mage')


@pytest.mark.mage
@pytest.mark.parametrize('session', NO_PASSWORD)
def test_only_a_name_and_a_password_sign_anybody_in(attacker: Attacker, session: dict[str, object]) -> None:
    known = users(attacker)
    filled = json.loads(json.dumps(session).replace('{password}', attacker.server.password))
    for headers in ({}, {'X_API_KEY': API_KEY}, {'Origin': attacker.server.url, 'X_API_KEY': API_KEY}):
        answer = attacker.sign_in(filled, **headers)
        assert answer.status == 400, answer.text
        assert 'session' not in json.loads(answer.text)
    assert users(attacker) == known


@pytest.mark.mage
@pytest.mark.parametrize(
    'kind', ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=b', 'text/plain', '', 'application/json-x']
)
def test_no_other_kind_of_body_signs_anybody_in(attacker: Attacker, kind: str) -> None:
    body = json.dumps({'session': {'email': EMAIL, 'password': attacker.server.password}})
    forms = [body, f'session={body}', f'session[email]={EMAIL}&session[token]=x&session[provider]=nosuch&token=x']
    if kind.startswith('multipart'):
        forms = [f'--b\r\nContent-Disposition: form-data; name="json_root_body"\r\n\r\n{body}\r\n--b--\r\n']
    for form in forms:
        assert attacker.ask('/api/sessions', 'POST', form, X_API_KEY=API_KEY, Content_Type=kind).status == 415


@pytest.mark.mage
def test_nothing_in_the_address_or_beside_the_session_counts(attacker: Attacker) -> None:
    right = {'session': {'email': EMAIL, 'password': attacker.server.password}}
    for query in ('token=x&provider=nosuch', 'session[provider]=nosuch', '_method=PUT'):
        answer = attacker.ask(f'/api/sessions?{query}', 'POST', json.dumps(right), Content_Type=JSON)
        assert answer.status == 415, query
    for body in ({**right, 'user': {'email': STRANGER}}, [right], 'x', None, {'session': [right]}):
        answer = attacker.ask('/api/sessions', 'POST', json.dumps(body), Content_Type=JSON)
        assert answer.status == 400, body
    for text in ('', '{', '\xff', '{"session": ' * 2000):
        assert attacker.ask('/api/sessions', 'POST', text.encode('latin-1'), Content_Type=JSON).status == 400


@pytest.mark.mage
def test_the_user_name_signs_in_too(attacker: Attacker) -> None:
    answer = attacker.sign_in({'username': 'admin', 'password': attacker.server.password})
    assert json.loads(answer.text)['session']['user']['username'] == 'admin'


@pytest.mark.mage
def test_an_unknown_user_is_answered_like_a_wrong_password_and_as_late(attacker: Attacker) -> None:
    took: dict[str, list[float]] = {EMAIL: [], STRANGER: []}
    answers = []
    for email in (EMAIL, STRANGER, EMAIL, STRANGER):
        start = time.monotonic()
        answers.append(attacker.sign_in({'email': email, 'password': 'wrong'}))
        took[email].append(time.monotonic() - start)
    assert {(answer.status, answer.text) for answer in answers} == {(401, answers[0].text)}
    ((hashed,),) = attacker.server.query('select password_hash from "user" where email = %s', EMAIL, database='kly_mage')
    assert hashed[:7] == NOBODY[:7]  # the same work, and it is done: without bcrypt it is a hundredth of the time
    assert 0.5 < min(took[STRANGER]) / min(took[EMAIL]) < 2


@pytest.mark.mage
def test_guessing_is_bounded_stops_nobody_else_and_does_not_lock_a_known_browser_out(attacker: Attacker) -> None:
    right = {'email': EMAIL, 'password': attacker.server.password}
    cookie = attacker.sign_in(right).headers['set-cookie']
    assert all(flag in cookie for flag in ('HttpOnly', 'SameSite=Strict', 'Path=/api/sessions'))
    with ThreadPoolExecutor(20) as threads:
        guesses = [
            threads.submit(attacker.sign_in, {'email': EMAIL, 'password': f'guess {number}'})
            for number in range(FAILURES['account'] + 5)
        ]
        # Many seconds of work: what is asked meanwhile is answered before its end, however busy the machine is.
        others = [threads.submit(attacker.sign_in, {'email': f'{number}@x.com', 'password': 'x'}) for number in range(10)]
        wait_for(lambda: any(guess.done() for guess in guesses), 60, 'the first refusal')  # the others are being checked
        # On the event loop, this would be answered behind the guesses.
        assert attacker.ask('/api/statuses').status == 200
        assert attacker.sign_in(right).status == 429  # whoever asks from a new browser waits
        assert attacker.sign_in(right, Cookie='kly_device=x.y.z').status == 429
        assert attacker.sign_in(right, Cookie=attacker.cookie.replace('oauth_token', 'kly_device')).status == 429
        assert not all(guess.done() for guess in guesses + others)
        assert attacker.sign_in(right, Cookie=cookie.partition(';')[0]).status == 200
        answers = [guess.result() for guess in guesses]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 5
    assert all(0 < int(answer.headers['retry-after']) <= SECONDS for answer in refused)
    assert 'Too many wrong passwords; try again in' in refused[0].text


def test_a_lock_ends_by_itself_and_refused_attempts_do_not_lengthen_it() -> None:
    ticks = count()
    attempts = Attempts(clock=lambda: float(next(ticks)))  # a second passes with every look at the clock
    keys = (('account', 1), ('address', '127.0.0.1'))
    for _ in range(FAILURES['account']):
        assert attempts.begin(keys) == 0
    waited = [attempts.begin(keys) for _ in range(SECONDS)]
    assert 0 < waited[0] <= SECONDS
    assert waited[-1] == 0


def test_one_address_cannot_go_through_all_accounts() -> None:
    attempts = Attempts()
    accounts = [attempts.begin((('account', number), ('address', '192.0.2.1'))) for number in range(FAILURES['address'] + 1)]
    assert accounts[:-1] == [0] * FAILURES['address']
    assert accounts[-1] > 0
    assert attempts.begin((('account', 0), ('address', '192.0.2.2'))) == 0


def test_signing_in_does_not_count_as_an_attempt() -> None:
    attempts, keys = Attempts(), (('account', 1), ('address', '127.0.0.1'))
    for _ in range(3 * FAILURES['address']):
        assert attempts.begin(keys) == 0
        attempts.succeeded(keys)
