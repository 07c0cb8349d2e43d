"""Signing in: an e-mail address or a user name, a password, and nothing else.

Stands before ``mage_ai/api/resources/SessionResource.py: create`` (0.9.80), which believes the e-mail address in the body
when ``provider`` is one it does not know, checks passwords on the event loop, and answers at once for unknown users.
"""

import asyncio
import http
import json
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tornado.web

from kly_mage.mage import devices
from kly_mage.mage.devices import Keys
from kly_mage.mage.hosts import Hosts

FAILURES = {'account': 5, 'address': 20, 'device': 5}
"""How many wrong passwords a minute one account, one address, one known device may send."""
SECONDS = 60
NOBODY = '$2b$14$' + 53 * '.'
"""What is compared where there is no user: no password has this hash, and it costs what Mage's own cost (2 ** 14)."""


class Attempts:
    """Attempts of the last minute that have not succeeded; refused ones do not count, so a lock ends by itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, Keys]] = deque()
        self._counts: Counter[Hashable] = Counter()

    def begin(self, keys: Keys) -> float:
        """Note an attempt under keys such as ``('address', '127.0.0.1')``; or give the seconds to wait instead.

        It is noted before it is checked: attempts side by side count too.
        """
        now = self._clock()
        while self._recent and self._recent[0][0] <= now - SECONDS:
            self._counts.subtract(self._recent.popleft()[1])
        self._counts = +self._counts
        if full := {key for key in keys if self._counts[key] >= FAILURES[key[0]]}:
            return next(when for when, noted in self._recent if full.intersection(noted)) + SECONDS - now
        self._recent.append((now, keys))
        self._counts.update(keys)
        return 0

    def succeeded(self, keys: Keys) -> None:
        """Take one attempt under these keys back."""
        for position, (_, noted) in enumerate(self._recent):
            if noted == keys:
                del self._recent[position]
                self._counts.subtract(keys)
                return


class SignInError(Exception):
    """An attempt that is not let in, with the status and the sentence that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class SignIn(tornado.web.RequestHandler):
    """``POST /api/sessions``."""

    attempts = Attempts()
    threads = ThreadPoolExecutor(2, 'password')

    def initialize(self, here: Hosts) -> None:
        """Args: here, the server's own addresses."""
        self.here = here

    async def post(self) -> None:
        """Answer with a session as Mage does, or with one sentence."""
        try:
            name, value, password = self._asked()
            self.finish(await self._session(name, value, password))
        except SignInError as refused:
            # Mage's page shows a message only if it comes as Mage sends it, with status 200; a browser names its page.
            shown = refused.status in (401, 429) and 'Origin' in self.request.headers
            self.set_status(200 if shown else refused.status)
            self.set_header('Content-Type', 'application/json')
            self.finish(json.dumps(error(refused.status, refused.message)))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """No traceback, whatever went wrong; it stands in the server's log."""
        self.set_header('Content-Type', 'application/json')
        self.finish(json.dumps(error(status_code, 'Signing in does not work now; see the log of the server.')))

    def _asked(self) -> tuple[str, str, str]:
        """``email`` or ``username``, its value, and the password."""
        kind = self.request.headers.get('Content-Type', '').partition(';')[0].strip().lower()
        if kind != 'application/json' or self.request.query_arguments.keys() - {'api_key'}:
            raise SignInError(415, 'Sign in with a JSON body.')
        try:
            body = json.loads(self.request.body)
        except (ValueError, RecursionError):
            body = None
        session = body.get('session') if isinstance(body, dict) and body.keys() <= {'session', 'api_key'} else None
        session = session if isinstance(session, dict) else {}
        for name in ('email', 'username'):
            # bcrypt takes no NUL, and PostgreSQL neither.
            if session.keys() == {name, 'password'} and all(
                isinstance(value, str) and value and '\0' not in value for value in session.values()
            ):
                return name, session[name], session['password']
        raise SignInError(400, 'Sign in with an e-mail address or a user name, and a password; nothing else counts.')

    async def _session(self, name: str, value: str, password: str) -> str:
        from mage_ai.orchestration.db.models.oauth import User
        from mage_ai.settings import JWT_SECRET

        found = _user(name, value)
        account = found.id if found else value.casefold()
        device = devices.known(self, found.id, JWT_SECRET) if found else None
        keys = devices.counted_as(device, account, self.request.remote_ip)
        if wait := self.attempts.begin(keys):
            self.set_header('Retry-After', str(math.ceil(wait)))
            raise SignInError(429, f'Too many wrong passwords; try again in {math.ceil(wait)} seconds.')
        hashed = found.password_hash if found and found.password_hash else NOBODY
        if not await asyncio.get_running_loop().run_in_executor(self.threads, _matches, password, hashed):
            raise SignInError(401, 'The e-mail address or the password is wrong.')
        self.attempts.succeeded(keys)
        return await self._present(User.query.get(account), device)

    async def _present(self, user: Any, device: str | None) -> str:
        """What Mage answers; its page keeps the token and the user."""
        from mage_ai.api.presenters.SessionPresenter import SessionPresenter
        from mage_ai.api.resources.SessionResource import SessionResource
        from mage_ai.authentication.oauth2 import generate_access_token
        from mage_ai.orchestration.db.models.oauth import Oauth2Application
        from mage_ai.settings import JWT_SECRET, OAUTH2_APPLICATION_CLIENT_ID
        from mage_ai.shared.parsers import encode_complex

        application = Oauth2Application.query.filter(Oauth2Application.client_id == OAUTH2_APPLICATION_CLIENT_ID).first()
        token = generate_access_token(user, application)
        shown = await SessionPresenter.present_resource(SessionResource(token, user), user)
        devices.remember(self, user.id, JWT_SECRET, '/api/sessions', device)
        self.set_header('Content-Type', 'application/json')
        return json.dumps({'session': shown}, default=encode_complex)


def error(status: int, message: str) -> dict[str, Any]:
    """An error in the form Mage's pages read."""
    kind = http.HTTPStatus(status).phrase.lower().replace(' ', '_')
    return {'error': {'code': status, 'type': kind, 'message': message}, 'status': status}


def signed_in(token: str) -> bool:
    """Is this the token of somebody who has signed in here, and not signed out?

    Mage keeps tokens of other services in the same table (``OauthResource.create``): those do not count.
    """
    from mage_ai.orchestration.db import safe_db_query
    from mage_ai.orchestration.db.models.oauth import Oauth2AccessToken
    from mage_ai.settings import OAUTH2_APPLICATION_CLIENT_ID

    @safe_db_query  # type: ignore[untyped-decorator]
    def look() -> bool:
        found = Oauth2AccessToken.query.filter(Oauth2AccessToken.token == token).first()
        own = found and found.oauth2_application and found.oauth2_application.client_id == OAUTH2_APPLICATION_CLIENT_ID
        return bool(own and found.is_valid())

    return bool(look())


def inside(signed: str) -> str:
    """The token in the cookie that Mage's sign-in page sets; empty if Mage did not sign it."""
    import jwt
    from mage_ai.authentication.oauth2 import decode_token

    try:
        return str(decode_token(signed).get('token') or '')
    except jwt.PyJWTError:
        return ''


def set_owner_password() -> None:
    """Have the password in ``.env`` count, also if Mage's database remembers another.

    Goes beyond ``mage_ai/server/server.py: initialize_user_authentication``, which looks at it for a new database only.
    """
    from mage_ai.authentication.passwords import create_bcrypt_hash, generate_salt, verify_password
    from mage_ai.orchestration.db.models.oauth import Oauth2AccessToken, User
    from mage_ai.settings import DEFAULT_OWNER_EMAIL

    password = os.environ.get('DEFAULT_OWNER_PASSWORD')
    owner = User.query.filter(User.email == DEFAULT_OWNER_EMAIL).first()
    if not password or not owner or verify_password(password, owner.password_hash or NOBODY):
        return
    salt = generate_salt()
    owner.update(password_hash=create_bcrypt_hash(password, salt), password_salt=salt)
    for token in Oauth2AccessToken.query.filter(Oauth2AccessToken.user_id == owner.id).all():
        token.delete()  # who signed in with the old one signs in again


def _user(name: str, value: str) -> Any:
    from mage_ai.orchestration.db import safe_db_query
    from mage_ai.orchestration.db.models.oauth import User

    @safe_db_query  # type: ignore[untyped-decorator]
    def look() -> Any:
        return User.query.filter(getattr(User, name) == value).first()

    return look()


def _matches(password: str, hashed: str) -> bool:
    from mage_ai.authentication.passwords import verify_password

    return bool(verify_password(password, hashed))
