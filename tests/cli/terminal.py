"""A terminal of 80 columns: what a command shows there, as a person sees it."""

import re

from tests.commands import on_a_terminal

COLUMNS = 80
_STYLES = re.compile(r'\x1b\[[\d;?]*[A-Za-z]')


def shown(*arguments: str, columns: int = COLUMNS, errors: bool = False) -> list[str]:
    """The lines of standard output, and of errors if asked for, of a command on a terminal of so many columns."""
    return _STYLES.sub('', on_a_terminal(*arguments, columns=columns, errors=errors)).replace('\r', '').split('\n')
