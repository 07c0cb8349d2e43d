"""``conflicts``: rows with the key of another row and other values, until somebody has decided."""

import argparse
from decimal import Decimal
from itertools import islice

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
from kly_mage.common.console import note, say
from kly_mage.common.records import plain, say_json_rows
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, cents, say_table
from kly_mage.common.text import counted
from kly_mage.declared import SOURCES
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.waiting import Conflict


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, of which days, and whether they need no further look."""
    add_source(parser)
    add_days(parser)
    add_accept(parser)
    add_shape(parser)
    add_limit(parser)


def run(options: argparse.Namespace) -> int:
    """List the conflicts that wait, after accepting them if that is asked for. 3 if any are left."""
    store, asked, days = warehouse(load_settings()), sources(options), window(options)
    accepted = 0
    if options.accept:
        accepted = store.accept_conflicts(asked, days, (by := who(options)), options.accept)
        (note if options.json else say)(f'{counted(accepted, "conflict")} accepted by {by}: {options.accept}')
    count = store.count_conflicts(asked, days)
    if options.json:
        say_json_rows({'accepted': accepted}, 'waiting', map(_record, store.waiting_conflicts(asked, days)))
        return LOOK if count else DONE
    found = [*islice(store.waiting_conflicts(asked, days, limit=options.limit), options.limit)]
    if found:
        rows = (
            [*((each.file, f'{each.line}', each.key) if n == 0 else ('', '', '')), name, *_amounts(each.source, name, of)]
            for each in found
            for n, (name, of) in enumerate(_differences(each).items())
        )
        names = ('file', 'line', 'key', 'column', 'says', 'counts')
        say_table([Column(name, right=name in ('line', 'says', 'counts')) for name in names], rows)
    say(counted(count, 'conflict waits', 'conflicts wait') + first_of(found, count))
    if count:
        note(f"if what counts is right: python -m kly_mage conflicts{asked_again(options)} --accept 'WHY'")
    return LOOK if count else DONE


def _record(conflict: Conflict) -> dict[str, object]:
    return vars(conflict) | {'differences': _differences(conflict)}


def _amounts(source: str, name: str, of: dict[str, str | None]) -> list[str]:
    """Both values for a table: money to the cent where that tells them apart, counts with their thousands."""
    says, counts = of['says'] or '', of['counts'] or ''
    if name in SOURCES[source].money_columns and says and counts:
        short = [cents(Decimal(value)) for value in (says, counts)]
        return short if short[0] != short[1] else [says, counts]
    return [f'{int(value):,}' if value.isdecimal() and _is_count(source, name) else value for value in (says, counts)]


def _is_count(source: str, name: str) -> bool:
    return name in SOURCES[source].names and SOURCES[source].column(name).kind == 'count'


def _differences(conflict: Conflict) -> dict[str, dict[str, str | None]]:
    """By column what the row says and what counts; money without the zeros that the database adds."""

    def told(name: str, value: str | None) -> str | None:
        return plain(Decimal(value)) if value and name in SOURCES[conflict.source].money_columns else value

    return {
        name: {'says': told(name, says), 'counts': told(name, counts)}
        for name, (says, counts) in conflict.differences.items()
    }
