"""``backfill``: a range of days through the blocks of the pipelines."""

import argparse
from typing import Any

from kly_mage.utils import pipelines
from kly_mage.utils.console import note, say
from kly_mage.utils.errors import WindowError
from kly_mage.utils.window import Window


def run(options: argparse.Namespace) -> int:
    """Load the days and refresh the marts. 3 if days are missing, or rows were rejected or are in conflict."""
    if options.start is None:
        raise WindowError('which days? pass --start and --end, both included, such as --start 2025-10-01 --end 2025-10-31')
    days = Window(options.start, options.end)
    chosen = [options.pipeline] if options.pipeline else pipelines.names()
    loads = pipelines.run(chosen, start_date=days.start, end_date=days.end, started_by='command line')
    for load in loads.values():
        if not options.quiet:
            note(_line(load))
    say('; '.join(_line(load) for load in loads.values()))
    return 3 if any(load['rows_rejected'] or load['rows_conflicting'] for load in loads.values()) else 0


def _line(load: dict[str, Any]) -> str:
    parts = ('read', 'distinct', 'new', 'known', 'rejected', 'conflicting')
    return f'{load["source"]}: ' + ', '.join(f'{load[f"rows_{part}"]:,} {part}' for part in parts)
