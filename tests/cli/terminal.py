"""A terminal of 80 columns: what a command shows there, as a person sees it."""

import re

from tests.commands import on_a_terminal

COLUMNS = 80
_STYLES = re.compile(r'\x1b\[[\d;?]*[A-Za-z]')


def shown(*arguments: str, columns: int = COLUMNS) -> list[str]:
    """The lines of standard output of a command whose output and errors go to a terminal of so many columns."""
    return _STYLES.sub('', on_a_terminal(*arguments, columns=columns)).replace('\r', '').split('\n')
