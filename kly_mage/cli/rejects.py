"""``rejects``: rows that cannot be used, and a second try for them."""

import argparse
from typing import Any

from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import (
    add_accept,
    add_days,
    add_limit,
    add_shape,
    add_source,
    asked_again,
    first_of,
    sources,
    who,
    window,
)
from kly_mage.common import console
from kly_mage.common.console import note
from kly_mage.common.records import say_json_rows
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.common.text import counted
from kly_mage.landing.formats import location
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.loads.rejects import retry
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.waiting import Cause, Waiting

SHOWN_CHARACTERS = 50  # of a long value
SHOWN_CAUSES = 20
_COLUMNS = ('file', 'line', 'column', 'value', 'reason')


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose rejects, and whether they get another try, or need no further look."""
    add_source(parser)
    add_days(parser)
    add_accept(parser)
    add_shape(parser)
    add_limit(parser)
    parser.add_argument('--retry', action='store_true', help='load those that have become usable')


def run(options: argparse.Namespace) -> int:
    """List the rejects that wait, after a retry if that is asked for. 3 if any are left that nobody has accepted."""
    settings, days, asked = load_settings(), window(options), sources(options)
    store = warehouse(settings)
    done: dict[str, Any] = {'accepted': 0, 'resolved': 0, 'new': 0}
    say = note if options.json else console.say  # one document is all that a program wants
    if options.accept:
        accepted = store.accept_rejects(asked, days, (by := who(options)), options.accept)
        done['accepted'] = accepted
        say(f'{counted(accepted, "reject")} accepted by {by}: {options.accept}')
    if options.retry:
        outcome = retry(settings, asked)
        new = sum(load['rows_new'] for load in outcome.loads)
        for load in outcome.loads:
            note(f'{load["source"]} {load["days"]}: {load["rows_new"]:,} new, {load["rows_rejected"]:,} rejected')
        for reject in outcome.taken:
            note(f'{location(reject.file, reject.line)}: taken as it stands, though it has no end')
        done |= {'resolved': outcome.resolved, 'new': new}
        say(f'{counted(outcome.resolved, "reject")} resolved, {counted(new, "row")} loaded')
    found = store.causes(asked, days)
    if options.json:
        say_json_rows(done, 'waiting', map(_record, store.waiting_rejects(asked, days)))
    else:
        _say(found, [*store.waiting_rejects(asked, days, limit=options.limit)])
        if found:
            of_source = f' --source {options.source}' if options.source else ''  # a second try is one of a source's files
            note(f'once their files are repaired: python -m kly_mage rejects{of_source} --retry')
            note(f"if nobody needs them: python -m kly_mage rejects{asked_again(options)} --accept 'WHY'")
    return LOOK if found else DONE


def _say(found: list[Cause], shown: list[Waiting]) -> None:
    """The rows, and what they and all others are about where they are too many to read."""
    if shown:
        say_table([Column(name, right=name == 'line') for name in _COLUMNS], map(_cells, shown))
    count = sum(cause.rows for cause in found)
    if count == len(shown):
        console.say(counted(count, 'reject waits', 'rejects wait'))
        return
    console.say()
    columns = [Column(name, right=name == 'rows') for name in ('file', 'column', 'reason', 'rows')]
    say_table(columns, ([each.file, each.column or '', each.reason, f'{each.rows:,}'] for each in found[:SHOWN_CAUSES]))
    if len(found) > SHOWN_CAUSES:
        console.say(f'and {counted(len(found) - SHOWN_CAUSES, "further cause")} in fewer rows')
    console.say(counted(count, 'reject waits', 'rejects wait') + first_of(shown, count))


def _record(reject: Waiting) -> dict[str, Any]:
    line = None if reject.line == FILE_LINE else reject.line
    return {name: getattr(reject, name) for name in ('source', 'file', 'column', 'value', 'reason', 'day')} | {'line': line}


def _cells(reject: Waiting) -> list[str]:
    value = '' if reject.value is None else repr(reject.value)
    if len(value) > SHOWN_CHARACTERS + 10:
        value = f'{value[:SHOWN_CHARACTERS]}… ({len(reject.value or ""):,} characters)'
    line = '' if reject.line == FILE_LINE else f'{reject.line}'
    return [reject.file, line, reject.column or '', value, reject.reason]
