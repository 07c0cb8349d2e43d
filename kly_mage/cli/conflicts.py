"""``conflicts``: rows with the key of another row and other values, until somebody has decided."""

import argparse

from kly_mage.cli import DONE, LOOK
from kly_mage.cli.arguments import add_accept, add_days, add_source, sources, who, window
from kly_mage.common.console import say
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.warehouse.postgres.decisions import accept_conflicts, conflicts
from kly_mage.warehouse.postgres.server import server


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose, of which days, and whether they need no further look."""
    add_source(parser)
    add_days(parser)
    add_accept(parser)


def run(options: argparse.Namespace) -> int:
    """List the conflicts that wait, after accepting them if that is asked for. 3 if any are left."""
    settings, days = server(load_settings()), window(options)
    if options.accept:
        accepted = accept_conflicts(settings, sources(options), days, (by := who(options)), options.accept)
        say(f'{accepted:,} conflicts accepted by {by}: {options.accept}')
    found = conflicts(settings, sources(options), days)
    if found:
        rows = (
            [each.file, f'{each.line}', each.key, name, here or '', counts or '']
            for each in found
            for name, (here, counts) in each.differences.items()
        )
        names = ('file', 'line', 'key', 'column', 'says', 'counts')
        say_table([Column(name, right=name in ('line', 'says', 'counts')) for name in names], rows)
    say(f'{len(found):,} conflicts wait' if len(found) != 1 else '1 conflict waits')
    return LOOK if found else DONE
