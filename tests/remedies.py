"""The commands that messages name, taken out of what was printed and run as they stand."""

import re
import shlex

from kly_mage.__main__ import main
from tests.commands import run

_VALUE = r"""(?:'[^']*'|"[^"]*"|[\w.:/]+(?:-[\w.:/]+)*)"""
# A command with a file and options, each with at most one value; what is said behind it is none of it.
_COMMAND = re.compile(rf'python -m kly_mage ([a-z-]+(?: [\w.-]+/[\w./-]+)?(?: --?[a-z]+(?: {_VALUE})?)*)')


def printed(text: str) -> list[str]:
    """Each command of the project that a text names, in its order: its verb, a file, options."""
    return _COMMAND.findall(text)


def obey(text: str, verb: str = '') -> int:
    """Run the one command (of this verb) that a text names, however often; gives its exit code."""
    (command,) = {each for each in printed(text) if not verb or verb in each.split()}
    return do(command)


def do(command: str) -> int:
    """Run a command that was printed; gives its exit code."""
    verb, *options = shlex.split(command)
    if verb == 'psql':  # a process that becomes another
        return run(verb, *options).returncode
    return main([verb, *options])
