"""One editor for all attacks, and a client that sends what a browser or a library would not."""

import http.client
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kly_mage.mage.client import EMAIL
from tests.mage.server import Server, running_editor


@dataclass
class Answer:
    """What came back; ``headers`` in lower case, the last of each name, and all ``cookies`` that were set."""

    status: int
    headers: dict[str, str]
    text: str
    cookies: list[str]


@dataclass
class Attacker:
    """Somebody who reaches the port, with one signed-in person's tokens to steal or abuse.

    Attributes:
        server: the editor.
        token: what the page sends in ``OAUTH-TOKEN``.
        cookie: the cookie of the signed-in browser.
    """

    server: Server
    token: str
    cookie: str

    def ask(self, path: str, method: str = 'GET', body: str | bytes | None = None, **headers: str) -> Answer:
        """One request exactly as given, with the server's own ``Host``; ``_`` in a header's name stands for ``-``."""
        connection = http.client.HTTPConnection('127.0.0.1', self.server.port, timeout=60)
        data = body.encode() if isinstance(body, str) else body
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {'Host': f'127.0.0.1:{self.server.port}'} | {name.replace('_', '-'): value for name, value in headers.items()}
        if data is not None:
            sent = {'Content-Length': str(len(data))} | sent
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        try:
            response = connection.getresponse()
            text = response.read().decode('utf-8', 'replace') if response.status != 101 else ''
            got = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, got, text, response.headers.get_all('Set-Cookie', []))
        finally:
            connection.close()

    def sign_in(self, session: dict[str, object], **headers: str) -> Answer:
        """``POST /api/sessions`` with this body."""
        return self.ask(
            '/api/sessions', 'POST', json.dumps({'session': session}), Content_Type='application/json', **headers
        )


@pytest.fixture(scope='session')
def attacker() -> Iterator[Attacker]:
    """A running editor in which the owner has signed in."""
    # Not pytest's own folder: under root, PostgreSQL runs as another user, who cannot get in there.
    folder = Path(tempfile.mkdtemp(prefix='kly_editor_', dir='/tmp'))
    folder.chmod(0o755)
    with running_editor(folder) as (server, _):
        attacker = Attacker(server, '', '')
        answer = attacker.sign_in({'email': EMAIL, 'password': server.password})
        signed = json.loads(answer.text)['session']['token']
        attacker.token, attacker.cookie = server.client._headers['OAUTH-TOKEN'], f'oauth_token={signed}'
        yield attacker
    shutil.rmtree(folder, ignore_errors=True)
