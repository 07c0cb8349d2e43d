"""What the command line says: results on standard output, one line at a time."""

import sys


def say(line: str = '') -> None:
    """Write one line of a result."""
    sys.stdout.write(f'{line}\n')


def note(line: str) -> None:
    """Write one line of progress, beside the result."""
    sys.stderr.write(f'{line}\n')
    sys.stderr.flush()
