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
from kly_mage.landing import files as landing
from kly_mage.loads import runner
from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres import rejects
from kly_mage.warehouse.postgres import unload as warehouse
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.unloading import Selection, Unloaded


def of_load(settings: Settings, load_id: int, *, keep: bool = True) -> list[Unloaded]:
    """Take out exactly what one load brought.

    Args:
        keep: False only finds out what would go.

    Raises:
        UsageError: there is no such load, or it brought nothing.
    """
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        source = warehouse.source_of(cursor, load_id)
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
        for file in landing.find_files(source, settings.data_dir, settings.timezone, settings.mapping):
            if name in (file.name, str(file.path)):
                rows = _hashed(settings, source, file)
                return [_take_out(settings, Selection(source, file=file.name, rows=rows), f'unload --file {name}', keep)]
    raise UsageError(f'{name}: no such file in {settings.data_dir}; what a load brought is taken out with --load')


def _hashed(settings: Settings, source: Source, file: landing.LandingFile) -> pl.DataFrame:
    found = [pl.DataFrame(schema={'_hashrow': pl.Binary})]
    taken = cache(lambda: rejects.taken(settings, source.name))
    for frame in readers.read(source, [file], None, timezone=settings.timezone, late_days=settings.late_days):
        hashes = rowhash.add_hashrow(cut.take(frame, taken), source)['_hashrow'].drop_nulls()
        if len(hashes):
            found.append(rowhash.stored(hashes).to_frame())
    return pl.concat(found)


def _take_out(settings: Settings, what: Selection, asked: str, keep: bool) -> Unloaded:
    def work() -> Unloaded:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            done = warehouse.unload(cursor, what, asked, lambda name: runner.Block(name, 'data_exporter', 'sql', ()).sql())
            if not keep:
                connection.rollback()
            return done

    return retrying(work)
