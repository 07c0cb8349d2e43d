"""What a reconciliation found, for a terminal and for programs."""

import csv
import json
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.model import PLACES, Line, Report
from kly_mage.declared.marts import mart_of

TITLES = {
    'read': 'in the files',
    'duplicate': 'duplicate',
    'bronze': 'in bronze',
    'conflict': 'conflicting',
    'rejected': 'rejected',
    'not_loaded': 'not loaded',
    'outside': 'outside',
    'lost': 'lost',
    'changed': 'changed',
    'in_no_file': 'in no file',
}
ALWAYS = ('read', 'duplicate', 'bronze', 'conflict', 'rejected')


def write_table(report: Report, *, every_day: bool = False) -> None:
    """Rows and numbers per source, the days that do not add up (or every day), and the findings, on standard output."""
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 140)
    totals = [report.total(source) for source in report.sources]
    shown = [place for place in TITLES if place in ALWAYS or any(line.rows.get(place) for line in totals)]
    table = _table('Rows', 'source', *(TITLES[place] for place in shown))
    for line in totals:
        table.add_row(line.source, *(f'{line.rows.get(place, 0):,}' for place in shown))
    console.print(table)
    table = _table('Numbers', '', *(TITLES[place] for place in shown), 'gold', 'difference')
    for line in totals:
        for name in line.sums:
            amounts = [line.sum(name, place) for place in (*shown, 'gold')]
            table.add_row(name, *map(plain, amounts), plain(line.gold_difference(name)))
    if table.row_count:
        console.print(table)
    for source in report.sources:
        lines = [line for line in report.lines_of(source) if every_day or not line.adds_up]
        measure = most_telling(source)
        if not lines:
            continue
        titles = [TITLES[place] for place in shown]
        money = [f'{measure} in the files', 'gold', 'difference'] if measure else []
        table = _table(source, 'day', *titles, *money)
        for line in lines:
            amounts = []
            if measure:
                amounts = [line.sum(measure, 'read'), line.sum(measure, 'gold'), line.gold_difference(measure)]
            rows = (f'{line.rows.get(place, 0):,}' for place in shown)
            table.add_row(str(line.day or 'no day'), *rows, *map(plain, amounts))
        console.print(table)
    for wrong, title in ((True, 'To be repaired'), (False, 'Good to know')):
        found = [finding for finding in report.findings if finding.wrong is wrong]
        if found:
            console.print(f'[bold]{title}[/bold]')
            for finding in found:
                console.print(f'- {escape(finding.text)}', soft_wrap=True)
                if finding.command:
                    console.print(f'    {escape(finding.command)}', style='cyan', soft_wrap=True)
            console.print()


def as_json(report: Report) -> str:
    """Everything, money as exact text."""
    return json.dumps(
        {
            'start': report.window.start if report.window else None,
            'end': report.window.end if report.window else None,
            'checked_at': report.checked_at,
            'accounted': report.accounted,
            'verdict': verdict(report),
            'sources': {
                source: {
                    'total': _record(report.total(source)) | {'rejects': report.rejects(source)},
                    'days': [_record(line) | {'facts': line.facts} for line in report.lines_of(source)],
                }
                for source in report.sources
            },
            'findings': [vars(finding) for finding in report.findings],
        },
        default=_text,
        indent=1,
    )


def write_csv(report: Report, stream: TextIO) -> None:
    """One row per source and day: rows and each measure by place."""
    places = ['read', *PLACES, 'in_no_file']
    measures = list(dict.fromkeys(name for line in report.lines for name in line.sums))
    header = ['source', 'day', *(f'rows_{place}' for place in places)]
    header += [f'{name}_{place}' for name in measures for place in (*places, 'gold', 'difference')]
    header += ['adds_up']
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(header)
    for line in report.lines:
        row: list[Any] = [line.source, line.day or '', *(line.rows.get(place, 0) for place in places)]
        for name in measures:
            if name not in line.sums:
                row += [''] * (len(places) + 2)
                continue
            row += [exact(line.sum(name, place)) for place in (*places, 'gold')]
            row.append(exact(line.gold_difference(name)))
        writer.writerow([*row, str(line.adds_up).lower()])


def exact(amount: Decimal) -> str:
    """A number with all its digits, for programs."""
    return plain(amount).replace(',', '')


def plain(amount: Decimal) -> str:
    """A number with all its digits and thousands separators."""
    text = f'{amount:,f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def most_telling(source: str) -> str | None:
    """The measure to show where there is room for one: money before pageviews."""
    mart = mart_of(source)
    return mart.telling if mart else None


def _record(line: Line) -> dict[str, Any]:
    places = ('read', *PLACES, 'in_no_file', 'stored', 'duplicate_same_file', 'conflict_same_file')
    return {
        'day': line.day,
        'rows': {place: line.rows.get(place, 0) for place in places},
        'late': line.late,
        'sums': {
            name: {place: exact(line.sum(name, place)) for place in (*PLACES, 'read', 'in_no_file', 'stored', 'gold')}
            | {'difference': exact(line.gold_difference(name))}
            for name in line.sums
        },
        'adds_up': line.adds_up,
    }


def _text(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return exact(value)
    raise TypeError(f'{value!r} has no place in JSON')


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify='right')
    return table
