"""What reaches a terminal: results on standard output, what stands beside them on standard error.

Nothing else in the project writes to either, but ``tables`` and the progress bars of ``loads.progress``. All of it goes
through ``printable``: a title or a file name cannot move the cursor, rename the window or turn a line around.
"""

import logging
import sys
from collections.abc import Iterable

from kly_mage.common.text import printable


def say(line: str = '') -> None:
    """Write one line of a result."""
    sys.stdout.write(f'{printable(line)}\n')


def say_sentence(line: str) -> None:
    """Write a line of prose: broken between its words on a terminal, so that no number of it is; one line elsewhere."""
    if not sys.stdout.isatty():
        say(line)
        return
    from rich.console import Console  # here: a run that nobody looks at has no other use for it
    from rich.text import Text

    Console(file=sys.stdout, highlight=False).print(Text(printable(line)))


def note(line: str) -> None:
    """Write one line of progress, beside the result."""
    sys.stderr.write(f'{printable(line)}\n')
    sys.stderr.flush()


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
