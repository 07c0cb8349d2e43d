"""``status``: per source a calendar of days, the last load, and what waits for somebody."""

import argparse
from decimal import Decimal
from itertools import groupby

from kly_mage.checks.accept import accept
from kly_mage.checks.reconciliation.findings import backfill
from kly_mage.checks.status import STATES, Day, SourceStatus, status
from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import accept_command, add_accept, add_days, add_shape, add_source, sources, who, window
from kly_mage.common.console import note, say, say_sentence
from kly_mage.common.records import say_json
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.tables import Column, say_styled, say_table
from kly_mage.common.text import counted
from kly_mage.common.window import Window, moved, spans, today
from kly_mage.declared import SOURCES
from kly_mage.landing.not_understood import not_understood
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.costs import USD_PER_TIB, Cost

_COST_DAYS = 7
_COLOURS = {'loaded': 'green', 'late': 'yellow', 'file removed': 'yellow', 'empty day': 'green', 'running': 'cyan'}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which days and sources, and in which shape."""
    add_days(parser)
    add_source(parser)
    add_accept(parser)
    add_shape(parser)


def run(options: argparse.Namespace) -> int:
    """Print how each source stands. 3 if a day is missing or far off, a source stale, or a file not understood."""
    settings, chosen, days = load_settings(), [SOURCES[name] for name in sources(options)], window(options)
    found = status(settings, chosen, days)
    if options.accept is not None:
        told = accept(settings, found, days, (by := who(options)), options.accept)
        for line in told:
            note(line)
        note(f'{counted(len(told), "finding")} accepted by {by}: {options.accept}')
        found = status(settings, chosen, days)
    strays = not_understood(settings.data_dir, [source.name for source in chosen], settings.mapping)
    missing = sum(len(each.missing) for each in found)
    look = LOOK if missing or strays or any(each.far_off or each.stale for each in found) else DONE
    costs = warehouse(settings).costs(_last_days(settings))
    if options.json:
        record = {
            'missing': missing,
            'not_understood': {stray.name: stray.reason for stray in strays},
            'sources': {each.source: each.record() for each in found},
            'costs': [vars(cost) | {'usd': cost.usd} for cost in costs],
        }
        say_json(record)
        return look
    for each in found:
        _write(each)
    used = {day.state for each in found for day in each.days}
    if used:
        say_styled(('  '.join(f'{STATES[state][0]} {state}' for state in STATES if state in used), 'dim'))
    for stray in strays:
        say_sentence(str(stray))
    if costs:
        _say_costs(costs)
    say_sentence(_verdict(found, len(strays)))
    return look


def _last_days(settings: Settings) -> Window:
    now = today(settings.timezone)
    return Window(moved(now, 1 - _COST_DAYS), now)


def _say_costs(costs: list[Cost]) -> None:
    """What loads, refreshes and checks were billed, a line per day."""
    names = ('runs', 'bytes_processed', 'bytes_billed', 'slot_ms')
    heads = [Column('cost', whole=True), *(Column(name, right=True) for name in (*names, 'usd'))]
    rows = [[str(cost.day), *(f'{getattr(cost, name):,}' for name in names), f'{cost.usd:f}'] for cost in costs]
    totals = [f'{sum(getattr(cost, name) for cost in costs):,}' for name in names]
    worth = sum((cost.usd for cost in costs), Decimal(0))
    title = f'the last {_COST_DAYS} days, at {USD_PER_TIB} USD per TiB'
    say_table(heads, rows, title=title, totals=['in all', *totals, f'{worth:f}'])
    say()


def _write(each: SourceStatus) -> None:
    say_styled((each.source, 'bold'))
    for part in _standing(each):
        say_sentence(f'  {part}')
    for month, days in groupby(each.days, key=lambda day: f'{day.day:%Y-%m}'):
        of_month = {day.day.day: day for day in days}
        say_styled(f'  {month}  ', *(_cell(of_month.get(number)) for number in range(1, 32)))
    for state, (_, meaning, _) in STATES.items():
        of_state = [day for day in each.days if day.state == state]
        if not of_state or state in ('loaded', 'running'):
            continue
        say_sentence(f'  {spans(day.day for day in of_state)}: {state}, {meaning}')
        with_details = ('failed', 'rows outside', 'file changed')
        for detail in dict.fromkeys(day.detail for day in of_state if day.detail and state in with_details):
            say_sentence(f'    {detail}')
        if told := remedy(each.source, state, of_state):
            say_styled((f'    {told}', 'cyan'))
    for why in dict.fromkeys(day.broken_off for day in each.days if day.broken_off):
        days_of = spans(day.day for day in each.days if day.broken_off == why)
        say_sentence(f'  {days_of}: the load before counts; since then {why}')
    for name, reason in each.left_out.items():
        say_sentence(f'  {name} is left out: {reason}')
    for far_off in each.far_off:
        _waiting(f'{far_off}: far off; if that is right:', accept_command(each.source))
    if each.provisional:
        say_sentence(f'  provisional, another delivery may correct them: {spans(each.provisional)}')
    if each.stale:
        _waiting(f'{each.stale}; if that is right:', accept_command(each.source))
    if each.rejects:
        _waiting(f'{counted(each.rejects, "row")} rejected', f'python -m kly_mage rejects --source {each.source}')
    if each.conflicts:
        text = f'{counted(each.conflicts, "row")} in conflict, in bronze.{each.source}_conflicts'
        _waiting(text, f'python -m kly_mage conflicts --source {each.source}')
    for rule, rows in each.rules.items():
        _waiting(f'{counted(rows, "row breaks", "rows break")} the rule: {rule}', None)
    if each.late:
        told = ', '.join(f'{rows:,} by {counted(int(lag), "day")}' for lag, rows in each.late.items())
        _waiting(f'came late, as of the last reconcile: {told}', None)
    say()


def _standing(each: SourceStatus) -> list[str]:
    if each.last_load is None:
        return ['never loaded']
    load, told = each.last_load, []
    days = f'{load["start"]}' if load['start'] == load['end'] else f'{load["start"]} to {load["end"]}'
    told.append(f'last load {load["load_id"]} at {load["finished_at"]:%Y-%m-%d %H:%M} UTC for {days} ({load["started_by"]})')
    if each.newest_day:
        told.append(f'newest day {each.newest_day}, {counted(each.lag_days or 0, "day")} behind yesterday')
    return told


def _cell(day: Day | None) -> tuple[str, str]:
    return (STATES[day.state][0], _COLOURS.get(day.state, 'bold red')) if day else (' ', '')


def remedy(source: str, state: str, days: list[Day]) -> str | None:
    """What to do about days of a source that are in this state; None where there is nothing to do."""
    load = backfill([day.day for day in days])
    return {
        'late': load,
        'not loaded': load,
        'never finished': load,
        'failed': f'repair the cause, then {load}',
        'missing file': f'deliver the files into {source}/, then {load}',
        'file changed': load.replace(' backfill ', f' repair --source {source} ') if load else None,
        'rows outside': f'say in kly_mage/declared/{source}.py which days its files may hold, then {load}',
        'all rejected': f'python -m kly_mage rejects --source {source}; deliver the files again, then {load}',
        'empty file': f'deliver the files again, then {load}',
        'incomplete': f'once what is left out can be used, {load}',
    }.get(state)


def _waiting(text: str, command: str | None) -> None:
    say_sentence(f'  {text}')
    if command:
        say_styled((f'    {command}', 'cyan'))


def _verdict(found: list[SourceStatus], strays: int) -> str:
    missing = {each.source: len(each.missing) for each in found if each.missing}
    told = 'no day missing'
    if not any(each.days for each in found):
        told = 'no load yet, and no file with a day in its name'
    elif missing:
        told = 'days missing: ' + ', '.join(f'{source} {count:,}' for source, count in missing.items())
    return f'{told}; {strays:,} not understood' if strays else told
