"""A fresh clone of the repository, and a person at a terminal of 80 columns in front of it.

The clone gets a link to this checkout's ``.venv``: installing is not what is walked here.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.mage.server import wait_for

COLUMNS = 80
# What is installed already: make is to take it as it is.
INSTALLED = 'make -o .venv/installed -o .venv/dashboard '
_STYLE = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')


@dataclass
class Running:
    """A command that goes on until Ctrl-C."""

    terminal: int
    process: subprocess.Popen[bytes]
    _heard: list[bytes] = field(default_factory=list)

    @property
    def said(self) -> str:
        return _plain(b''.join(self._heard))

    def listen(self) -> None:
        """Keep what it says, until nobody holds the other end."""
        for said in iter(lambda: _read(self.terminal), b''):
            self._heard.append(said)

    def until(self, text: str, seconds: float = 180) -> str:
        """Wait until it has said this; gives all it has said."""
        wait_for(lambda: text in self.said or self.process.poll() is not None, seconds, text)
        assert text in self.said, self.said
        return self.said


@dataclass
class Clone:
    """A clone of the repository, and a person at its terminal."""

    folder: Path
    environment: dict[str, str]

    def types(self, command: str, code: int = 0, **more: str) -> str:
        """What a command shows on a terminal of 80 columns; it has to end with this code."""
        ours, theirs = _terminal()
        with subprocess.Popen(
            ['bash', '-c', _installed(command)],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            text = _plain(b''.join(iter(lambda: _read(ours), b'')))
        os.close(ours)
        assert process.returncode == code, f'{command}\n{text}'
        return text

    def asks(self, command: str, code: int = 0, **more: str) -> str:
        """The same of a command of the project."""
        return self.types(f'.venv/bin/python -m kly_mage {command}', code, **more)

    @contextmanager
    def starts(self, command: str, last: str, **more: str) -> Iterator[Running]:
        """A command that serves until somebody presses Ctrl-C, which happens at the end; it then has to say ``last``."""
        ours, theirs = _terminal()
        process = subprocess.Popen(
            ['setsid', '--ctty', '--wait', 'bash', '-c', _installed(command)],
            cwd=self.folder,
            env=self.environment | more,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        running = Running(ours, process)
        ear = threading.Thread(target=running.listen)
        ear.start()
        try:
            yield running
        finally:
            os.write(ours, b'\x03')
            process.wait(timeout=60)
            ear.join(timeout=60)
            os.close(ours)
        assert last in running.said, running.said


def _terminal() -> tuple[int, int]:
    """Both ends of a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 40, COLUMNS, 0, 0))
    return ours, theirs


def _installed(command: str) -> str:
    return INSTALLED + command.removeprefix('make ') if command.startswith('make ') else command


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody holds the other end any more
        return b''


def _plain(said: bytes) -> str:
    """What stays on the screen."""
    text = _STYLE.sub('', said.decode('utf-8', 'replace')).replace('\r\n', '\n')
    return re.sub(r'[^\n]*\r', '', text)  # what a bar wrote over
