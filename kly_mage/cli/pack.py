"""``pack``: the days of past months share a partition."""

import argparse

from kly_mage.cli.arguments import add_source, sources
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.partitions import pack
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which sources."""
    add_source(parser)


def run(options: argparse.Namespace) -> int:
    """Do it and say which months, one line per source."""
    settings = server(load_settings())
    ensure_schema(settings)
    for name in sources(options):
        months = pack(settings, SOURCES[name])
        say(f'{name}: ' + (', '.join(f'{month:%Y-%m}' for month in months) or 'no days of past months to put together'))
    return 0
