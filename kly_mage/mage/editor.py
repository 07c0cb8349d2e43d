"""The Mage editor on this machine: started with everything it needs, stopped with everything it started.

Mage runs as a child in a session of its own (``mage_server``), so that Ctrl-C reaches this process alone, which then ends
the child, its scheduler, its runs and its kernels. They all carry a mark in their environment: whoever has lost their
parent is found all the same, by ``stop`` or by the next start.
"""

import contextlib
import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from kly_mage.common import env_file
from kly_mage.common.errors import EditorError, WarehouseError, first_line
from kly_mage.common.private import private_file, private_folder
from kly_mage.common.settings import REPOSITORY, Settings, env_path, load_settings
from kly_mage.mage import server_log
from kly_mage.mage.client import EMAIL, MageClient
from kly_mage.warehouse.postgres.embedded import stop_embedded
from kly_mage.warehouse.postgres.server import database_beside, server

logger = logging.getLogger('kly_mage')

HOST = '127.0.0.1'
PASSWORD, SECRET = 'MAGE_OWNER_PASSWORD', 'MAGE_JWT_SECRET'
MARK = 'KLY_EDITOR'
# What Mage and its libraries read for themselves; the environment may say otherwise.
MAGE_DEFAULTS = {
    'PYTHONWARNINGS': 'ignore',  # else they fill the blocks' outputs
    # polars gives freed memory back soon, not after ten seconds: a run of a million rows stays below 1.5 GB.
    '_RJEM_MALLOC_CONF': 'dirty_decay_ms:100,muzzy_decay_ms:100',
    'SERVER_VERBOSITY': 'warning',
    'SCHEDULER_TRIGGER_INTERVAL': '1',
}
START_SECONDS = 120
STOP_SECONDS = 8


@dataclass
class Editor:
    """A running Mage server.

    Attributes:
        url: where its pages are.
        process: the server; its children are found by their mark.
        settings: PostgreSQL's address, and where things are kept.
        new_password: the password, if this start has made it.
        log: what the server writes.
    """

    url: str
    process: subprocess.Popen[bytes]
    settings: Settings
    new_password: str | None
    log: Path

    def watch(self) -> None:
        """Return when the server ends; meanwhile bring the embedded PostgreSQL back should it die.

        Raises:
            EditorError: the server ended by itself.
        """
        while self.process.poll() is None:
            time.sleep(1)
            server(load_settings())
            server_log.rotate(self.log)
        raise EditorError(f'Mage has ended by itself (exit code {self.process.returncode}); see {self.log}')


def start(say: Callable[[str], None], port: int | None = None) -> Editor:
    """Start PostgreSQL and Mage, and wait until one can sign in.

    Args:
        say: hears what is waited for.
        port: where the editor listens; without it, ``KLY_EDITOR_PORT`` says.

    Raises:
        EditorError: the port is in use, an editor runs already, or Mage does not start.
        KlyError: the warehouse is BigQuery, and cannot be reached.
    """
    chosen = load_settings()
    port = port or chosen.editor_port
    _no_other_editor(chosen)
    _free(port)
    if chosen.warehouse == 'bigquery':
        _reach_bigquery(chosen)
    new_password = ensure_secrets()
    chosen = load_settings()
    settings = server(chosen)
    log = chosen.local_dir / 'mage.log'
    environment = server_environment(settings)
    say('starting Mage (a few seconds) …')
    server_log.rotate(log)
    with private_file(log, keep=True) as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, '-m', 'kly_mage.mage.server', HOST, str(port)],
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,  # what Mage writes are rows and logs
        )
    with private_file(_pid_file(chosen)) as file:
        file.write(f'{os.getpid()}\n{port}'.encode())
    editor = Editor(f'http://{HOST}:{port}', process, chosen, new_password, log)
    try:
        _wait(editor)
    except BaseException:
        stop(chosen)
        raise
    return editor


def _reach_bigquery(settings: Settings) -> None:
    """Have its tables there before anything is started; what Mage knows of its runs stays in PostgreSQL."""
    from kly_mage.warehouse.bigquery.engine import BigQuery  # who has none need not import it

    assert BigQuery(settings).client


def stop(settings: Settings) -> int:
    """End everything the editor of this ``local_dir`` has started, PostgreSQL last; gives the number of processes ended.

    The editor's own process, if it is another one, is asked first, so that it does not take its end for a failure.
    """
    found = marked(settings)
    if other := _other_editor(settings):
        _signal(other.terminate)
        psutil.wait_procs([other], timeout=2 * STOP_SECONDS)
    for process in found:
        _signal(process.terminate)
    _, alive = psutil.wait_procs(found, timeout=STOP_SECONDS)
    # What has been forked meanwhile, and what does not listen.
    for process in [*alive, *marked(settings)]:
        _signal(process.kill)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)
    if not settings.host:
        stop_embedded(settings)
    return len(found)


def marked(settings: Settings) -> list[psutil.Process]:
    """The processes an editor of this ``local_dir`` has started, PostgreSQL's own left out."""
    mark, found = str(settings.local_dir), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and process.name() != 'postgres':
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile, or another user's
    return found


def running(settings: Settings) -> bool:
    """Is there anything for ``stop`` to end, PostgreSQL aside?"""
    return bool(_other_editor(settings) or marked(settings))


def address(settings: Settings) -> str:
    """Where the editor of this ``local_dir`` is, if it runs; else where it would be."""
    port = settings.editor_port
    if _other_editor(settings):
        with contextlib.suppress(OSError, ValueError, IndexError):
            port = int(_pid_file(settings).read_text().split()[1])
    return f'http://{HOST}:{port}'


def ensure_secrets() -> str | None:
    """Have a password and a signing secret in ``.env``, readable for its owner only; gives the password if it is new."""
    settings = load_settings()
    missing = {}
    if not settings.owner_password:
        missing[PASSWORD] = secrets.token_urlsafe(12)
    if not settings.jwt_secret:
        missing[SECRET] = secrets.token_urlsafe(32)
    if missing:
        env_file.write(env_path(), missing)
    return missing.get(PASSWORD)


def server_environment(settings: Settings) -> dict[str, str]:
    """What the server and all its children see. Its own database for Mage's metadata: with SQLite, backfills get stuck."""
    data = settings.mage_dir
    private_folder(data)
    _kernel_startup(data / 'ipython')
    own = {
        MARK: str(settings.local_dir),
        'POSTGRES_HOST': str(settings.host),
        'POSTGRES_PORT': str(settings.port),
        'POSTGRES_DBNAME': settings.dbname,
        'POSTGRES_USER': settings.user,
        'POSTGRES_PASSWORD': settings.password or '',
        'PYTHONPATH': str(REPOSITORY),
        'MAGE_DATA_DIR': str(data),
        'IPYTHONDIR': str(data / 'ipython'),
        'GIT_CONFIG_GLOBAL': str(data / 'gitconfig'),  # Mage writes a safe.directory there; not into the user's own
        'DEFAULT_OWNER_EMAIL': EMAIL,
        'DEFAULT_OWNER_PASSWORD': settings.owner_password or '',
        'JWT_SECRET': settings.jwt_secret or '',
        'REQUIRE_USER_AUTHENTICATION': 'True',
        'DISABLE_TERMINAL': '1',
        'DISABLE_AUTO_BROWSER_OPEN': 'true',
        'DISABLE_AUTORELOAD': 'true',
        'ENV': 'production',
        'HIDE_ENV_VAR_VALUES': '1',
        'MAGE_DATABASE_CONNECTION_URL': settings.mage_database or _metadata_database(settings),
    }
    if settings.password and not settings.mage_database:  # not in the URL: Mage logs it
        own['PGPASSWORD'] = settings.password
    return {**MAGE_DEFAULTS, **os.environ, **own}


def _kernel_startup(folder: Path) -> None:
    """Blocks run in a kernel of their own, which saves pipelines too: it gets the same corrections when it starts."""
    startup = folder / 'profile_default' / 'startup'
    startup.mkdir(parents=True, exist_ok=True)
    text = 'from kly_mage.mage import kernel, patches\n\nkernel.sign_always()\npatches.correct()\n'
    # Not kly_mage.py: while it runs, its folder is searched first, and it would find itself instead of the package.
    (startup / 'corrections.py').write_text(text, 'utf-8')


def _metadata_database(settings: Settings) -> str:
    """The URL of Mage's own database beside the warehouse, created if it is not there."""
    name = f'{settings.dbname}_mage'
    try:
        return database_beside(settings, name)
    except WarehouseError as error:
        raise EditorError(
            f'Mage needs a database {name} for its own records, which cannot be made ({first_line(error)}): '
            'create it, or set MAGE_DATABASE_CONNECTION_URL'
        ) from None


def _free(wanted: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            raise EditorError(
                f'port {wanted} is in use: stop what listens there, or choose another with --port {wanted + 1} '
                f'or KLY_EDITOR_PORT={wanted + 1}'
            ) from None


def _no_other_editor(settings: Settings) -> None:
    other, left = _other_editor(settings), marked(settings)
    if other or left:
        said = f'an editor of this project runs already (process {other.pid})' if other else 'a killed editor left processes'
        raise EditorError(f'{said}: end it with `make stop` (python -m kly_mage stop)')


def _pid_file(settings: Settings) -> Path:
    return settings.local_dir / 'editor.pid'


def _other_editor(settings: Settings) -> psutil.Process | None:
    """The process of ``python -m kly_mage editor`` that wrote the pid file, if it lives and is not this one."""
    try:
        process = psutil.Process(int(_pid_file(settings).read_text().split()[0]))
        return process if process.pid != os.getpid() and 'editor' in process.cmdline() else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _wait(editor: Editor) -> None:
    """Wait until the server signs us in; nothing less shows that it is up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if editor.process.poll() is not None:
            raise EditorError(f'Mage does not start (exit code {editor.process.returncode}); see {editor.log}')
        try:
            MageClient(editor.url, EMAIL, editor.settings.owner_password or '')
            return
        except EditorError as error:
            logger.debug('not yet: %s', error)
        time.sleep(0.3)
    raise EditorError(f'Mage has not answered within {START_SECONDS} s; see {editor.log}')


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):  # ended meanwhile
        send()
