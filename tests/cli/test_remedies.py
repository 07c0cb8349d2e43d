"""Each command that a message, a page or a comment of SQL names is one: its verb, its options, its target of make.

Whether it helps is shown where the message is tested, and on the walk of a new user.
"""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kly_mage.cli.main import COMMANDS, parser
from kly_mage.common.settings import REPOSITORY

_SAID = re.compile(
    r'python -m kly_mage ([a-z][a-z-]*)((?: +(?!--)[^\s;,:`\'"]+){0,2}(?: +--[a-z-]+(?:[ =](?!--)[^\s;,]+)?)*)'
)
_MADE = re.compile(r'`make ([a-z-]+)')


def texts(path: Path) -> Iterator[str]:
    """The texts of a module, what is put into them as ``X``; or a file as it is."""
    if path.suffix != '.py':
        yield path.read_text('utf-8')
        return
    tree = ast.parse(path.read_text('utf-8'))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield ''.join(part.value if isinstance(part, ast.Constant) else 'X' for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def said() -> dict[str, set[str]]:
    """Each command that is named: its options."""
    found: dict[str, set[str]] = {}
    for path in (REPOSITORY / 'kly_mage').rglob('*'):
        if path.suffix in ('.py', '.sql', '.html', '.template'):
            for text in texts(path):
                for verb, rest in _SAID.findall(text):
                    found.setdefault(verb, set()).update(re.findall(r'--[a-z-]+', rest))
    return found


SAID = said()


@pytest.mark.parametrize('verb', sorted(SAID))
def test_a_command_that_is_named_is_one_with_these_options(verb: str) -> None:
    assert verb in COMMANDS
    (action,) = (found for found in parser([verb])._actions if isinstance(found, argparse._SubParsersAction))
    known = {option for each in action.choices[verb]._actions for option in each.option_strings}
    assert known >= SAID[verb]


def test_remedies_are_found_and_targets_of_make_are_there() -> None:
    assert SAID['rejects'] >= {'--source'}
    assert SAID['status'] >= {'--accept', '--source'}
    assert SAID['backfill'] >= {'--start', '--end'}
    made = {name for path in (REPOSITORY / 'kly_mage').rglob('*.py') for text in texts(path) for name in _MADE.findall(text)}
    targets = set(re.findall(r'^([a-z-]+):', (REPOSITORY / 'Makefile').read_text('utf-8'), re.MULTILINE))
    assert {'editor', 'install'} <= made <= targets
