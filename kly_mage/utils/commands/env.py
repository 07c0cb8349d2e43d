"""``env``: where PostgreSQL is, as lines a shell can evaluate."""

import argparse
import shlex

from kly_mage.utils.console import say
from kly_mage.utils.database import server
from kly_mage.utils.settings import load_settings


def run(options: argparse.Namespace) -> int:
    """Print one ``export`` line per setting; the password stays where it is."""
    settings = server(load_settings())
    found = {'HOST': settings.host, 'PORT': settings.port, 'DBNAME': settings.dbname, 'USER': settings.user}
    for name, value in found.items():
        say(f'export POSTGRES_{name}={shlex.quote(str(value))}')
    return 0
