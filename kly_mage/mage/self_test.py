"""What has to be true before Mage's server listens; whatever is not keeps it from starting.

The corrections and the guard hang on names inside Mage: should one of them move, this says so before anybody can come in.
"""

import asyncio
import importlib.metadata
import json
from dataclasses import dataclass, field

import tornado.httpclient
import tornado.httpserver
import tornado.netutil
import tornado.web

from kly_mage.common.errors import EditorError
from kly_mage.mage.client import EMAIL
from kly_mage.mage.patches import VERSION

_MAGES_SECRET, _MAGES_PASSWORD = 'materia', 'admin'
_NAMELESS = json.dumps({'session': {'token': 'x', 'provider': 'none', 'email': EMAIL}})
_JSON = {'Content-Type': 'application/json'}


@dataclass
class Check:
    """A request that nobody has signed, and what has to come back.

    Attributes:
        says: what holds if the answer is as expected.
        path: what is asked for.
        status: the status that has to come back.
        headers: sent with it, beside a ``Host`` of ours.
        body: sent by POST, if there is one.
    """

    says: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


CHECKS = (
    Check('a page leads whoever is not signed in to the sign-in page', '/pipelines', 302),
    Check('a call of whoever is not signed in is refused', '/api/pipelines', 401),
    Check('a call with a token that nobody was given is refused', '/api/pipelines', 401, {'OAUTH-TOKEN': 'x'}),
    Check('a socket is closed to whoever is not signed in', '/websocket/', 401, {'Upgrade': 'websocket'}),
    Check('a session needs a password', '/api/sessions', 400, _JSON, _NAMELESS),
    Check('a request to a host that is not ours is refused', '/sign-in', 421, {'Host': 'kly.invalid'}),
    Check('a request from a page that is not ours is refused', '/sign-in', 403, {'Origin': 'http://kly.invalid'}),
    Check('a request from a page of no origin is refused', '/sign-in', 403, {'Origin': 'null'}),
    Check('the sign-in page is shown', '/sign-in', 200),
)


def check_mage() -> None:
    """The release and the settings of Mage, before it is imported for good.

    Raises:
        EditorError: it is another release, or everybody could sign in.
    """
    from mage_ai import settings

    found = importlib.metadata.version('mage-ai')
    open_doors = {
        f'mage-ai is {found}, and this project corrects {VERSION}: install requirements.txt': found != VERSION,
        'REQUIRE_USER_AUTHENTICATION is off: take it out of the environment': not settings.REQUIRE_USER_AUTHENTICATION,
        'JWT_SECRET is the one everybody knows: set MAGE_JWT_SECRET in .env': settings.JWT_SECRET == _MAGES_SECRET,
        'the owner has the password everybody knows: set MAGE_OWNER_PASSWORD in .env': (
            settings.DEFAULT_OWNER_PASSWORD == _MAGES_PASSWORD
        ),
        'MAGE_BASE_PATH is not supported: give the editor a host name of its own': (
            settings.REQUESTS_BASE_PATH or settings.ROUTES_BASE_PATH
        ),
    }
    for message, is_open in open_doors.items():
        if is_open:
            raise EditorError(f'the editor does not start: {message}')


def check_guard(application: tornado.web.Application, host: str) -> None:
    """Ask the application itself, on a port that nobody knows yet.

    Args:
        application: what is about to listen.
        host: the ``Host`` header of a request that belongs here.

    Raises:
        EditorError: an answer is not as it has to be.
    """
    if failures := asyncio.run(_failures(application, host)):
        raise EditorError(f'the editor does not start, its guard has a hole: {"; ".join(failures)}')


async def _failures(application: tornado.web.Application, host: str) -> list[str]:
    sockets = tornado.netutil.bind_sockets(0, '127.0.0.1')
    server = tornado.httpserver.HTTPServer(application)
    server.add_sockets(sockets)
    client = tornado.httpclient.AsyncHTTPClient(force_instance=True)
    found = []
    for check in CHECKS:
        answer = await client.fetch(
            f'http://127.0.0.1:{sockets[0].getsockname()[1]}{check.path}',
            method='GET' if check.body is None else 'POST',
            headers={'Host': host} | check.headers,
            body=check.body,
            follow_redirects=False,
            raise_error=False,
        )
        if answer.code != check.status:
            found.append(f'it is not true that {check.says} ({check.path}: {answer.code} instead of {check.status})')
        elif any(name.lower().startswith('access-control-') for name in answer.headers):
            found.append(f'{check.path} may be read by other sites')
    server.stop()
    await server.close_all_connections()
    return found
