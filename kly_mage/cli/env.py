"""``env``: where PostgreSQL is, as lines a shell can evaluate."""

import argparse
import shlex

from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.psql import variables
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every command takes."""


def run(options: argparse.Namespace) -> int:
    """Print one ``export`` line per setting; the password stays where it is."""
    settings = server(load_settings())
    found = variables(settings)
    names = {'PGHOST': 'HOST', 'PGPORT': 'PORT', 'PGDATABASE': 'DBNAME', 'PGUSER': 'USER'}
    ours = {f'POSTGRES_{names[name]}': value for name, value in found.items()}
    for name, value in (ours | found).items():
        say(f'export {name}={shlex.quote(value)}')
    return 0
