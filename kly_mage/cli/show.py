"""``show``: the top rows of ``gold.daily_summary``, and of each mart that stands beside it, with their totals."""

import argparse
from decimal import Decimal

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, window
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.declared.marts import DAILY_SUMMARY, marts_alone
from kly_mage.warehouse.postgres.summary import Table, top_rows, top_rows_of

TEXT_CHARACTERS = 26  # of a title


def arguments(parser: argparse.ArgumentParser) -> None:
    """The days; without any, all."""
    add_days(parser)


def run(options: argparse.Namespace) -> int:
    """Print them. Sessions add up per article: a session that reads two articles counts on both."""
    settings, days = load_settings(), window(options)
    _say(f'{DAILY_SUMMARY.table}, most read', *top_rows(settings, days))
    for mart in marts_alone():
        _say(f'{mart.table}, most {mart.measures[0].name}', *top_rows_of(settings, mart, days))
    return DONE


def _say(title: str, found: Table, totals: tuple[object, ...]) -> None:
    numbers = [n for n, value in enumerate(totals) if not isinstance(value, str)]
    columns = [
        Column(name, right=n in numbers, cut=None if n in numbers else TEXT_CHARACTERS)
        for n, name in enumerate(found.columns)
    ]
    cells = [[_cell(value) for value in row] for row in found.rows]
    say(title)  # not the table's own: that is broken where the table is narrow
    say_table(columns, cells, totals=[_cell(value) for value in totals], ruled=False)


def _cell(value: object) -> str:
    if value is None:
        return ''
    return f'{value:,}' if isinstance(value, int | Decimal) else str(value)
