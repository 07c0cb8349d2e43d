"""``psql``: a shell on the warehouse."""

import argparse
import sys

from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.psql import become_psql
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """One statement, or whatever psql takes."""
    parser.add_argument('-c', '--command', dest='statement', metavar='SQL', help='run this and end')
    parser.add_argument('arguments', nargs='*', metavar='ARGUMENT', help='what psql itself takes, after --')


def run(options: argparse.Namespace) -> int:
    """Become psql, whose exit code is that of this command then."""
    settings = server(load_settings())
    sys.stdout.flush()
    given = ['--command', options.statement] if options.statement else []
    become_psql(settings, [*given, *options.arguments])
