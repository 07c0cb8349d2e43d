"""``env``: where PostgreSQL is, as lines a shell can evaluate."""

import argparse
import shlex

from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every command takes."""


def run(options: argparse.Namespace) -> int:
    """Print one ``export`` line per setting; the password stays where it is."""
    settings = server(load_settings())
    found = {'HOST': settings.host, 'PORT': settings.port, 'DBNAME': settings.dbname, 'USER': settings.user}
    for name, value in found.items():
        say(f'export POSTGRES_{name}={shlex.quote(str(value))}')
    return 0
