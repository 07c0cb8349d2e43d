"""A terminal of 80 columns: what a command shows there, as a person sees it."""

import os
import pty
import re
import subprocess
import sys
import threading

from kly_mage.common.settings import REPOSITORY

COLUMNS = 80
_STYLES = re.compile(r'\x1b\[[\d;?]*[A-Za-z]')


def shown(*arguments: str, columns: int = COLUMNS) -> list[str]:
    """The lines of standard output of a command whose output and errors go to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    written = bytearray()

    def read() -> None:
        while True:
            try:
                written.extend(os.read(ours, 1 << 16))
            except OSError:  # the last one that could write is gone
                return

    reader = threading.Thread(target=read)
    reader.start()
    process = subprocess.Popen(
        [sys.executable, '-m', 'kly_mage', *arguments],
        cwd=REPOSITORY,
        env=os.environ | {'TERM': 'xterm', 'COLUMNS': str(columns)},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    process.wait(120)
    reader.join()
    os.close(ours)
    return _STYLES.sub('', written.decode()).replace('\r', '').split('\n')
