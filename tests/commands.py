"""Commands of the project as processes of their own, as people run them."""

import os
import pty
import subprocess
import sys
import threading

from kly_mage.common.settings import REPOSITORY


def run(*arguments: str, **environment: str) -> 'subprocess.CompletedProcess[str]':
    """A command where nobody looks on."""
    return subprocess.run(
        [sys.executable, '-m', 'kly_mage', *arguments],
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def on_a_terminal(*arguments: str, columns: int, term: str = 'xterm', errors: bool = False) -> str:
    """All that a command writes on a terminal of so many columns; with ``errors`` its error output too."""
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
        env=os.environ | {'TERM': term, 'COLUMNS': str(columns)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if errors else subprocess.DEVNULL,
    )
    os.close(theirs)
    process.wait(120)
    reader.join()
    os.close(ours)
    return written.decode()
