"""What the blocks of a lane call: read the days asked for, hash, insert what is new.

In Mage a block hands on one pandas frame (``handed_on``), of a large day its first rows (``first_rows``). The command line
asks for a stream (``as_stream``): the loader then gives ``Frames`` of polars, each transformer sees one frame after the
other, and the exporter takes them all in one transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import polars as pl

from kly_mage.common.errors import LandingError, OvertakenError
from kly_mage.common.memory import ensure_addresses
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.text import counted
from kly_mage.common.timer import timer
from kly_mage.common.window import Window, window
from kly_mage.declared import SOURCES, ga4_events
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.landing import cut, readers
from kly_mage.landing import files as landing
from kly_mage.landing import left_out as landing_left_out
from kly_mage.landing.not_understood import not_understood
from kly_mage.landing.unchanged import Recall, files_unchanged
from kly_mage.loads import first_rows, mage_run, summary
from kly_mage.loads.depends import recalling
from kly_mage.loads.found import find_files
from kly_mage.loads.handed_on import to_pandas, to_polars
from kly_mage.loads.progress import reading, silent
from kly_mage.rows import rowhash
from kly_mage.rows.frames import Frames
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.in_place import InPlace
from kly_mage.warehouse.request import Request

Kwargs = Mapping[str, Any]


def read_days(source_name: str, kwargs: Kwargs) -> Any:
    """The rows of the days a block is asked for, typed; rows that cannot be used have ``_reject`` filled.

    Returns:
        A pandas frame; on the command line (``as_stream``), ``Frames`` of polars; ``InPlace`` if the rows stand in the
        warehouse already.

    Raises:
        WindowError: the block's arguments name no day.
        MemoryLimitError: this process may not have the memory that reading takes.
        LandingError: the landing zone cannot be used, or none of the files; single ones are left out (``left_out``).
    """
    mage_run.keep_private(kwargs)
    ensure_addresses()
    settings, source = _server(), SOURCES[source_name]
    days = _window(settings, source, kwargs)
    if (there := warehouse(settings).in_place(source)) is not None:
        if kwargs.get('as_stream'):
            return there
        mage_run.tell(kwargs, f'{source.name} {days}: the rows stay in their tables until they are exported', urgent=False)
        return to_pandas(readers.whole(source, ()))
    files, _ = _files(settings, source, days)
    left_out = landing_left_out.at_first_sight(source, files, settings.settle_seconds)
    taken = cache(lambda: warehouse(settings).taken(source.name))

    def walk(recall: Callable[[list[landing.LandingFile]], Recall] | None) -> Frames:
        frames = landing_left_out.read(
            source,
            files,
            days,
            timezone=settings.timezone,
            late_days=settings.late_days,
            left_out=left_out,
            recall=recall,
            is_share=bool(kwargs.get('is_share')),
        )
        return frames.map(lambda frame: cut.take(frame, taken))

    frames = walk(recalling(settings, source, reread=bool(kwargs.get('reread'))))
    if kwargs.get('as_stream'):
        return reading(frames, kwargs.get('progress') or silent, f'loading {source.name}', files)
    may_be_few = first_rows.are_enough(source)
    most = first_rows.LARGE if may_be_few else None
    rows, is_whole = landing_left_out.until_whole(lambda: first_rows.up_to(source, frames, most))
    told = _told(rows, files) if is_whole else f'more than {first_rows.LARGE:,} rows of {counted(len(files), "file")}'
    if is_whole and may_be_few and files_unchanged(rows) and not first_rows.of_files(rows).height:
        rows, is_whole = readers.whole(source, first_rows.some(walk(None))), False
    if not is_whole:
        rows = first_rows.marked(source, rows)
        told += f'; {first_rows.told(source, rows)}'
    for name, reason in left_out.items():
        mage_run.tell(kwargs, f'{name} is left out, its days are incomplete: {reason}', urgent=True)
    mage_run.tell(kwargs, f'{source.name} {days}: {told}', urgent=False)
    return to_pandas(rows)


def _told(rows: pl.DataFrame, files: list[landing.LandingFile]) -> str:
    """What was read, in a few words."""
    unchanged, read = files_unchanged(rows), first_rows.of_files(rows)
    told = f'{counted(read.height, "row")} of {counted(len(files) - unchanged, "file")}'
    told += f', {read.height - read["_reject"].null_count():,} cannot be used'
    if unchanged:
        told += f'; {counted(unchanged, "file is", "files are")} unchanged since the last load, and not read again'
    return told


def hash_rows(frame: Any, source_name: str) -> Any:
    """Distinct rows with ``_hashrow``; ``_duplicate_rows`` counts the equal ones each of them stands for.

    Args:
        frame: what a loader gave, polars or pandas.

    Returns:
        A frame of the same kind.
    """
    if isinstance(frame, InPlace):
        return frame
    source = SOURCES[source_name]
    rows = to_polars(frame, source, 'load')
    with timer('hash'):
        rows = rowhash.add_hashrow(rows, source)
    with timer('distinct'):
        rows = rowhash.distinct(rows, source)
    if isinstance(frame, pl.DataFrame):
        return rows
    handed, equal = first_rows.of_files(rows).height, rows['_duplicate_rows'].sum()
    told = f'{counted(handed, "row")} handed on, which stand for {equal:,} equal ones too'
    if not first_rows.are_all(source, rows):
        told = first_rows.told(source, rows)
    mage_run.tell({}, f'{source.name}: {told}', urgent=False)  # Mage takes what a block says into the log of its run
    return to_pandas(rows)


def export_new_rows(frames: Any, source_name: str, kwargs: Kwargs) -> dict[str, Any]:
    """Insert the rows bronze does not have yet, in one transaction, and say what became of every row.

    Args:
        frames: what the hash block gave, polars or pandas, or a stream of such frames.

    Returns:
        Load number, source, days, the counts of ``counts.Counts``, and why files were left out, by their names. Of a
        frame, which is Mage's, also the line that says all that, and what of it needs a ``look`` (``summary``); of
        several streams the command line says it once.
    """
    settings, source = _server(), SOURCES[source_name]
    days = _window(settings, source, kwargs)
    files, found = _files(settings, source, days)
    # In Mage a block cannot hand on a word of where the rows stand: they are looked for again.
    there = frames if isinstance(frames, InPlace) else warehouse(settings).in_place(source)
    columns = there.undeclared if there else landing_left_out.undeclared_columns(source, files)[0]
    request = Request(
        source=source,
        window=days,
        files=files,
        found=[file.name for file in found],
        undeclared=columns,
        is_export=ga4_events.may_be_exported(columns),
        started_by=str(kwargs.get('started_by') or kwargs.get('trigger_name') or 'editor'),
        pipeline_run=str(kwargs['pipeline_run_id']) if kwargs.get('pipeline_run_id') else None,
    )
    done = warehouse(settings).load_in_place(request) if there else _load(settings, request, frames, kwargs)
    if isinstance(frames, Frames | InPlace):
        return done
    missing = summary.missing_days(settings, source, found, days)
    looks = summary.look(done, missing) + [
        str(stray) for stray in not_understood(settings.data_dir, [source.name], settings.mapping)
    ]
    return done | {'line': summary.line(done, missing, looks), 'look': looks}


def _load(settings: Settings, request: Request, frames: Any, kwargs: Kwargs) -> dict[str, Any]:
    source, files = request.source, request.files

    def anew() -> Frames:
        again: Frames = read_days(source.name, {**kwargs, 'as_stream': True})
        return again.ahead().map(lambda rows: hash_rows(rows, source.name)).ahead()

    if isinstance(frames, Frames):
        walk: Any = frames
    elif not first_rows.are_all(source, frames):
        walk = anew()
    else:
        further = [UNDECLARED.name] if source.version_columns else []
        walk = [frame := to_polars(frames, source, 'hash', '_hashrow', '_duplicate_rows', *further)]
        request = replace(request, files=_as_looked_at(settings, source, request.window, files, frame))
    try:
        return warehouse(settings).load(request, walk)
    except OvertakenError as error:  # in Mage minutes lie between the loader and this, and other loads
        mage_run.tell(kwargs, f'{error}: its rows are read now', urgent=False)
        return warehouse(settings).load(replace(request, files=files), anew())


def _server() -> Settings:
    return warehouse(load_settings()).reach()


def _window(settings: Settings, source: Source, kwargs: Kwargs) -> Window:
    def waiting(days: Window) -> date | None:
        files = find_files(settings, source)
        return warehouse(settings).first_waiting(source, files, days)

    return window({**kwargs, **mage_run.asked(kwargs)}, settings.timezone, source.late(settings.late_days), waiting)


def _files(settings: Settings, source: Source, days: Window) -> tuple[list[landing.LandingFile], list[landing.LandingFile]]:
    """The files that may hold rows of these days, and all there are.

    For a source of ``any_day`` the former are also those that were never read so far.
    """
    files = find_files(settings, source)
    near = landing.files_for(files, days, settings.late_days)
    if not source.any_day:
        return near, files
    read = warehouse(settings).files_read(source)
    return [file for file in files if file in near or file.signature not in read], files


def _as_looked_at(
    settings: Settings, source: Source, days: Window, files: list[landing.LandingFile], frame: pl.DataFrame
) -> list[landing.LandingFile]:
    """Those of the files that the loader may have seen as they are now: minutes may lie between its look and this one.

    Of a file that gave rows they tell how it was. One that gave none must have none still, or nobody would load what took
    its place meanwhile.
    """
    if '_file' not in frame.columns:  # a block of a user may have dropped it
        return files
    gave = set(frame['_file'].unique())

    def gives_some(file: landing.LandingFile) -> bool:
        try:
            rows = readers.read(source, [file], days, timezone=settings.timezone, late_days=settings.late_days)
            return any(some.height for some in rows)
        except LandingError:
            return True  # the loader has left out what it could not read; this has come since

    return [file for file in files if file.name in gave or not gives_some(file)]
