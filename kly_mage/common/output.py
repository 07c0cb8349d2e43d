"""Files that somebody has asked for: whether they can be written is said before the work, not after it."""

import os
from pathlib import Path

from kly_mage.common.errors import UsageError


def ensure_writable(path: Path) -> None:
    """Try it, and leave what is there as it is: a right to write is not yet a place that takes files, as below /proc.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        if path.exists():
            path.open('ab').close()
            return
        beside = path.with_name(f'.{path.name}.{os.getpid()}.try')
        beside.open('xb').close()
        beside.unlink()
    except (OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or str(error)
        raise UsageError(f'{path} cannot be written ({why}): name a file in a folder that takes it') from None
