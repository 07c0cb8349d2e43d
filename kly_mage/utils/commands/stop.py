"""``stop``: end the embedded PostgreSQL; its data stay."""

import argparse

from kly_mage.utils.console import say
from kly_mage.utils.database import stop_embedded
from kly_mage.utils.settings import load_settings


def run(options: argparse.Namespace) -> int:
    """Stop the server if it runs."""
    say('PostgreSQL stopped' if stop_embedded(load_settings()) else 'no embedded PostgreSQL is running')
    return 0
