"""One real editor for all tests of a session: ``python -m kly_mage editor`` on a copy of the project."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import websocket

from kly_mage.common.settings import REPOSITORY
from kly_mage.mage.client import API_KEY, EMAIL, FINISHED, MageClient
from tests.ports import free_port

LANDING = REPOSITORY / 'data'


def copy_project(folder: Path) -> Path:
    """A checkout of its own, so that what Mage writes into the project does not touch this one."""
    repository = folder / 'repository'
    ignored = shutil.ignore_patterns('__pycache__', '.file_versions', '.ssh_tunnel')
    shutil.copytree(REPOSITORY / 'kly_mage', repository / 'kly_mage', ignore=ignored)
    return repository


@dataclass
class Server:
    """The editor of a copied project, and what tests ask of it."""

    folder: Path
    port: int = field(default_factory=free_port)
    landing: Path = LANDING
    process: subprocess.Popen[str] | None = None
    said: str = ''

    def __post_init__(self) -> None:
        self.repository = copy_project(self.folder)
        self.local, self.url = self.folder / 'local', f'http://127.0.0.1:{self.port}'
        self.fail_flag = self.folder / 'fail'
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(('POSTGRES_', 'MAGE_'))}
        self.environment |= {
            'KLY_LOCAL_DIR': str(self.local),
            'KLY_DATA_DIR': str(self.landing),
            'KLY_TIMEZONE': 'Asia/Jakarta',
            'KLY_EDITOR_PORT': str(self.port),
            'KLY_ENV_FILE': str(self.folder / 'env'),
            'KLY_TEST_FAIL': str(self.fail_flag),
            'HOME': str(self.folder),
            'START': '2025-10-01',  # as somebody may have exported it: no day is masked for that
            'PYTHONUNBUFFERED': '1',
        }

    def command(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``python -m kly_mage ARGUMENTS`` in the copy."""
        return subprocess.run(
            [sys.executable, '-m', 'kly_mage', *arguments],
            cwd=self.repository,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=400,
        )

    def start(self) -> None:
        """``make editor``; returns when it says that it is up."""
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'kly_mage', 'editor'],
            cwd=self.repository,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ''
        vars(self).pop('client', None)
        for line in self.process.stdout or ():
            self.said += line
            if 'Ctrl-C' in line:
                return
        raise AssertionError(f'the editor has not started: {self.said}')

    def interrupt(self, number: int = signal.SIGINT) -> str:
        """Ctrl-C; gives what it said last."""
        assert self.process
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        return rest

    def processes(self) -> list[str]:
        """Everything that belongs to this server: by its mark, its folder in the command line, or its parent."""
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get('KLY_EDITOR') == str(self.local)
                line = ' '.join(process.cmdline())
            except psutil.Error:
                continue
            if process.pid != os.getpid() and (marked or str(self.local) in line):
                found.append(line or process.name())
        return found

    @property
    def password(self) -> str:
        lines = (self.folder / 'env').read_text().splitlines()
        return next(line.partition('=')[2] for line in lines if line.startswith('MAGE_OWNER_PASSWORD='))

    @cached_property
    def client(self) -> MageClient:
        """Signed in once: tests of wrong passwords bound how often that can be done."""
        return MageClient(self.url, EMAIL, self.password)

    @contextmanager
    def kernel(self) -> Iterator[Callable[..., Callable[[], list[dict[str, Any]]]]]:
        """The page's socket: gives a function that has code run, which gives one that waits for what was said."""
        token = self.client._headers['OAUTH-TOKEN']
        address = f'{self.url.replace("http", "ws")}/websocket/'
        socket = websocket.create_connection(address, timeout=60, header=[f'OAUTH-TOKEN: {token}'])

        def run(code: str, **more: str) -> Callable[[], list[dict[str, Any]]]:
            socket.send(json.dumps({'api_key': API_KEY, 'token': token, 'uuid': 'test', 'code': code, **more}))
            heard = [json.loads(socket.recv())]

            def end() -> list[dict[str, Any]]:
                while heard[-1].get('execution_state') != 'idle':
                    heard.append(json.loads(socket.recv()))
                return heard

            return end

        yield run
        socket.close()

    def query(self, statement: str, *values: Any, database: str = 'kly') -> list[tuple[Any, ...]]:
        """Rows from the server's own PostgreSQL."""
        socket = (self.local / 'postgres/postmaster.pid').read_text('utf-8').splitlines()[4]  # it need not lie in the data
        connection = psycopg2.connect(host=socket, dbname=database, user='postgres')
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute('set timezone = utc')
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def backfilled(self, backfill: int, seconds: float = 240) -> str:
        """Wait until a backfill has finished; gives its status."""
        client = self.client
        return wait_for(
            lambda: (s := client.backfill(backfill)['status']) in FINISHED and s, seconds, f'backfill {backfill}'
        )


def wait_for(what: Callable[[], Any], seconds: float, name: str) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f'{name}: nothing after {seconds} s'
        time.sleep(0.3)
    return answer


class Webhook:
    """A local server that keeps what is posted to it."""

    def __init__(self) -> None:
        posts = self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posts.append(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_address[1]}/services/T0/geheim'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_editor(folder: Path) -> Iterator[tuple[Server, Webhook]]:
    """The editor of a copied project whose ads loader can be broken, with short delays between retries."""
    server, webhook = Server(folder), Webhook()
    server.environment['KLY_ALERT_WEBHOOK'] = webhook.url
    loader = server.repository / 'kly_mage/data_loaders/load_gam_delivery.py'
    text = loader.read_text('utf-8')
    loader.write_text(text.replace("    return read_days('gam_delivery', kwargs)", _broken(text)))
    project = server.repository / 'kly_mage/metadata.yaml'
    project.write_text(project.read_text('utf-8').replace('  delay: 5\n', '  delay: 1\n'))
    try:
        server.start()
        yield server, webhook
    finally:
        server.command('stop')
        if server.process:
            server.process.communicate(timeout=60)
        webhook.close()


def _broken(text: str) -> str:
    assert "    return read_days('gam_delivery', kwargs)" in text, 'the loader has another shape'
    return (
        '    import os\n\n'
        "    if os.path.exists(os.environ['KLY_TEST_FAIL']):\n"
        "        raise RuntimeError('the test broke this loader, password=hunter2')\n"
        "    return read_days('gam_delivery', kwargs)"
    )
