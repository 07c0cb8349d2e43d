"""A dashboard as ``python -m kly_mage dashboard`` serves it, until it is no longer needed."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from kly_mage.common.settings import REPOSITORY


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """Serve with these variables, the port among them; gives the token of the start, and fails if anything went wrong."""
    with tempfile.TemporaryFile('w+') as log:
        process = subprocess.Popen(
            [sys.executable, '-m', 'kly_mage', 'dashboard'],
            env=environment | {'PYTHONUNBUFFERED': '1'},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=REPOSITORY,
        )
        said = ''
        for line in process.stdout or ():
            said += line
            if 'Ctrl-C' in line:
                break
        log.seek(0)
        assert 'Ctrl-C' in said, said + log.read()
        try:
            yield parse_qs(urlsplit(next(word for word in said.split() if 'token=' in word)).query)['token'][0]
        finally:
            process.send_signal(signal.SIGINT)
            left, _ = process.communicate(timeout=120)
        log.seek(0)
        told = log.read()
        assert (process.returncode, 'the dashboard is stopped' in left) == (0, True), left + told
        assert 'Traceback' not in told, told
