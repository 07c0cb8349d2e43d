"""``show``: the rows of ``gold.daily_summary`` with the most pageviews, and the totals."""

import argparse
from decimal import Decimal

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, window
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.warehouse.postgres.summary import most_read

TEXT_CHARACTERS = 26  # of a title


def arguments(parser: argparse.ArgumentParser) -> None:
    """The days; without any, all."""
    add_days(parser)


def run(options: argparse.Namespace) -> int:
    """Print both. Sessions add up per article: a session that reads two articles counts on both."""
    found, totals = most_read(load_settings(), window(options))
    columns = [Column(name, right=n > 2, cut=None if n > 2 else TEXT_CHARACTERS) for n, name in enumerate(found.columns)]
    cells = [[_cell(value) for value in row] for row in found.rows]
    say_table(columns, cells, title='gold.daily_summary, most read', totals=[_cell(value) for value in totals], ruled=False)
    return DONE


def _cell(value: object) -> str:
    if value is None:
        return ''
    return f'{value:,}' if isinstance(value, int | Decimal) else str(value)
