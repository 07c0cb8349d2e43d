"""Files that a load leaves out: what cannot be used is named, and the other files are loaded.

A file is loaded whole or not at all. What is wrong with its name, its place or its header is seen before anything is read;
what is wrong further in (a damaged end, a byte that is no UTF-8, a change while it is read) when some of its rows are on
their way already. The walk over the frames then ends in ``FileLeftOutError``: whoever has taken rows lets go of them and
begins anew (``until_whole``), and the new walk does without the file.

In place of its rows a file that is left out gives one of its own: a reject in line 0. It goes where the rows go, through
Mage's blocks too, so the warehouse hears of it whoever reads.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import TypeVar

import polars as pl

from kly_mage.common.errors import FileLeftOutError, LandingError
from kly_mage.common.settings import UTC
from kly_mage.common.text import counted
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import deliveries, readers, together, unchanged
from kly_mage.landing.files import LandingFile, files_for
from kly_mage.landing.unchanged import Recall
from kly_mage.rows.frames import Frames, gathered

T = TypeVar('T')
SMALL_BYTES = 1 << 20  # of files that take less, several are a frame
FILE_LINE = 0  # the line of a reject that is about a whole file
LeftOut = dict[str, str]  # why each file is left out, by its name


def at_first_sight(source: Source, files: Iterable[LandingFile], settle_seconds: int) -> LeftOut:
    """The files that need not be read to be left out, and why.

    Args:
        settle_seconds: a file that was changed less than so long ago may still be written to.
    """
    now = datetime.now(UTC)
    parts = [list[LandingFile](), list[LandingFile]()]
    for file in files:
        parts[abs((now - file.modified_at).total_seconds()) < settle_seconds].append(file)
    settled, fresh = parts
    _, unusable = undeclared_columns(source, settled)
    reason = f'changed less than {settle_seconds} s ago, so somebody may still be writing to it; the next run takes it'
    return {file.name: file.problem or reason for file in fresh} | unusable


def undeclared_columns(source: Source, files: Iterable[LandingFile]) -> tuple[list[str], LeftOut]:
    """The columns that files have and the declaration does not, and the files whose header cannot be used."""
    names: dict[str, None] = {}
    left_out: LeftOut = {}
    for file in files:
        try:
            names |= dict.fromkeys(readers.undeclared_columns(source, [file]))
        except LandingError as error:
            left_out[file.name] = _reason(file, error)
    return list(names), left_out


def read(
    source: Source,
    files: list[LandingFile],
    window: Window,
    *,
    timezone: str,
    late_days: int,
    left_out: LeftOut,
    recall: Callable[[list[LandingFile]], Recall] | None = None,
    is_share: bool = False,
) -> Frames:
    """What ``readers.read`` gives of the files that can be used, small ones together, and a row for each that cannot.

    Args:
        left_out: files that are not to be read; the walk adds what it finds.
        recall: gives what is known of some files; those that are unchanged are not read. None: all are.
        is_share: others are at work on further days, so it is no failure if none of these files can be used.

    Raises:
        FileLeftOutError: by the walk, at its end, if a file was found that cannot be used.
        LandingError: by the walk, if no file can be used, among them one of these days: there is nothing to load.
    """

    def frames() -> Iterator[pl.DataFrame]:
        left_out.update(deliveries.incomplete(source, files, left_out))
        if not is_share:
            refuse_all(files, files_for(files, window, late_days), left_out)
        begun = set(left_out)
        usable = [file for file in files if file.name not in begun]
        readings = unchanged.plan(source, usable, window, late_days, recall(usable)) if recall and usable else {}
        skipped = {name for name, reading in readings.items() if not reading.is_read}
        announced = deliveries.announced(source, (file for file in usable if file.name not in skipped))
        if announced is not None:
            yield readers.whole(source, [announced])

        def rows(these: Iterable[LandingFile]) -> Iterator[pl.DataFrame]:
            for file in these:
                if file.name in begun:
                    yield readers.whole(source, [_row(file, left_out[file.name])])
                    continue
                reading = readings.get(file.name)
                try:
                    for frame in readers.read(
                        source, [file], window, timezone=timezone, late_days=late_days, reading=reading
                    ):
                        if len(left_out) == len(begun):  # else the walk begins anew, and only looks for more such files
                            yield frame
                except LandingError as error:
                    left_out[file.name] = _reason(file, error)

        def small_rows(these: Iterable[LandingFile]) -> Iterator[pl.DataFrame]:
            for known, alike in groupby(these, key=lambda file: file.name in begun):
                if known:
                    yield from rows(alike)
                    continue
                for some, frame in together.typed(source, alike, timezone):
                    if frame is None:
                        yield from rows(some)
                    elif len(left_out) == len(begun):
                        days = None if source.any_day else window
                        yield together.within(frame, some, days, late_days, readings)

        to_read = [file for file in files if file.name not in skipped]
        for is_small, these in groupby(to_read, key=lambda file: file.size < SMALL_BYTES):
            walk = (lambda of: gathered(small_rows(of))) if is_small else rows
            yield from walk(these)
        if more := left_out.keys() - begun:
            raise FileLeftOutError('begins anew without ' + _told({name: left_out[name] for name in sorted(more)}))
        if readings:
            yield readers.whole(source, [unchanged.announced(readings.values())])

    return Frames(frames)


def until_whole(work: Callable[[], T]) -> T:
    """Do ``work``, which walks over the frames of ``read``, until it gets to the end of them."""
    while True:
        try:
            return work()
        except FileLeftOutError:
            continue  # each time at least one file less is read


def refuse_all(files: list[LandingFile], near: list[LandingFile], left_out: LeftOut) -> None:
    """Fail if nothing can be read; not if files of other days, which are looked at as well, are all that is left out.

    Raises:
        LandingError: all ``files`` are left out, those ``near`` the days asked for among them.
    """
    if near and all(file.name in left_out for file in files):
        raise LandingError(_told({file.name: left_out[file.name] for file in near}))


def _told(left_out: LeftOut) -> str:
    """The first file and its reason, and how many more there are."""
    (name, reason), more = next(iter(left_out.items())), len(left_out) - 1
    others = f'; {counted(more, "more file", "more files")} cannot be used either' if more else ''
    return f'{name}: {reason}{others}'


def _reason(file: LandingFile, error: LandingError) -> str:
    """Why a file is left out; whatever was found in one that has changed meanwhile, is not its fault."""
    try:
        file.open().close()
    except LandingError as changed:
        error = changed
    return str(error).removeprefix(f'{file.name}: ')


def _row(file: LandingFile, reason: str) -> pl.DataFrame:
    state = {'size': file.size, 'modified_at': file.modified_at.isoformat()}
    told = json.dumps({'column': None, 'value': None, 'reason': reason, 'row': state})
    return pl.DataFrame(
        {
            '_reject': [told],
            '_file': [file.name],
            '_line': [FILE_LINE],
            '_modified_at': [file.modified_at],
            '_delivered_at': [file.delivered_at],
        }
    ).with_columns(pl.col('_modified_at', '_delivered_at').dt.convert_time_zone('UTC').dt.cast_time_unit('us'))
