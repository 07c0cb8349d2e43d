"""What the blocks of a lane call: read the days asked for, hash, insert what is new.

In Mage a block hands on one frame. The command line asks for a stream (``as_stream``): the loader then gives ``Frames``,
each transformer sees one frame after the other, and the exporter takes them all in one transaction.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.timer import timer
from kly_mage.common.window import Window, window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing import csv as landing_csv
from kly_mage.landing import files as landing
from kly_mage.loads import mage_run
from kly_mage.loads.progress import reading, silent
from kly_mage.rows import rowhash
from kly_mage.rows.frames import Frames
from kly_mage.warehouse.postgres import ledger
from kly_mage.warehouse.postgres.load import load
from kly_mage.warehouse.postgres.request import Request
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.server import export_environment, server

Kwargs = Mapping[str, Any]


def read_days(source_name: str, kwargs: Kwargs) -> pl.DataFrame | Frames:
    """The rows of the days a block is asked for, typed; rows that cannot be used have ``_reject`` filled.

    Raises:
        WindowError: the block's arguments name no day.
        LandingError: the landing zone or a file cannot be used.
    """
    settings, source = _server(), SOURCES[source_name]
    days = _window(settings, source, kwargs)
    files = _files(settings, source, days)
    landing_csv.undeclared_columns(source, files)  # a file that cannot be used is said before anything is read
    frames = landing_csv.read(source, files, days, timezone=settings.timezone, late_days=settings.late_days)
    if not kwargs.get('as_stream'):
        return landing_csv.whole(source, frames)
    return reading(frames, kwargs.get('progress') or silent, f'loading {source.name}', files)


def hash_rows(frame: Any, source_name: str) -> pl.DataFrame:
    """Distinct rows with ``_hashrow``; ``_duplicate_rows`` counts the equal ones each of them stands for.

    Args:
        frame: what a loader gave, polars or pandas.
    """
    source = SOURCES[source_name]
    frame = _polars(frame, source, 'load')
    with timer('hash'):
        frame = rowhash.add_hashrow(frame, source)
    with timer('distinct'):
        return rowhash.distinct(frame, source)


def export_new_rows(frames: Any, source_name: str, kwargs: Kwargs) -> dict[str, Any]:
    """Insert the rows bronze does not have yet, in one transaction, and say what became of every row.

    Args:
        frames: what the hash block gave, polars or pandas, or a stream of such frames.

    Returns:
        Load number, source, days, and the counts of ``counts.Counts``.
    """
    settings, source = _server(), SOURCES[source_name]
    days = _window(settings, source, kwargs)
    files = _files(settings, source, days)
    request = Request(
        source=source,
        window=days,
        files=files,
        undeclared=landing_csv.undeclared_columns(source, files),
        started_by=str(kwargs.get('started_by') or kwargs.get('trigger_name') or 'editor'),
        pipeline_run=str(kwargs['pipeline_run_id']) if kwargs.get('pipeline_run_id') else None,
    )
    if isinstance(frames, Frames):
        walk: Any = frames
    else:
        walk = [_polars(frames, source, 'hash', '_hashrow', '_duplicate_rows')]
    return retrying(lambda: load(server(settings), request, walk))


def _server() -> Settings:
    export_environment()
    return server(load_settings())


def _window(settings: Settings, source: Source, kwargs: Kwargs) -> Window:
    last = ledger.last_day(settings, source) if kwargs.get('catch_up_days') else None
    return window({**kwargs, **mage_run.asked(kwargs)}, settings.timezone, last)


def _files(settings: Settings, source: Source, days: Window) -> list[landing.LandingFile]:
    """The files that may hold rows of these days; for a source of ``any_day`` also those that were never read so far."""
    files = landing.find_files(source, settings.data_dir, settings.timezone)
    near = landing.files_for(files, days, settings.late_days)
    if not source.any_day:
        return near
    read = ledger.files_read(settings, source)
    return [file for file in files if file in near or file.signature not in read]


def _polars(frame: Any, source: Source, made_by: str, *columns: str) -> pl.DataFrame:
    if not hasattr(frame, 'columns'):  # in the editor, the output of a block that has not run is empty
        raise PipelineError(f'no rows to work on: run {made_by}_{source.name} first')
    rows: pl.DataFrame = frame if isinstance(frame, pl.DataFrame) else pl.from_pandas(frame)
    missing = [n for n in (*source.names, '_partition_date', '_reject', *columns) if n not in rows.columns]
    if missing:
        raise PipelineError(f'{made_by}_{source.name} has to keep the columns {", ".join(missing)}')
    return rows
