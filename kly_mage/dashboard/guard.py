"""Who may pass: every request to Streamlit's server is looked at here first: pages, files, health and the socket.

Streamlit 1.56 knows nobody: whoever reaches its port sees every page, and a port of 127.0.0.1 is open to every user of the
machine. In here comes who sends the cookie of somebody signed in: with the editor's password, or with the token of this
start, which stands in the address that ``make dashboard`` prints.
"""

import hashlib
import hmac
import math
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import tornado.httputil
import tornado.template
import tornado.web

from kly_mage.dashboard import streamlit_page
from kly_mage.mage import devices
from kly_mage.mage.answering import Answer, answer_first, cookie
from kly_mage.mage.guard import UNSIGNED_BYTES, OwnHeaders
from kly_mage.mage.hosts import VARIABLE, Hosts, foreign
from kly_mage.mage.sign_in import Attempts

TOKEN = 'token'  # noqa: S105 -- the name of a parameter
NEXT = 'next'  # the page to go to once signed in
SIGN_IN, SIGN_OUT = '/sign-in', '/sign-out'
SESSION_SECONDS = 12 * 3600
MOST_SESSIONS = 1000
_READING = ('GET', 'HEAD')
_WHO = 'dashboard'  # whoever signs in: there is one password
# Streamlit's page has scripts and styles inline, and charts' expressions are compiled; nothing comes from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_PAGE = tornado.template.Template(Path(__file__).with_name('sign_in.html').read_text('utf-8'))


@dataclass
class Door:
    """What lets somebody in, and who is in.

    Attributes:
        here: the server's own addresses.
        password: the editor's; None if there is none.
        token: of this start.
        cookie: its name; cookies do not tell ports apart.
        secret: signs the cookies of browsers that are known.
    """

    here: Hosts
    password: str | None
    token: str
    cookie: str
    secret: str = field(default_factory=secrets.token_urlsafe)
    attempts: Attempts = field(default_factory=Attempts)
    sessions: dict[bytes, float] = field(default_factory=dict)

    def opens_with(self, given: str, wanted: str | None) -> bool:
        """Compare a secret in the same time whatever is given; none opens nothing."""
        return hmac.compare_digest(_digest(given), _digest(wanted or secrets.token_urlsafe())) and bool(wanted)

    def new_session(self) -> str:
        """Let somebody in; gives what his cookie holds."""
        now, session = time.time(), secrets.token_urlsafe(32)
        self.sessions = {known: until for known, until in self.sessions.items() if until > now}
        if len(self.sessions) >= MOST_SESSIONS:
            del self.sessions[min(self.sessions, key=self.sessions.__getitem__)]
        self.sessions[_digest(session)] = now + SESSION_SECONDS
        return session

    def knows(self, session: str) -> bool:
        """Is this what the cookie of somebody holds who is in?"""
        return self.sessions.get(_digest(session), 0) > time.time()

    def forget(self, session: str) -> None:
        """Let him out."""
        self.sessions.pop(_digest(session), None)


def guard(application: tornado.web.Application, door: Door) -> tornado.web.Application:
    """Let only those in who come to one of our addresses, from our own pages if from a page, and are signed in."""
    application.transforms.insert(0, Headers)  # before what packs the answers
    answer_first(application, lambda request: _answer(request, door), UNSIGNED_BYTES)
    return application


def _answer(request: tornado.httputil.HTTPServerRequest, door: Door) -> Answer | None:
    """The handler that answers instead of Streamlit's, with its arguments; None if Streamlit may."""
    reads, path = request.method in _READING, request.path
    if request.headers.get('Host', '').lower() not in door.here.names:
        return Refusal, {'status': 421, 'message': f'The dashboard is not at this address; {VARIABLE} lists where it is.'}
    socket = request.headers.get('Upgrade', '').lower() == 'websocket'
    # No page that another site may link to has an effect: the token lets in, and that is all.
    if foreign(request.headers, door.here, may_be_linked=reads and not socket and not path.startswith('/_stcore')):
        return Refusal, {'status': 403, 'message': 'This request comes from another site.'}
    if (socket or not reads) and 'Origin' not in request.headers:
        return Refusal, {'status': 403, 'message': 'Only the pages of the dashboard may send this.'}
    if path == SIGN_IN:
        return SignIn, {'door': door}
    if reads and TOKEN in request.query_arguments:
        return WithToken, {'door': door}
    if not any(map(door.knows, _sessions(request, door))):
        if reads and not socket and '.' not in path and not path.startswith(('/_stcore', '/media', '/component', '/static')):
            from_elsewhere = request.headers.get('Sec-Fetch-Site') in ('cross-site', 'same-site')
            return (Again if from_elsewhere else ToSignIn), {}
        return Refusal, {'status': 401, 'message': 'Sign in first.'}
    if path == SIGN_OUT:
        return SignOut, {'door': door}
    if not reads:
        return Refusal, {'status': 405, 'message': 'The dashboard takes nothing.'}
    if (script := streamlit_page.script()) and path == script[0]:
        return streamlit_page.Script, {}
    return None


def _sessions(request: tornado.httputil.HTTPServerRequest, door: Door) -> list[str]:
    session = cookie(request, door.cookie)
    return [] if session is None else [session]


def _own_page(place: str) -> str:
    """A place on this server, whatever is asked for: ``//x`` and ``/\\x`` are other servers to a browser."""
    return '/' + place.lstrip('/\\') if place.isprintable() else '/'


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode('utf-8', 'surrogatepass')).digest()


class _Asking(tornado.web.RequestHandler):
    """One of the few pages that are ours."""

    def initialize(self, door: Door) -> None:
        """Args: door, what lets somebody in."""
        self.door = door

    def check_xsrf_cookie(self) -> None:
        """The guard has looked at the origin."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """No traceback, whatever went wrong."""
        self.finish(f'{status_code}')

    def let_in(self, place: str) -> None:
        """Give a cookie, and lead to a page."""
        devices.remember(self, _WHO, self.door.secret, SIGN_IN, self.device(), self.device_cookie)
        secure = self.request.headers.get('Origin', '').startswith('https://')
        self.set_cookie(self.door.cookie, self.door.new_session(), httponly=True, samesite='Strict', secure=secure)
        self.set_header('Cache-Control', 'no-store')
        self.redirect(place, status=303)

    def device(self) -> str | None:
        """The name of this browser, if it has been let in before."""
        return devices.known(self, _WHO, self.door.secret, self.device_cookie)

    @property
    def device_cookie(self) -> str:
        """What its cookie is called."""
        return f'{self.door.cookie}_device'

    def show(self, message: str = '', *, leaves: bool = False) -> None:
        """The page with a password's field, or with the button to sign out."""
        self.set_header('Cache-Control', 'no-store')
        self.finish(
            _PAGE.generate(message=message, leaves=leaves, password=self.door.password is not None, query=self.request.query)
        )


class SignIn(_Asking):
    """``/sign-in``."""

    def get(self) -> None:
        """Ask for the password."""
        self.show()

    head = get

    def post(self) -> None:
        """Let in who knows it."""
        keys = devices.counted_as(self.device(), _WHO, self.request.remote_ip)
        given = self.get_body_argument('password', '', strip=False)
        if wait := self.door.attempts.begin(keys):
            self.set_status(429)
            self.set_header('Retry-After', str(math.ceil(wait)))
            self.show(f'Too many wrong passwords; try again in {math.ceil(wait)} seconds.')
        elif self.door.opens_with(given, self.door.password):
            self.door.attempts.succeeded(keys)
            self.let_in(_own_page(self.get_query_argument(NEXT, '/')))
        else:
            self.set_status(401)
            self.show('The password is wrong.')


class WithToken(_Asking):
    """The address that ``make dashboard`` prints: the page without the token, for who has it."""

    def get(self) -> None:
        """The token does not stay in the address bar."""
        arguments = self.request.query_arguments
        if not self.door.opens_with(arguments[TOKEN][-1].decode('utf-8', 'replace'), self.door.token):
            self.set_status(401)
            self.show('The token in this address is of another start: use the address printed last, or the password.')
            return
        rest = urlencode([(name, value) for name, values in arguments.items() if name != TOKEN for value in values])
        self.let_in(_own_page(self.request.path) + (f'?{rest}' if rest else ''))

    head = get


class SignOut(_Asking):
    """``/sign-out``."""

    def get(self) -> None:
        """Ask whether he means it: another site may have a link to this page."""
        self.show(leaves=True)

    head = get

    def post(self) -> None:
        """Let him out."""
        self.door.forget(self.get_cookie(self.door.cookie) or '')
        self.clear_cookie(self.door.cookie)
        self.redirect(SIGN_IN, status=303)


class ToSignIn(tornado.web.RequestHandler):
    """The way to the sign-in page, for a page, and back."""

    def prepare(self) -> None:
        """Send it, to GET and HEAD alike."""
        self.redirect(f'{SIGN_IN}?{urlencode({NEXT: self.request.uri})}')


class Again(tornado.web.RequestHandler):
    """The same page once more: a browser sends no strict cookie along a link of another site, but along ours."""

    def prepare(self) -> None:
        """Have the browser ask by itself."""
        self.finish('<!doctype html><html lang="en"><title>kly_mage</title><meta http-equiv="refresh" content="0">')


class Refusal(tornado.web.RequestHandler):
    """A refusal, whatever the method."""

    def initialize(self, status: int, message: str) -> None:
        """Args: status and message, what is sent."""
        self.answer = status, message

    def prepare(self) -> None:
        """Send it as text."""
        self.set_status(self.answer[0])
        self.set_header('Content-Type', 'text/plain; charset=utf-8')
        self.finish(self.answer[1])


class Headers(OwnHeaders):
    """What the editor's answers say, and that nothing comes from elsewhere; Streamlit's page is corrected."""

    def transform_first_chunk(
        self, status_code: int, headers: tornado.httputil.HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, tornado.httputil.HTTPHeaders, bytes]:
        """Add the policy, and to Streamlit's page our scripts."""
        status_code, headers, chunk = super().transform_first_chunk(status_code, headers, chunk, finishing)
        headers['Content-Security-Policy'] = POLICY
        if headers.get('Content-Type', '').startswith('text/html'):
            was, chunk = len(chunk), streamlit_page.corrected(chunk)
            if 'Content-Length' in headers:
                headers['Content-Length'] = str(int(headers['Content-Length']) + len(chunk) - was)
        return status_code, headers, chunk
