"""``migrate``: bring the database to this version of code and declarations."""

import argparse

from kly_mage import __version__
from kly_mage.checks.verify import block
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.ddl import ensure_schema, migrate
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every command takes."""


def run(options: argparse.Namespace) -> int:
    """Do what is due and say it, one line each."""
    settings = server(load_settings())
    done = migrate(settings, block)
    ensure_schema(settings)
    for line in done:
        say(line)
    say(f'the database is what kly_mage {__version__} wants' + ('' if done else ': nothing was to be done'))
    return 0
