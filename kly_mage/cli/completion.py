"""``completion``: what a shell needs to complete commands and options."""

import argparse
import shlex
import sys

from kly_mage.cli import DONE
from kly_mage.common.console import document
from kly_mage.common.settings import REPOSITORY

NAME = 'kly_mage'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument('shell', choices=('bash', 'zsh'), help='for bash or for zsh')


def run(options: argparse.Namespace) -> int:
    """Print a function ``kly_mage`` that works from any folder, and its completion: to be evaluated by the shell."""
    import shtab

    from kly_mage.cli.main import COMMANDS, parser  # which imports this module to ask for its arguments

    command = f'PYTHONPATH={shlex.quote(str(REPOSITORY))} {shlex.quote(sys.executable)} -m kly_mage'
    completion = shtab.complete(parser(COMMANDS, prog=NAME), options.shell)
    document(f'{NAME}() {{ {command} "$@"; }}\n{completion}')
    return DONE
