"""What a load did, in one line: the same for the command line, Mage's output and logs, and an alert."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window, spans
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.readers import is_empty
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.ledger import CORRECTED, PARTS, word

Load = Mapping[str, Any]
_ALWAYS = ('read', 'distinct', 'new', 'already_loaded', 'rejected', 'conflicting')
_IF_ANY = ('restated', 'unchanged', 'duplicate', 'superseded', 'outside', 'forgotten')


def missing_days(settings: Settings, source: Source, files: Collection[LandingFile], days: Window) -> list[date]:
    """The days for which there is no file and no row, or only files without a row.

    Args:
        files: all files of the source.
    """
    without_rows = [day for day in days if (own := [file for file in files if file.day == day]) and all(map(is_empty, own))]
    return sorted({*warehouse(settings).missing_days(source, files, days), *without_rows})


def counts(load: Load, missing: Sequence[date]) -> str:
    """How many rows were read, what became of them, and what was not there to be read.

    Args:
        load: as ``steps.export_new_rows`` returns it.
        missing: as ``missing_days`` gives them.
    """
    told = [f'{load[f"rows_{part}"]:,} {word(part)}' for part in _ALWAYS]
    told += [f'{load[f"rows_{part}"]:,} {word(part)}' for part in _IF_ANY if load[f'rows_{part}']]
    told += [f'{load[f"rows_{part}"]:,} of bronze {word(part)}' for part in CORRECTED if load[f'rows_{part}']]
    others = {
        'file{} left out': len(load['left_out']),
        'file{} changed': load['files_changed'],
        'day{} missing': len(missing),
    }
    for what, count in others.items():
        if count:
            told.append(f'{count:,} {what.format("" if count == 1 else "s")}')
    return ', '.join(told)


def without_place(load: Load) -> int:
    """How many rows that were read are in none of the places: a load that has any has lost them."""
    return int(load['rows_read'] - sum(load[f'rows_{part}'] for part in (*PARTS, 'outside')))


def look(load: Load, missing: Sequence[date]) -> list[str]:
    """What of a load needs a look, and where to look; empty if all is well."""
    name, found = load['source'], []
    if missing:
        found.append(f'no file and no row for {spans(missing)}')
    found += [f'{file} is left out' for file in load['left_out']]
    if load['rows_rejected'] > load['rejects_accepted']:
        found.append(f'rows cannot be used (python -m kly_mage rejects --source {name})')
    if load['rows_outside']:
        found.append(f'rows are of days that their file may not hold (kly_mage/declared/{name}.py says which)')
    if load['rows_withdrawn']:
        found.append(f'rows are withdrawn: the newest delivery of their day lacks them (bronze.{name}_corrections has them)')
    if load['final_days']:
        days = spans(map(date.fromisoformat, load['final_days']))
        found.append(f'days that were final are corrected ({days}; gold.restatements says by how much)')
    if load['files_changed']:
        found.append(f'files have changed since they were loaded (python -m kly_mage repair --source {name})')
    if load['far_off']:
        found.append(f'volume far from the days around ({"; ".join(load["far_off"])})')
    if stale_beside(load, missing):
        found.append(load['stale'])
    if load['rows_conflicting'] > load['conflicts_accepted']:
        found.append(f'rows have the key of others and other values (python -m kly_mage conflicts --source {name})')
    return found


def stale_beside(load: Load, missing: Sequence[date]) -> bool:
    """Whether nothing new has come for too long, and not all the days since are told as missing: one cause is told once."""
    return bool(load['stale']) and not {date.fromisoformat(day) for day in load['stale_days']} <= set(missing)


def line(load: Load, missing: Sequence[date], looks: Sequence[str]) -> str:
    """Source, days, counts, and what needs a look."""
    told = f'{load["source"]} {load["days"]}: {counts(load, missing)}'
    return f'{told}; needs a look: {"; ".join(looks)}' if looks else told
