"""What a reconciliation found, for a terminal and for programs."""

import csv
import io
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.model import PLACES, Line, Report
from kly_mage.common.console import say
from kly_mage.common.tables import Column, say_styled, say_table
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


def say_report(report: Report, *, every_day: bool = False) -> None:
    """Rows and numbers per source, the days that do not add up (or every day), and the findings, on standard output."""
    totals = [report.total(source) for source in report.sources]
    shown = [place for place in TITLES if place in ALWAYS or any(line.rows.get(place) for line in totals)]
    titles = [TITLES[place] for place in shown]
    say_table(_columns('source', *titles), ([line.source, *_counts(line, shown)] for line in totals), title='Rows')
    rows = [
        [name, *(plain(line.sum(name, place)) for place in (*shown, 'gold')), plain(line.gold_difference(name))]
        for line in totals
        for name in line.sums
    ]
    if rows:
        say_table(_columns('', *titles, 'gold', 'difference'), rows, title='Numbers')
    for source in report.sources:
        lines = [line for line in report.lines_of(source) if every_day or not line.adds_up]
        if not lines:
            continue
        measure = most_telling(source)
        money = [f'{measure} in the files', 'gold', 'difference'] if measure else []
        rows = [[str(line.day or 'no day'), *_counts(line, shown), *_amounts(line, measure)] for line in lines]
        say_table(_columns('day', *titles, *money), rows, title=source)
    for wrong, title in ((True, 'To be repaired'), (False, 'Good to know')):
        found = [finding for finding in report.findings if finding.wrong is wrong]
        if found:
            say_styled((title, 'bold'))
            for finding in found:
                say(f'- {finding.text}')
                if finding.command:
                    say_styled((f'    {finding.command}', 'cyan'))
            say()


def as_json(report: Report) -> str:
    """Everything, money as exact text."""
    return json.dumps(
        {
            'start': report.window.start if report.window else None,
            'end': report.window.end if report.window else None,
            'checked_at': report.checked_at,
            'accounted': report.accounted,
            'undecided': sorted({line.day for line in report.undecided if line.day}),
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


def as_csv(report: Report) -> str:
    """One row per source and day: rows and each measure by place."""
    places = ['read', *PLACES, 'in_no_file']
    measures = list(dict.fromkeys(name for line in report.lines for name in line.sums))
    header = ['source', 'day', *(f'rows_{place}' for place in places)]
    header += [f'{name}_{place}' for name in measures for place in (*places, 'gold', 'difference')]
    header += ['adds_up']
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
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
    return text.getvalue()


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


def _columns(first: str, *others: str) -> list[Column]:
    return [Column(first), *(Column(name, right=True) for name in others)]


def _counts(line: Line, places: list[str]) -> list[str]:
    return [f'{line.rows.get(place, 0):,}' for place in places]


def _amounts(line: Line, measure: str | None) -> list[str]:
    if measure is None:
        return []
    return [plain(line.sum(measure, 'read')), plain(line.sum(measure, 'gold')), plain(line.gold_difference(measure))]
