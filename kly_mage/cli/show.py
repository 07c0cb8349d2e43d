"""``show``: the top rows of ``gold.daily_summary``, and of each mart that stands beside it, with their totals."""

import argparse
from decimal import Decimal

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, window
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, cents, say_table
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, marts_alone
from kly_mage.warehouse.postgres.summary import Table, top_rows, top_rows_of

_MONEY = {number.name for mart in MARTS for number in mart.measures if number.unit == 'USD'} | {
    ratio.name for ratio in DAILY_SUMMARY.ratios if ratio.unit == 'USD'
}
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
    texts = [isinstance(value, str) for value in totals]
    first = texts.index(False)
    columns = [
        Column(
            name,
            right=not texts[n],
            cut=TEXT_CHARACTERS if texts[n] and n else None,
            whole=n == 0,
            may_go=n > first and name not in _MONEY,
        )
        for n, name in enumerate(found.columns)
    ]
    cells = [[_cell(name, value) for name, value in zip(found.columns, row, strict=True)] for row in (*found.rows, totals)]
    say_table(columns, cells[:-1], title=title, totals=cells[-1])
    say()


def _cell(name: str, value: object) -> str:
    if value is None:
        return ''
    if isinstance(value, Decimal) and name in _MONEY:
        return cents(value)
    return f'{value:,}' if isinstance(value, int | Decimal) else str(value)
