"""``inspect``: what a file is taken for before it is loaded, and a mapping to start from."""

import argparse
from pathlib import Path

import polars as pl

from kly_mage.cli import DONE, LOOK
from kly_mage.common.console import say
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.common.text import counted
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile, single
from kly_mage.landing.formats import at_line
from kly_mage.landing.inspection import inspect, source_of, start_of_mapping
from kly_mage.landing.mapping import mapping_for
from kly_mage.landing.mapping_file import MAPPINGS

SHOWN_CHARACTERS = 30  # of a value
SHOWN_DAYS = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and whether their mapping is to be written."""
    parser.add_argument('file', nargs='+', type=Path, help='wherever it lies; a name in the landing zone will do')
    parser.add_argument('--source', choices=sorted(SOURCES), help="whose it is, where its folder and name don't tell")
    parser.add_argument(
        '--mapping', action='store_true', help=f'print a mapping to start from, for {MAPPINGS}, and nothing else'
    )


def run(options: argparse.Namespace) -> int:
    """Look at each file; nothing is loaded. 3 if rows would be rejected."""
    settings, code = load_settings(), DONE
    for path in [each if each.exists() else settings.data_dir / each for each in options.file]:
        source = SOURCES[options.source] if options.source else source_of(path)
        if source is None:
            raise UsageError(f'{path}: neither its folder nor its name says whose file it is; add --source')
        file = single(source, path, settings.mapping or settings.data_dir / MAPPINGS)
        if options.mapping:
            for line in start_of_mapping(source, file):
                say(line)
        elif _told(source, file, settings):
            code = LOOK
    return code


def _told(source: Source, file: LandingFile, settings: Settings) -> int:
    """Say what a file is; gives how many of its rows would be rejected."""
    seen = inspect(source, file, settings.timezone)
    mapping = mapping_for(source, file, seen.columns)
    origins = {column.from_: name for name, column in mapping.columns.items()} if mapping else {}
    plain = f'as {seen.made_of or "it is"}'
    how = plain if mapping is None else f'by {MAPPINGS}' if file.mapping else 'as a report of Ad Manager'
    say(f'{file.name}: {source.name}, read {how}: {counted(len(seen.columns), "column")}, {counted(seen.rows, "row")}')
    rows = []
    for name in seen.columns:
        ignored = mapping is not None and name in mapping.ignore
        ours = origins.get(name, name)
        kind = source.column(ours).kind if ours in source.names else 'kept as text, not declared'
        rows.append([name, '' if ignored else ours, 'ignored' if ignored else kind, *_values(seen.first, ours)])
    say_table([Column('in the file', cut=40), Column('becomes', whole=True), Column('is'), Column('first rows')], rows)
    days = sorted((day, count) for day, count in seen.days.items() if day is not None)
    told = [f'{day} ({count:,})' for day, count in days[:SHOWN_DAYS]] + (['…'] if len(days) > SHOWN_DAYS else [])
    say(f'days in {settings.timezone} (rows): {", ".join(told) or "none"}')
    for reason, count in seen.rejects.most_common():
        say(f'would be rejected: {count:,}, the first in {at_line(file.name, seen.rejected[reason])}: {reason}')
    return seen.rejects.total()


def _values(first: pl.DataFrame, name: str) -> list[str]:
    if name not in first.columns:
        return ['']
    shown = ['' if value is None else str(value) for value in first[name]]
    return [' | '.join(text if len(text) <= SHOWN_CHARACTERS else f'{text[:SHOWN_CHARACTERS]}…' for text in shown)]
