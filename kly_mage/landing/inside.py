"""Small files of the landing zone that are no deliveries, and the way to any file in it: no link is followed."""

import os
import stat
from pathlib import Path

from kly_mage.common.errors import LandingError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe or a device put in its place does not hold us up


def read(root: Path, name: str, most: int) -> bytes:
    """What is in a file of the folder ``root``.

    Raises:
        LandingError: it is not there, no regular file, or has more than ``most`` bytes.
    """
    try:
        with os.fdopen(descend(root.resolve(), Path(name).parts), 'rb') as stream:
            regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            found = stream.read(most + 1) if regular else b''
    except OSError as error:
        raise LandingError(f'{name}: cannot be read ({error.strerror})') from None
    if not regular or len(found) > most:
        raise LandingError(f'{name}: ' + ('no regular file' if not regular else f'has more than {most:,} bytes'))
    return found


def descend(root: Path, parts: tuple[str, ...]) -> int:
    """Open a file below ``root`` folder by folder, none of them a link; gives its descriptor."""
    *folders, name = parts
    at = os.open(root, _FOLDER)
    for part, flags in (*((folder, _FOLDER) for folder in folders), (name, _FILE)):
        try:
            inner = os.open(part, flags, dir_fd=at)
        finally:
            os.close(at)
        at = inner
    return at
