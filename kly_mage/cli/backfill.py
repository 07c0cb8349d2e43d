"""``backfill``: a range of days through the blocks of the pipelines."""

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import date
from itertools import islice
from typing import Any

from kly_mage.cli.arguments import accept_command, add_days, add_quiet, number_of, window
from kly_mage.cli.loaded_days import Load, by_day, numbers_of, say_days
from kly_mage.common.console import note, say, say_sentence
from kly_mage.common.errors import KlyError, UsageError, WarehouseError, WindowError
from kly_mage.common.records import say_json
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.text import counted
from kly_mage.common.window import DAILY, Window, daily, ranges, spans, today
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing import files as landing
from kly_mage.landing.left_out import at_first_sight, refuse_all
from kly_mage.landing.not_understood import not_understood
from kly_mage.loads import runner, summary
from kly_mage.loads.found import find_files
from kly_mage.loads.progress import progress
from kly_mage.loads.shares import MOST_PROCESSES, processes, shares
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.ledger import days_without_file
from kly_mage.warehouse.postgres.connection import kept

SHOWN_REJECTS = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """The days, and how."""
    add_days(parser)
    parser.add_argument(
        '--daily', action='store_true', help='what the daily trigger loads: yesterday, late days, days that wait'
    )
    parser.add_argument('--missing', action='store_true', help='the days that status calls missing')
    names = runner.names()
    parser.add_argument(
        '--pipeline', type=_pipeline, choices=names, metavar='NAME', help=f'{" or ".join(names)}; without it all'
    )
    parser.add_argument('--reread', action='store_true', help='read files too that have not changed since they were loaded')
    parser.add_argument(
        '--workers',
        type=number_of('processes', MOST_PROCESSES),
        metavar='N',
        help='load days side by side in as many processes; without it one for each two cores, where the files are worth it',
    )
    parser.add_argument('--via-mage', action='store_true', help='as a Mage backfill on the running server')
    parser.add_argument(
        '--details',
        action='store_true',
        help='a line per day and every remark; a terminal gets them folded, a log in full',
    )
    add_quiet(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument('--json', action='store_true', help='as JSON, whose shape is in docs/json.md')
    shape.add_argument('--dry-run', action='store_true', help='list the days and files, load nothing')


@kept()
def run(options: argparse.Namespace) -> int:
    """Load the days and refresh the marts. 3 if a day, a file or a row needs a look: the lines before the last say which."""
    chosen = [options.pipeline] if options.pipeline else runner.names()
    codes, failures, record = [0], list[KlyError](), list[dict[str, Any]]()
    for pipelines, days in _ranges(options, chosen):
        try:
            codes.append(_load(options, pipelines, days, record))
        except WarehouseError:  # it would meet every range
            raise
        except KlyError as error:  # what does not load today does not hold up the days behind it
            failures.append(error)
    if options.json:
        say_json({'ranges': record, 'errors': [str(error) for error in failures]})
    for further in failures[1:]:
        note(f'error: {further}')
    if failures:
        raise failures[0]
    return max(codes)


def _ranges(options: argparse.Namespace, chosen: list[str]) -> list[tuple[list[str], Window]]:
    """What is to be loaded, one range after the other: pipelines and days."""
    days = window(options)
    if options.daily:
        if days or options.missing:
            raise WindowError('--daily names days of its own: leave --start, --end, --last and --missing out')
        return [(chosen, _due(warehouse(load_settings()).reach(), _sources(chosen)))]
    if options.missing:
        if not (found := _missing_days(chosen, days)):
            (note if options.json else say)('no day missing')
        return found
    if days is None:
        raise WindowError(
            'which days? pass --start and --end, both included, such as --start 2025-10-01 --end 2025-10-31; '
            'or --last 7, --daily, --missing'
        )
    return [(chosen, days)]


def _due(settings: Settings, sources: list[Source]) -> Window:
    """What the daily trigger would load now, in one range for all sources."""

    def waiting(days: Window) -> date | None:
        found = (warehouse(settings).first_waiting(source, find_files(settings, source), days) for source in sources)
        return min((day for day in found if day), default=None)

    late_days = max(source.late(settings.late_days) for source in sources)
    return daily(DAILY, today(settings.timezone), late_days, waiting)


def _missing_days(chosen: list[str], days: Window | None) -> list[tuple[list[str], Window]]:
    """The days that ``status`` calls missing for a source of a pipeline, as ranges.

    Raises:
        WindowError: nothing says which days there are.
    """
    from kly_mage.checks.status import status  # only who asks for it pays for its import

    of_pipeline = {name: _sources([name]) for name in chosen}
    found = status(warehouse(load_settings()).reach(), [each for sources in of_pipeline.values() for each in sources], days)
    if not any(source.days for source in found):
        raise WindowError(
            'no load yet, and no file with a day in its name, so which days? pass --start and --end; '
            'python -m kly_mage inspect FILE says which are in a file'
        )
    missing = {source.source: {day.day for day in source.missing} for source in found}
    return [
        ([name], each)
        for name, sources in of_pipeline.items()
        for each in ranges({day for source in sources for day in missing[source.name]})
    ]


def _load(options: argparse.Namespace, chosen: list[str], days: Window, record: list[dict[str, Any]]) -> int:
    """One range of days; 3 if something needs a look. What it did is added to the record that ``--json`` gives."""
    if options.dry_run:
        return _plan(load_settings(), _sources(chosen), days)
    if options.via_mage and options.reread:
        raise UsageError('--reread is for loads of this process; in Mage, give the trigger a variable reread: true')
    if options.workers and (options.via_mage or load_settings().warehouse == 'bigquery'):
        raise UsageError('--workers is for processes of this command, which load into PostgreSQL: leave it out')
    if options.via_mage:
        runner.blocks(chosen)  # a name that is none is said before the server is asked
        from kly_mage.mage import backfills as via_mage  # what a Mage server needs takes a tenth of a small load to import

        loads = via_mage.run(chosen, days, options.quiet)
    else:
        with progress(quiet=options.quiet) as step:
            asked: dict[str, Any] = {
                'start_date': days.start,
                'end_date': days.end,
                'started_by': 'command line',
                'progress': step,
                'reread': options.reread,
            }
            workers = processes(options.workers)
            cut = shares(warehouse(load_settings()).reach(), _sources(chosen), days, options.workers) if workers > 1 else {}
            loads = list(runner.run(chosen, shares=cut, workers=workers, **asked).values())
    settings = warehouse(load_settings()).reach()
    missing = {load['source']: _missing(settings, SOURCES[load['source']], days) for load in loads}
    if not options.quiet and not options.via_mage:
        details = options.details or not sys.stderr.isatty()
        if details:
            say_days(by_day(settings, loads, days, missing), on_terminal=sys.stderr.isatty())
        folded = 0
        for line in _attention(settings, loads, missing, days):
            if details or not line.startswith('  '):
                note(line)
            else:
                folded += 1
        if folded:
            note(f'{counted(folded, "more line")}, and one per day, with --details')
    for line in _left_out(loads):
        note(line)
    strays = not_understood(settings.data_dir, [load['source'] for load in loads], settings.mapping)
    for stray in strays:
        note(str(stray))
    looks = {load['source']: summary.look(load, missing[load['source']]) for load in loads}
    unread = {stray.name: stray.reason for stray in strays}
    of_loads = [_record(load, missing[load['source']], looks[load['source']]) for load in loads]
    record.append({'start': days.start, 'end': days.end, 'loads': of_loads, 'not_understood': unread})
    told = [f'{load["source"]}: {summary.counts(load, missing[load["source"]])}' for load in loads]
    (note if options.json else say_sentence)('; '.join([*told, f'{len(strays):,} not understood'] if strays else told))
    return 3 if strays or any(looks.values()) else 0


def _record(load: Load, missing: list[date], look: list[str]) -> dict[str, Any]:
    """A load for programs; one of several runs of Mage has no number."""
    rows = {name.removeprefix('rows_'): count for name, count in load.items() if name.startswith('rows_')}
    names = (
        'source',
        'load_id',
        'money_read',
        'rejects_accepted',
        'conflicts_accepted',
        'left_out',
        'files_changed',
        'far_off',
        'stale',
        'final_days',
    )
    return {name: load.get(name) for name in names} | {'rows': rows, 'missing': missing, 'needs_a_look': look}


def _pipeline(name: str) -> str:
    if name not in runner.names():
        raise argparse.ArgumentTypeError(f'no pipeline {name!r}: there are {", ".join(runner.names())}')
    return name


def _sources(chosen: list[str]) -> list[Source]:
    """The sources these pipelines load, in the order of their blocks."""
    loaders = [block.uuid.removeprefix('load_') for block in runner.blocks(chosen) if block.type == 'data_loader']
    return [SOURCES[name] for name in loaders]


def _missing(settings: Settings, source: Source, days: Window) -> list[date]:
    return summary.missing_days(settings, source, find_files(settings, source), days)


def _plan(settings: Settings, sources: list[Source], days: Window) -> int:
    """Say which files a load of these days would read; the headers are checked, nothing else is looked at."""
    look = False
    for source in sources:
        files = find_files(settings, source)
        near = landing.files_for(files, days, settings.late_days)
        left_out = at_first_sight(source, [file for file in near if not file.is_table], settings.settle_seconds)
        refuse_all(near, near, left_out)
        absent = set(days_without_file(source, files, days))
        of_days: dict[date | None, list[landing.LandingFile]] = {}
        for file in near:
            of_days.setdefault(file.day, []).append(file)
        look |= bool(left_out) or (bool(absent) and None not in of_days)
        say(f'{source.name}: {days}')
        for day in days:
            of_day = of_days.get(day, [])
            if of_day or day in absent:
                say(f'  {day}  {_names(of_day)}')
        for title, found in (
            ('late rows', [file for file in near if file.day and file.day > days.end]),
            ('any day', of_days.get(None, [])),
        ):
            if found:
                say(f'  {title:10}  {_names(found)}')
        for name, reason in left_out.items():
            say(f'  cannot be used: {name}: {reason}')
        if source.any_day:
            say('  and every file that no load has read so far')
    strays = not_understood(settings.data_dir, [source.name for source in sources], settings.mapping)
    for stray in strays:
        say(str(stray))
    say('nothing was loaded: --dry-run only lists')
    return 3 if look or strays else 0


def _names(files: list[landing.LandingFile]) -> str:
    told = (file.name if file.is_table else f'{file.name} ({counted(file.size, "byte")})' for file in files)
    return ', '.join(told) or 'no file'


def _attention(settings: Settings, loads: list[Load], missing: dict[str, list[date]], days: Window) -> Iterable[str]:
    """What needs a look, and what to do about it."""
    for load in loads:
        name = load['source']
        if missing[name]:
            yield f'{name}: no file, or one without rows, for {spans(missing[name])}'
        if count := load['rows_rejected'] - load['rejects_accepted']:
            yield f'{name}: {_rows(count)} cannot be used; python -m kly_mage rejects --source {name} lists them'
            yield from _first(load, warehouse(settings).rejects)
        if count := load['rows_outside']:
            yield (
                f'{name}: {_rows(count)} of days that their file may not hold, which no load takes: say in '
                f'kly_mage/declared/{name}.py in which zone its files are cut, and how early or late their rows may be'
            )
            yield from _first(load, warehouse(settings).outside)
        if count := load['rows_withdrawn']:
            yield (
                f'{name}: {_rows(count)} of bronze count no longer, because the newest delivery of their day lacks them and '
                f'has no other version: bronze.{name}_corrections has them'
            )
        if load['final_days']:
            told = spans(map(date.fromisoformat, load['final_days']))
            yield f'{name}: days that were final are corrected: {told}; gold.restatements says by how much'
        if load['files_changed']:
            yield from warehouse(settings).changed(SOURCES[name], days, SHOWN_REJECTS)
            command = f'python -m kly_mage repair --source {name} --start {days.start} --end {days.end}'
            yield f'  {command} makes bronze and gold what the files say'
        for far_off in load['far_off']:
            yield f'{name} {far_off}; if that is right: {accept_command(name)}'
        if summary.stale_beside(load, missing[name]):
            yield f'{name}: {load["stale"]}; if that is right: {accept_command(name)}'
        if count := load['rows_conflicting'] - load['conflicts_accepted']:
            values = ', '.join(column.name for column in SOURCES[name].value_columns)
            applies = SOURCES[name].applies_restatements
            yield (
                f'{name}: {_rows(count)} with the key of another row {"of their file " if applies else ""}but other values; '
                f'python -m kly_mage conflicts --source {name} lists them'
            )
            yield (
                f'  the first {"row of the newest file" if applies else "version"} counts, the others stand in '
                f'bronze.{name}_conflicts. They differ in {values} or what is not declared: if they are no restatements but '
                f'finer-grained rows, add what tells them apart to hash_columns in kly_mage/declared/{name}.py'
            )


def _first(load: Load, of_load: Callable[[int, int], list[str]]) -> Iterable[str]:
    """The first lines about a load, or about those that were made side by side."""
    lines = (line for number in numbers_of(load) for line in of_load(number, SHOWN_REJECTS))
    return (f'  {line}' for line in islice(lines, SHOWN_REJECTS))


def _left_out(loads: list[Load]) -> Iterable[str]:
    """The files that could not be used: whoever loads is told each time, until they are delivered again."""
    for load in loads:
        for name, reason in load['left_out'].items():
            yield f'{name} is left out, its days are incomplete: {reason}'


def _rows(count: int) -> str:
    return counted(count, 'row')
