"""What a reconciliation found, for a terminal and for programs."""

import csv
import io
import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kly_mage.checks.reconciliation.findings import verdict
from kly_mage.checks.reconciliation.model import EARLIER, PLACES, Line, Report
from kly_mage.common.console import say, say_sentence
from kly_mage.common.tables import Column, cents, say_styled, say_table
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, mart_of

TITLES = {
    'read': 'in the files',
    'duplicate': 'duplicate',
    'bronze': 'in bronze',
    'conflict': 'conflicting',
    'rejected': 'rejected',
    'superseded': 'superseded',
    'not_loaded': 'not loaded',
    'outside': 'outside',
    'forgotten': 'forgotten',
    'lost': 'lost',
    'changed': 'changed',
    'in_no_file': 'in no file',
    'replaced': 'replaced',
    'withdrawn': 'withdrawn',
}
MONEY = {measure.name for mart in MARTS for measure in mart.measures if measure.unit == 'USD'} | {
    ratio.name for ratio in DAILY_SUMMARY.ratios if ratio.unit == 'USD'
}
ALWAYS = ('read', 'duplicate', 'bronze', 'conflict', 'rejected')


def say_report(report: Report, *, every_day: bool = False, details: bool = True) -> None:
    """Rows and numbers per source, the days that do not add up (or every day), and the findings, on standard output.

    Args:
        details: whether to tell what is only good to know; without them, how many such remarks there are.
    """
    totals = [report.total(source) for source in report.sources]
    shown = [place for place in TITLES if place in ALWAYS or any(line.rows.get(place) for line in totals)]
    rows = [[TITLES[place], *(f'{line.rows.get(place, 0):,}' for line in totals)] for place in shown]
    say_table(_columns('rows', *report.sources), rows)
    say()
    measures = [(line, name) for line in totals for name in line.sums]
    if measures:
        numbers = [[TITLES[place], *(amount(name, line.sum(name, place)) for line, name in measures)] for place in shown]
        numbers.append(['gold', *(amount(name, line.sum(name, 'gold')) for line, name in measures)])
        numbers.append(['difference', *(amount(name, line.gold_difference(name)) for line, name in measures)])
        say_table(_columns('numbers', *(name for _, name in measures)), numbers)
        say()
    for source in report.sources:
        lines = [line for line in report.lines_of(source) if every_day or not line.adds_up]
        if lines:
            _say_days(source, lines, shown)
    for wrong, title in ((True, 'To be repaired'), (False, 'Good to know')):
        found = [finding for finding in report.findings if finding.wrong is wrong]
        if found and (wrong or details):
            say_styled((title, 'bold'))
            for finding in found:
                say_sentence(f'- {finding.text}')
                if finding.command:
                    say_styled((f'    {finding.command}', 'cyan'))
            say()
        elif found:
            say_styled((f'Good to know: {len(found):,} more, with --details', 'dim'))


def _say_days(source: str, lines: list[Line], shown: list[str]) -> None:
    measure = most_telling(source)
    titles = [TITLES[place] for place in shown]
    money = [f'{measure} in the files', 'gold', 'difference'] if measure else []
    rows = [[str(line.day or 'no day'), *_counts(line, shown), *_amounts(line, measure)] for line in lines]
    columns = [replace(each, may_go=each.name == TITLES['duplicate']) for each in _columns('day', *titles, *money)]
    say_table(columns, rows, title=source)
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
                    'days': [_record(line) | {'facts': _facts(line)} for line in report.lines_of(source)],
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
    places = ['read', *PLACES, 'in_no_file', *EARLIER]
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


def amount(measure: str, value: Decimal) -> str:
    """What a measure amounts to, for a table: money to the cent, counts whole."""
    return cents(value) if measure in MONEY else plain(value)


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
    places = ('read', *PLACES, 'in_no_file', *EARLIER, 'stored', 'duplicate_same_file', 'conflict_same_file')
    return {
        'day': line.day,
        'rows': {place: line.rows.get(place, 0) for place in places},
        'late': line.late,
        'sums': {
            name: {
                place: exact(line.sum(name, place)) for place in (*PLACES, 'read', 'in_no_file', *EARLIER, 'stored', 'gold')
            }
            | {'difference': exact(line.gold_difference(name))}
            for name in line.sums
        },
        'adds_up': line.adds_up,
    }


def _facts(line: Line) -> dict[str, Any]:
    """The row of ``gold.reconciliation``: all but revenue is counted, whatever type a warehouse has for sums."""
    return {
        name: int(value) if isinstance(value, Decimal) and not name.startswith('revenue') else value
        for name, value in line.facts.items()
    }


def _text(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return exact(value)
    raise TypeError(f'{value!r} has no place in JSON')


def _columns(first: str, *others: str) -> list[Column]:
    return [Column(first, whole=True), *(Column(name, right=True) for name in others)]


def _counts(line: Line, places: list[str]) -> list[str]:
    return [f'{line.rows.get(place, 0):,}' for place in places]


def _amounts(line: Line, measure: str | None) -> list[str]:
    if measure is None:
        return []
    numbers = (line.sum(measure, 'read'), line.sum(measure, 'gold'), line.gold_difference(measure))
    return [amount(measure, number) for number in numbers]
