"""The embedded PostgreSQL: data under ``.local/postgres``, started when it is needed, open to its owner alone.

It listens on a socket in a folder that no other user enters, and asks the kernel who is calling (``peer``): the owner of
``.local`` and root get in, nobody else, whatever the modes of the folders around it. Why it is not the wheel that starts it:
docs/decisions.md, "The embedded server is started by us".
"""

import contextlib
import logging
import os
import pwd
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg2

from kly_mage.common.errors import WarehouseError, first_line
from kly_mage.common.private import private_folder
from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.postgres.connection import open_connection
from kly_mage.warehouse.postgres.programs import NEWEST, Account, Programs, account_for, programs

logger = logging.getLogger('kly_mage')

LOCK_SAID_AFTER, LOCK_SECONDS = 5, 120  # a start takes seconds; recovery after a crash may take longer
_STARTING = threading.Lock()  # `mage run` runs branches in threads, which a lock between processes lets through
_SOCKET = '.s.PGSQL.5432'
_LONGEST_SOCKET = 100  # bytes; the kernel has room for 104 to 108

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
_ACCESS = {'listen_addresses': '', 'port': '5432', 'unix_socket_permissions': '0700'}
DOOR = 'kly_door'  # the role of who comes through ``door.py``: nobody gets in as it without its password
_WRITTEN = '# Written at every start of the embedded server; changes do not last.\n'
_DOORS = _WRITTEN + f'local all {DOOR} scram-sha-256\nlocal all all peer map=owner\n'


def running(folder: Path) -> str | None:
    """The socket folder of the embedded server if it answers."""
    try:
        lines = (folder / 'postmaster.pid').read_text().splitlines()
        open_connection(host=lines[4], port=lines[3], dbname='postgres', user='postgres').close()
    except (OSError, IndexError, psycopg2.OperationalError):
        return None
    return lines[4]


def start(folder: Path, settings: Mapping[str, str] = EMBEDDED_SETTINGS, version: int = NEWEST) -> str:
    """Start the server of a data folder, made if it is not there; gives the folder of its socket.

    Args:
        version: of PostgreSQL, for a new data folder; an existing one knows its own.

    Raises:
        WarehouseError: it does not start, or somebody else does not come to an end with starting it.
    """
    private_folder(folder.parent)
    with _STARTING, _lock(folder):
        if socket := running(folder):  # another thread or process was faster
            return socket
        try:
            server = _initialised(folder, version)
            socket = str(_socket_folder(folder, server.account))
            _forget_the_dead(folder, Path(socket))
            _configure(folder, server.account, {**settings, **_ACCESS, 'unix_socket_directories': f'"{socket}"'})
            server.run('pg_ctl', folder, 'start', '--silent', '--wait', '--timeout=300', '--log=log')
        except (OSError, WarehouseError) as error:
            why = _last_words(folder) or first_line(error)
            remedy = f'make room on the disk of {folder}' if 'No space left' in why else f'see {folder}/log'
            raise WarehouseError(f'the embedded PostgreSQL in {folder} does not start ({why}); {remedy}') from error
    return socket


def stop_embedded(settings: Settings) -> bool:
    """Stop the embedded server; False if it does not run."""
    folder = settings.local_dir / 'postgres'
    if not running(folder):
        return False
    stop(folder)
    return True


def stop(folder: Path) -> None:
    """Stop the server of a data folder.

    Raises:
        WarehouseError: it does not stop.
    """
    socket = Path((folder / 'postmaster.pid').read_text().splitlines()[4])
    programs(_version(folder), account_for(folder)).run(
        'pg_ctl', folder, 'stop', '--silent', '--wait', '--mode=fast', '--timeout=300'
    )
    if socket != folder:
        with contextlib.suppress(OSError):
            socket.rmdir()


def revive(error: BaseException) -> None:
    """Start the embedded server again if it is the one in use and has died; whoever stops it on purpose means it.

    Raises:
        WarehouseError: it cannot be started again, and why.
    """
    settings = load_settings()
    folder = settings.local_dir / 'postgres'
    if 'administrator command' in str(error) or 'shutting down' in str(error):
        return
    try:
        left_behind = (folder / 'postmaster.pid').read_text().splitlines()[4]
    except (OSError, IndexError):
        if not _gave_up(folder):
            return
        note = folder.with_name(f'{folder.name}.socket')
        left_behind = note.read_text('utf-8') if note.exists() else str(folder)
    if left_behind == (settings.host or left_behind) and not running(folder):
        logger.warning('the embedded PostgreSQL in %s has died; starting it again', folder)
        start(folder)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One starts it at a time. Whoever waits says for whom, and not for ever."""
    import fasteners

    path = folder.with_name(f'{folder.name}.lock')
    lock = fasteners.InterProcessLock(path)
    try:
        got = lock.acquire(timeout=LOCK_SAID_AFTER)
    except PermissionError as error:
        raise WarehouseError(f'{path.parent} belongs to another user: be that user, or set KLY_LOCAL_DIR') from error
    if not got:
        holder = path.read_text() or '(unknown)'
        logger.warning('process %s is starting the embedded PostgreSQL; waiting for it', holder)
        if not lock.acquire(timeout=LOCK_SECONDS - LOCK_SAID_AFTER):
            lock.lockfile.close()
            raise WarehouseError(
                f'process {holder} has held {path} for {LOCK_SECONDS} s, and the embedded PostgreSQL does not run: '
                'end that process and run this again'
            )
    try:
        _keep_for_owner(path)
        lock.lockfile.truncate(0)
        lock.lockfile.write(str(os.getpid()))
        lock.lockfile.flush()
        yield
    finally:
        lock.release()


def _initialised(folder: Path, version: int) -> Programs:
    """The programs of a data folder. A new one appears whole: it gets its name when ``initdb`` is done."""
    if known := _version(folder):
        return programs(known, account_for(folder))
    server = programs(version, account_for(folder))
    new = folder.with_name(f'{folder.name}.new')
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if server.account:
        os.chown(new, server.account.uid, server.account.gid)
    server.run('initdb', new, '--username=postgres', '--encoding=UTF8', '--auth-local=peer', '--auth-host=reject')
    new.rename(folder)
    return server


def _version(folder: Path) -> int:
    """The version of PostgreSQL that made a data folder; 0 if there is none."""
    try:
        return int((folder / 'PG_VERSION').read_text())
    except FileNotFoundError:
        return 0
    except PermissionError as error:
        owner = folder.stat().st_uid
        raise WarehouseError(f'{folder} belongs to another user (uid {owner}): be that user or root') from error


def _socket_folder(folder: Path, account: Account | None) -> Path:
    """Where the socket lies: with the data, or, if that is too long a path or root's, in a folder of its own.

    That one has a name nobody can guess, which is remembered, so that it stays the same; whoever is there first with another
    owner or other modes is left alone.
    """
    if account is None and len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET and not set(str(folder)) & set('"\'\\,'):
        return folder
    uid = account.uid if account else os.geteuid()
    note = folder.with_name(f'{folder.name}.socket')
    known = Path(note.read_text('utf-8')) if note.exists() else None
    if known is None or not _ours(known, uid):
        temporary = tempfile.gettempdir()
        temporary = temporary if len(os.fsencode(temporary)) < _LONGEST_SOCKET - 40 else '/tmp'  # noqa: S108 -- a name of its own follows
        known = Path(tempfile.mkdtemp(prefix='kly_', dir=temporary))
        note.write_text(str(known), 'utf-8')
        _keep_for_owner(note)
    if account:
        os.chown(known, account.uid, account.gid, follow_symlinks=False)
    return known


def _keep_for_owner(path: Path) -> None:
    """Give a file beside the data folder to the owner of ``.local``, who may be another user than root who writes it."""
    path.chmod(0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _ours(place: Path, uid: int) -> bool:
    """Is this folder ours, made now if nothing is there?"""
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        found = place.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and stat.S_IMODE(found.st_mode) == 0o700
    except OSError:
        return False
    return True


def _configure(folder: Path, account: Account | None, settings: Mapping[str, str]) -> None:
    """Write who gets in and how the server works; a data folder of an older version gets the same."""
    owners = {folder.parent.stat().st_uid, 0} if account else {os.geteuid(), 0}
    users = ''.join(f'owner "{pwd.getpwuid(uid).pw_name}" all\n' for uid in sorted(owners))
    lines = ''.join(f"{name} = '{value}'\n" for name, value in settings.items())
    _write(folder, 'pg_hba.conf', _DOORS, account)
    _write(folder, 'pg_ident.conf', _WRITTEN + users, account)
    _write(folder, 'postgresql.auto.conf', _WRITTEN + lines, account)


def ask_for_passwords(folder: Path) -> None:
    """Have a server that was started by an earlier version ask ``DOOR`` for its password, once it reads its files again."""
    _write(folder, 'pg_hba.conf', _DOORS, account_for(folder))


def _write(folder: Path, name: str, text: str, account: Account | None) -> None:
    """Put a file in its place at once. Nothing its owner could have put there is followed: root writes here."""
    new = folder / f'.{name}.new'
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, 'w', encoding='utf-8') as file:
        if account:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(text)
    new.replace(folder / name)


def _last_words(folder: Path) -> str | None:
    """Why the server did not start: the last thing it said before it gave up."""
    return next((line.partition('FATAL:')[2].strip() for line in reversed(_log_end(folder)) if 'FATAL:' in line), None)


def _gave_up(folder: Path) -> bool:
    """Whether the server ended because it could not recover from a crash, as on a full disk: nobody has stopped it."""
    after = []
    for line in reversed(_log_end(folder)):
        if 'ready to accept connections' in line:
            break
        after.append(line)
    return any('due to startup process failure' in line for line in after)


def _log_end(folder: Path) -> list[str]:
    """The last lines of the server's log; none if there is none that can be read."""
    try:
        with os.fdopen(os.open(folder / 'log', os.O_RDONLY | os.O_NOFOLLOW), 'rb') as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            return file.read().decode('utf-8', 'replace').splitlines()
    except OSError:
        return []


def _forget_the_dead(folder: Path, socket: Path) -> None:
    """Remove the lock files of a server that was killed, where PostgreSQL would take somebody else for it.

    That is a zombie nobody has buried, or, after a restart of the machine, any process that has got its number.

    Raises:
        WarehouseError: processes of that server still run, so its data must not be touched.
    """
    import psutil

    lock_file = folder / 'postmaster.pid'
    try:
        number = int(lock_file.read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        if _works_in(psutil.Process(number), folder):
            return  # it is there, but does not answer yet: pg_ctl waits for it or says so
    for _ in range(100):  # its sessions end by themselves as soon as they notice
        if not any(_works_in(other, folder) for other in psutil.process_iter()):
            (socket / f'{_SOCKET}.lock').unlink(missing_ok=True)
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
