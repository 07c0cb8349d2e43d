"""What Mage's server writes, ``mage.log``: it is kept over a restart, and bounded."""

import shutil
from pathlib import Path

from kly_mage.common.private import private_file

LONGEST = 10_000_000
"""Bytes of ``mage.log`` from which on it is put aside."""
KEPT = 3
"""How many older ones there are: ``mage.log.1`` is the latest."""


def rotate(log: Path) -> None:
    """Put a log that has grown too long aside, and begin it anew.

    The server and its children have it open and go on writing: it is copied and emptied, not renamed. They append, so what
    they write next is its first line; what they write between the two is lost.
    """
    if not log.is_file() or log.stat().st_size <= LONGEST:
        return
    for number in range(KEPT - 1, 0, -1):
        older = log.with_name(f'{log.name}.{number}')
        if older.is_file():
            older.replace(log.with_name(f'{log.name}.{number + 1}'))
    with log.open('rb') as source, private_file(log.with_name(f'{log.name}.1')) as target:
        shutil.copyfileobj(source, target)
    with log.open('r+b') as file:
        file.truncate(0)
