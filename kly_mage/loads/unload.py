"""``unload``: what was loaded by mistake is taken out again, of bronze and gold."""

from collections.abc import Iterable
from functools import cache

import polars as pl

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing import cut, readers
from kly_mage.landing.files import LandingFile
from kly_mage.loads import found, runner
from kly_mage.rows import rowhash
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.unloading import Selection, Unloaded


def of_load(settings: Settings, load_id: int, *, keep: bool = True) -> list[Unloaded]:
    """Take out exactly what one load brought.

    Args:
        keep: False only finds out what would go.

    Raises:
        UsageError: there is no such load, or it brought nothing.
    """
    source = warehouse(settings).source_of_load(load_id)
    return [_take_out(settings, Selection(source, load_id=load_id), f'unload --load {load_id}', keep)]


def of_days(settings: Settings, sources: Iterable[str], days: Window | None, *, keep: bool = True) -> list[Unloaded]:
    """Take out the rows of these days, or all rows, of these sources; otherwise as ``of_load``."""
    asked = f'unload --start {days.start} --end {days.end}' if days else 'unload --source'
    return [_take_out(settings, Selection(SOURCES[name], days=days), asked, keep) for name in sources]


def of_file(settings: Settings, name: str, *, keep: bool = True) -> list[Unloaded]:
    """Take out the rows that stand in a file of the landing zone; those that others hold too come back with their days.

    Raises:
        UsageError: there is no such file: what it brought is found by the load that read it.
        LandingError: it cannot be read.
    """
    for source in SOURCES.values():
        for file in found.find_files(settings, source):
            if name in (file.name, str(file.path)) and not file.is_table:
                hashes = _hashed(settings, source, file)
                what = Selection(source, file=file.name, hashes=hashes)
                return [_take_out(settings, what, f'unload --file {name}', keep)]
    raise UsageError(f'{name}: no such file in {settings.data_dir}; what a load brought is taken out with --load')


def _hashed(settings: Settings, source: Source, file: LandingFile) -> pl.Series:
    hashes = [pl.Series('_hashrow', [], pl.String)]
    taken = cache(lambda: warehouse(settings).taken(source.name))
    for frame in readers.read(source, [file], None, timezone=settings.timezone, late_days=settings.late_days):
        hashes.append(rowhash.add_hashrow(cut.take(frame, taken), source)['_hashrow'].drop_nulls())
    return pl.concat(hashes)


def _take_out(settings: Settings, what: Selection, asked: str, keep: bool) -> Unloaded:
    return warehouse(settings).unload(
        what, asked, lambda name: runner.Block(name, 'data_exporter', 'sql', ()).sql(), keep=keep
    )
