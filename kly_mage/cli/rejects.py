"""``rejects``: rows that cannot be used, and a second try for them."""

import argparse
import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kly_mage.common.console import note, say
from kly_mage.common.settings import load_settings
from kly_mage.declared import SOURCES
from kly_mage.loads.rejects import Waiting, retry, waiting
from kly_mage.warehouse.postgres.server import server


def run(options: argparse.Namespace) -> int:
    """List the rejects that wait, after a retry if that is asked for. 3 if any are left."""
    settings = server(load_settings())
    sources = [options.source] if options.source else list(SOURCES)
    if options.retry:
        outcome = retry(settings, sources)
        new = sum(load['rows_new'] for load in outcome.loads)
        for load in outcome.loads:
            note(f'{load["source"]} {load["days"]}: {load["rows_new"]:,} new, {load["rows_rejected"]:,} rejected')
        say(f'{outcome.resolved:,} rejects resolved, {new:,} rows loaded')
    found = waiting(settings, sources)
    if found:
        _write(found)
    say(f'{len(found):,} rejects wait' if len(found) != 1 else '1 reject waits')
    return 3 if found else 0


def _write(found: list[Waiting]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ('file', 'line', 'column', 'value', 'reason'):
        table.add_column(name, justify='right' if name == 'line' else 'left', overflow='fold')
    for reject in found:
        value = '' if reject.value is None else repr(reject.value)
        shown = value if len(value) <= 60 else f'{value[:50]}… ({len(reject.value or ""):,} characters)'
        table.add_row(Text(reject.file), f'{reject.line}', Text(reject.column or ''), Text(shown), Text(reject.reason))
    Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
