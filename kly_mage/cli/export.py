"""``export``: a table of gold as a file."""

import argparse
from pathlib import Path

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, window
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Joined, Mart
from kly_mage.loads.export import export

_TABLES: dict[str, Joined | Mart] = {DAILY_SUMMARY.name: DAILY_SUMMARY, **{mart.name: mart for mart in MARTS}}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, which table, which days."""
    parser.add_argument('file', type=Path, metavar='FILE', help='ends in .parquet or .csv')
    names = ', '.join(_TABLES)
    parser.add_argument('--table', choices=list(_TABLES), default=DAILY_SUMMARY.name, metavar='NAME', help=f'of {names}')
    add_days(parser)
    parser.add_argument('--force', action='store_true', help='take the place of a file that is there')


def run(options: argparse.Namespace) -> int:
    """Write it."""
    table = _TABLES[options.table]
    count = export(load_settings(), table, window(options), options.file, force=options.force)
    say(f'{counted(count, "row")} of {table.table} in {options.file}')
    return DONE
