"""``status``: per source a calendar of days, the last load, and what waits for somebody."""

import argparse
import json
import sys
from datetime import date, datetime
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape

from kly_mage.checks.reconciliation.findings import backfill
from kly_mage.checks.status import STATES, Day, SourceStatus, status
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres.ledger import spans
from kly_mage.warehouse.postgres.server import server

_COLOURS = {'loaded': 'green', 'late': 'yellow', 'empty day': 'green', 'running': 'cyan'}


def run(options: argparse.Namespace) -> int:
    """Print how each source stands. 3 if a day of the range is missing."""
    window = Window(options.start, options.end) if options.start else None
    sources = [SOURCES[options.source]] if options.source else list(SOURCES.values())
    found = status(server(load_settings()), sources, window)
    missing = sum(len(each.missing) for each in found)
    if options.json:
        say(json.dumps({'missing': missing, 'sources': {each.source: each.record() for each in found}}, default=_text))
        return 3 if missing else 0
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 140)
    for each in found:
        _write(console, each)
    used = {day.state for each in found for day in each.days}
    if used:
        console.print('  '.join(f'{STATES[state][0]} {state}' for state in STATES if state in used), style='dim')
    say(_verdict(found))
    return 3 if missing else 0


def _write(console: Console, each: SourceStatus) -> None:
    console.print(f'[bold]{each.source}[/bold]  {escape(_standing(each))}', soft_wrap=True)
    for month, days in groupby(each.days, key=lambda day: f'{day.day:%Y-%m}'):
        of_month = {day.day.day: day for day in days}
        cells = (_cell(of_month.get(number)) for number in range(1, 32))
        console.print(f'  {month}  ' + ''.join(cells))
    for state, (_, meaning, _) in STATES.items():
        of_state = [day for day in each.days if day.state == state]
        if not of_state or state in ('loaded', 'running'):
            continue
        console.print(f'  {spans(day.day for day in of_state)}: {state}, {escape(meaning)}', soft_wrap=True)
        for detail in dict.fromkeys(day.detail for day in of_state if day.detail and state == 'failed'):
            console.print(f'    {escape(detail)}', soft_wrap=True)
        if remedy := _remedy(each.source, state, of_state):
            console.print(f'    {escape(remedy)}', style='cyan', soft_wrap=True)
    if each.rejects:
        _waiting(console, f'{each.rejects:,} rows rejected', f'python -m kly_mage rejects --source {each.source}')
    if each.conflicts:
        text = f'{each.conflicts:,} rows in conflict, in bronze.{each.source}_conflicts'
        _waiting(console, text, f'python -m kly_mage reconcile --source {each.source}')
    for rule, rows in each.rules.items():
        _waiting(console, f'{rows:,} rows break the rule: {rule}', None)
    if each.late:
        told = ', '.join(f'{rows:,} by {lag} day{"" if lag == "1" else "s"}' for lag, rows in each.late.items())
        _waiting(console, f'came late, as of the last reconcile: {told}', None)
    console.print()


def _standing(each: SourceStatus) -> str:
    if each.last_load is None:
        return 'never loaded'
    load, told = each.last_load, []
    days = f'{load["start"]}' if load['start'] == load['end'] else f'{load["start"]} to {load["end"]}'
    told.append(f'last load {load["load_id"]} at {load["finished_at"]:%Y-%m-%d %H:%M} UTC for {days} ({load["started_by"]})')
    if each.newest_day:
        told.append(f'newest day {each.newest_day}, {each.lag_days} days behind yesterday')
    return '; '.join(told)


def _cell(day: Day | None) -> str:
    if day is None:
        return ' '
    return f'[{_COLOURS.get(day.state, "bold red")}]{STATES[day.state][0]}[/]'


def _remedy(source: str, state: str, days: list[Day]) -> str | None:
    load = backfill([day.day for day in days])
    return {
        'late': load,
        'not loaded': load,
        'never finished': load,
        'failed': f'repair the cause, then {load}',
        'missing file': f'deliver the files into {source}/, then {load}',
        'empty file': f'deliver the files again, then {load}',
    }.get(state)


def _waiting(console: Console, text: str, command: str | None) -> None:
    console.print(f'  {escape(text)}', soft_wrap=True)
    if command:
        console.print(f'    {escape(command)}', style='cyan', soft_wrap=True)


def _verdict(found: list[SourceStatus]) -> str:
    missing = {each.source: len(each.missing) for each in found if each.missing}
    if not any(each.days for each in found):
        return 'no file and no load yet'
    if not missing:
        return 'no day missing'
    return 'days missing: ' + ', '.join(f'{source} {count:,}' for source, count in missing.items())


def _text(value: Any) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f'{value!r} has no place in JSON')
