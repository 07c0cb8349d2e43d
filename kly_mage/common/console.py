"""What reaches a terminal: results on standard output, what stands beside them on standard error.

Nothing else in the project writes to either, but ``tables`` and the progress bars of ``loads.progress``. All of it goes
through ``printable``: a title or a file name cannot move the cursor, rename the window or turn a line around.
"""

import logging
import os
import re
import sys
from collections.abc import Iterable
from typing import TextIO

from kly_mage.common.text import printable

# A command of ours with its options, each with at most one value: nobody can copy half of one.
_COMMAND = re.compile(r"""python -m kly_mage \S+(?: --?[a-z]+(?: (?:'[^']*'|"[^"]*"|[^-\s]\S*))?)*""")
_JOINED = '\xa0'


def say(line: str = '') -> None:
    """Write one line of a result."""
    sys.stdout.write(f'{printable(line)}\n')


def say_sentence(line: str) -> None:
    """Write a line of prose: broken between its words on a terminal, so that no number of it is; one line elsewhere."""
    sys.stdout.write(f'{_broken(line, sys.stdout)}\n')


def note(line: str) -> None:
    """Write a line of prose beside the result."""
    sys.stderr.write(f'{_broken(line, sys.stderr)}\n')
    sys.stderr.flush()


def _broken(line: str, stream: TextIO) -> str:
    """A line as it is; for a terminal, as many lines as it needs there, as far in as it is, its commands whole."""
    told = printable(line)
    if not stream.isatty():
        return told
    import textwrap  # here: a run that nobody looks at has no use for it

    columns = os.environ.get('COLUMNS', '')
    width = int(columns) if columns.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    indent = told[: len(told) - len(told.lstrip(' '))]
    kept = _COMMAND.sub(lambda command: command[0].replace(' ', _JOINED), told)
    lines = textwrap.wrap(
        kept, width or 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return '\n'.join(lines).replace(_JOINED, ' ')


def document(text: str) -> None:
    """Write a result for programs, JSON or CSV, as it is; to whoever looks on a terminal, line by line like all else."""
    if sys.stdout.isatty():
        for line in text.splitlines():
            say(line)
    else:
        sys.stdout.write(text if text.endswith('\n') else f'{text}\n')


def document_in_parts(parts: Iterable[str]) -> None:
    """Write a result for programs that may be longer than memory, on one line."""
    is_terminal = sys.stdout.isatty()
    for part in parts:
        sys.stdout.write(printable(part) if is_terminal else part)
    sys.stdout.write('\n')


class LogFormatter(logging.Formatter):
    """Records as lines a terminal can be given; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text, each line made printable."""
        return '\n'.join(map(printable, super().format(record).split('\n')))


def log_to_stderr(level: int) -> None:
    """Have this process's log on standard error, from a level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter('%(asctime)s %(levelname)s %(message)s'))
    logging.basicConfig(level=level, handlers=[handler])
