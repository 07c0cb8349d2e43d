"""``unload``: what was loaded by mistake goes out of bronze and gold; loading it again brings it back."""

import argparse

from kly_mage.checks.reconciliation.findings import backfill
from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, add_source, number_of, sources, window
from kly_mage.common.console import note, say
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted
from kly_mage.loads import unload
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.unloading import Unloaded


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is to be taken out: a load, a file, days, or a source."""
    # On BigQuery a load's number is the microsecond of its beginning.
    parser.add_argument('--load', type=number_of('a load', 10**17), metavar='N', help='exactly what this load brought')
    parser.add_argument('--file', metavar='NAME', help='the rows that stand in this file of the landing zone')
    add_days(parser)
    add_source(parser)
    parser.add_argument('--dry-run', action='store_true', help='say what would go, take nothing out')


def run(options: argparse.Namespace) -> int:
    """Take it out and build gold anew, in one transaction per source."""
    days = window(options)
    given = [bool(options.load), bool(options.file), bool(days or options.source)]
    if sum(given) != 1:
        raise UsageError('take out what? one of --load N, --file NAME, or days and sources: --start, --end, --source')
    settings, keep = warehouse(load_settings()).reach(), not options.dry_run
    if options.load:
        done = unload.of_load(settings, options.load, keep=keep)
    elif options.file:
        done = unload.of_file(settings, options.file, keep=keep)
    else:
        done = unload.of_days(settings, sources(options), days, keep=keep)
    for each in done:
        note(_told(each))
        if each.further:
            note(f'  with them goes what other loads had met: {counted(each.further, "further version")} of these rows')
        if each.load_id and each.days and keep:
            note(f'  {backfill([each.days.start, each.days.end])} loads it again')
    told = counted(sum(each.rows for each in done), 'row')
    say(f'{told} taken out of bronze and gold' if keep else f'{told} would go; --dry-run takes nothing out')
    return DONE


def _told(each: Unloaded) -> str:
    if each.load_id is None:
        return f'{each.source}: nothing of it is there'
    parts = [counted(each.rows, 'row'), counted(each.conflicts, 'conflict'), counted(each.rejects, 'reject')]
    parts.append(counted(each.restatements, 'restatement'))
    return f'{each.source}: {", ".join(part for part in parts if not part.startswith("0 ")) or "0 rows"}'
