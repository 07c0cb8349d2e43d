"""``stop``: end the editor and the embedded PostgreSQL; the data stay."""

import argparse

from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.mage import editor
from kly_mage.warehouse.postgres.embedded import stop_embedded


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every command takes."""


def run(options: argparse.Namespace) -> int:
    """Stop what runs."""
    settings = load_settings()
    if editor.running(settings):
        editor.stop(settings)
        say('Mage and PostgreSQL stopped' if not settings.host else 'Mage stopped')
    else:
        say('PostgreSQL stopped' if stop_embedded(settings) else 'no embedded PostgreSQL is running')
    return 0
