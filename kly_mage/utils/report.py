"""What a reconciliation found, for a terminal."""

import sys
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kly_mage.utils.reconcile import MARTS, MONEY, Line, Report

ROWS = (
    ('read', 'in the files'),
    ('equal', 'equal'),
    ('bronze', 'in bronze'),
    ('conflict', 'conflicting'),
    ('rejected', 'rejected'),
)
MISSING = (
    ('absent', 'not loaded'),
    ('outside', 'outside'),
    ('lost', 'lost'),
    ('tampered', 'changed'),
    ('unsourced', 'in no file'),
)


def write_table(report: Report) -> None:
    """Rows and money per source, as tables on standard output."""
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 120)
    totals = [report.total(source) for source in report.sources]
    rare = [(place, title) for place, title in MISSING if any(line.rows.get(place) for line in totals)]
    table = _table('Rows', 'source', *(title for _, title in (*ROWS, *rare)))
    for line in totals:
        table.add_row(line.source, *(f'{line.rows.get(place, 0):,}' for place, _ in (*ROWS, *rare)))
    console.print(table)
    titles = [title for _, title in (*ROWS, *rare)]
    table = _table('Numbers', '', *titles, 'gold', 'difference')
    for line in totals:
        for measure in MARTS[line.source].measures if line.source in MARTS else ():
            cells = [_amount(line, measure.name, place) for place, _ in (*ROWS, *rare)]
            difference = line.gold_difference(measure.name)
            table.add_row(measure.name, *cells, _amount(line, measure.name, 'gold'), f'{plain(difference)}')
    if table.row_count:
        console.print(table)


def plain(amount: Decimal) -> str:
    """A number with all its digits and thousands separators."""
    text = f'{amount:,f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def _amount(line: Line, measure: str, place: str) -> str:
    text = plain(line.sum(measure, place))
    return text if text != '0' or measure == MONEY else '0'


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify='right')
    return table
