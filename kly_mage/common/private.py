"""Folders and files that are nobody else's business: rows, logs, secrets. Whatever the umask, only their owner gets in."""

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from kly_mage.common.errors import SettingsError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: Path) -> Path:
    """A folder that only its owner enters, made if need be; what an older version left open in it is closed as well.

    A folder of somebody else is left as it is: its owner decides.

    Raises:
        SettingsError: the folder holds more than this project's files, and others need to get in.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if not found.st_mode & _OTHERS or os.geteuid() not in (0, found.st_uid):
        return folder
    if found.st_mode & stat.S_ISVTX or any(
        place.is_relative_to(folder.resolve()) for place in (Path.home(), Path(__file__))
    ):
        raise SettingsError(f'{folder} is used for other things too: name a folder that only this project uses')
    folder.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    for _, folders, files, directory in os.fwalk(folder):
        for name in (*folders, *files):
            _close(name, directory, found.st_uid)
    return folder


def private_file(path: Path, *, keep: bool = False) -> BinaryIO:
    """A file opened to be written, for its owner only, in a folder of the same kind.

    Args:
        path: where it is.
        keep: what is in it stays, and whatever is written, by whomever, goes behind it; else it is written anew.
    """
    private_folder(path.parent)
    how = os.O_APPEND if keep else os.O_TRUNC
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, 'ab' if keep else 'wb')


def _close(name: str, directory: int, owner: int) -> None:
    """Take the others' rights to one entry of an open directory; links and what another user has put there stay."""
    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        if plain and found.st_uid == owner and found.st_mode & _OTHERS:
            os.chmod(name, stat.S_IMODE(found.st_mode) & ~_OTHERS, dir_fd=directory)
