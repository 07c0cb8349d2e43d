"""``rejects``: rows that cannot be used, and a second try for them."""

import argparse
from typing import Any

from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import add_accept, add_days, add_shape, add_source, sources, who, window
from kly_mage.common import console
from kly_mage.common.console import note
from kly_mage.common.records import say_json
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.common.text import counted
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.loads.rejects import retry
from kly_mage.warehouse.postgres.decisions import accept_rejects
from kly_mage.warehouse.postgres.rejects import Waiting, waiting
from kly_mage.warehouse.postgres.server import server

SHOWN_CHARACTERS = 50  # of a long value


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose rejects, and whether they get another try, or need no further look."""
    add_source(parser)
    add_days(parser)
    add_accept(parser)
    add_shape(parser)
    parser.add_argument('--retry', action='store_true', help='load those that have become usable')


def run(options: argparse.Namespace) -> int:
    """List the rejects that wait, after a retry if that is asked for. 3 if any are left that nobody has accepted."""
    settings, days = server(load_settings()), window(options)
    done: dict[str, Any] = {'accepted': 0, 'resolved': 0, 'new': 0}
    say = note if options.json else console.say  # one document is all that a program wants
    if options.accept:
        accepted = accept_rejects(settings, sources(options), days, (by := who(options)), options.accept)
        done['accepted'] = accepted
        say(f'{counted(accepted, "reject")} accepted by {by}: {options.accept}')
    if options.retry:
        outcome = retry(settings, sources(options))
        new = sum(load['rows_new'] for load in outcome.loads)
        for load in outcome.loads:
            note(f'{load["source"]} {load["days"]}: {load["rows_new"]:,} new, {load["rows_rejected"]:,} rejected')
        for reject in outcome.taken:
            note(f'{reject.file}, line {reject.line}: taken as it stands, though it has no end')
        done |= {'resolved': outcome.resolved, 'new': new}
        say(f'{counted(outcome.resolved, "reject")} resolved, {counted(new, "row")} loaded')
    found = waiting(settings, sources(options), days)
    if options.json:
        say_json(done | {'waiting': [_record(each) for each in found]})
        return LOOK if found else DONE
    if found:
        columns = [Column(name, right=name == 'line') for name in ('file', 'line', 'column', 'value', 'reason')]
        say_table(columns, map(_cells, found))
    say(counted(len(found), 'reject waits', 'rejects wait'))
    return LOOK if found else DONE


def _record(reject: Waiting) -> dict[str, Any]:
    line = None if reject.line == FILE_LINE else reject.line
    return {name: getattr(reject, name) for name in ('source', 'file', 'column', 'value', 'reason', 'day')} | {'line': line}


def _cells(reject: Waiting) -> list[str]:
    value = '' if reject.value is None else repr(reject.value)
    if len(value) > SHOWN_CHARACTERS + 10:
        value = f'{value[:SHOWN_CHARACTERS]}… ({len(reject.value or ""):,} characters)'
    line = '' if reject.line == FILE_LINE else f'{reject.line}'
    return [reject.file, line, reject.column or '', value, reject.reason]
