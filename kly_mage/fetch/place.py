"""Where fetched files are put: by one ``fetch`` at a time, beside their names until they are whole, and through no link.

Whoever may write into the landing zone may not thereby have anything written elsewhere.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kly_mage.common.errors import FetchError, UsageError

_LOCK = '.fetch.lock'
Step = Callable[[str, float, float, str], None]
"""Is told what is fetched, how much of it is done, of how much, and a few words."""


@contextmanager
def alone(landing: Path) -> Iterator[None]:
    """Hold the landing zone against other calls of ``fetch``.

    Raises:
        FetchError: another one is at work.
        UsageError: the landing zone cannot be written.
    """
    try:
        lock = os.open(landing / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise unwritable(landing, error) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FetchError(f'another fetch is at work in {landing}: wait for its end') from None
        yield
    finally:
        os.close(lock)


@contextmanager
def folder(landing: Path, name: str) -> Iterator[int]:
    """The folder of a source, made if need be: its descriptor, in which names are looked up whatever takes its place.

    Raises:
        UsageError: it is a link or no folder, or cannot be written.
    """
    path = landing.resolve() / name
    try:
        with suppress(FileExistsError):
            path.mkdir()
        at = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise unwritable(landing / name, error) from None
    try:
        yield at
    finally:
        os.close(at)


def begun(name: str, at: int) -> int:
    """The descriptor of a file that is being written in an open folder: what there is of it, else empty.

    What has its name and is no file of ours alone goes.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(OSError):
        part = os.open(name, flags, dir_fd=at)
        found = os.fstat(part)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid():
            return part
        os.close(part)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=at)
    return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=at)


def unwritable(path: Path, error: OSError) -> UsageError:
    """What cannot be written, and what to do."""
    told = 'it is a link or no folder' if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
    return UsageError(f'{path} cannot be written ({told}): create the landing zone or set KLY_DATA_DIR')
