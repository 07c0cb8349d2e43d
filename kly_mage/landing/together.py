"""Small files of one shape, read and typed together: what that costs beside its rows is paid once, not once for each file.

Only what is plain goes this way: a file of text whose columns are the source's own and whose lines are its rows. Any other,
and any that something is wrong with, is read by itself (``readers.read``), which knows what to say of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.timer import timer
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import readers
from kly_mage.landing.files import LandingFile
from kly_mage.landing.outside import taken
from kly_mage.landing.plain import Body, parsed
from kly_mage.landing.plausible import Money
from kly_mage.landing.slices import INSTANT
from kly_mage.landing.unchanged import Reading
from kly_mage.rows import casting
from kly_mage.rows.frames import GATHERED_ROWS

_FIRST, _LAST = date.min, date.max
_GATHERED_BYTES = 16 << 20


class _Part(NamedTuple):
    file: LandingFile
    names: list[str]
    spelled: dict[str, str]
    body: Body


def typed(
    source: Source, files: Iterable[LandingFile], timezone: str
) -> Iterator[tuple[list[LandingFile], pl.DataFrame | None]]:
    """Files in their order, with all their rows typed; without them, where a file has to be read by itself."""
    held, rows, size = list[_Part](), 0, 0
    for file in files:
        part = _part(source, file)
        if held and (part is None or not _alike(held[0], part) or rows >= GATHERED_ROWS or size >= _GATHERED_BYTES):
            yield from _typed(source, held, timezone)
            held, rows, size = [], 0, 0
        if part is None:
            yield [file], None
        else:
            held.append(part)
            rows, size = rows + part.body.rows, size + len(part.body.lines)
    if held:
        yield from _typed(source, held, timezone)


def within(
    frame: pl.DataFrame, files: list[LandingFile], window: Window | None, late_days: int, readings: Mapping[str, Reading]
) -> pl.DataFrame:
    """Of the rows of ``typed``, those that a load of these days takes, as ``readers.read`` gives them of each file.

    Args:
        window: None for all rows.
        readings: of some of the files.
    """
    if readings:
        for name, day in frame.select('_file', '_partition_date').unique().iter_rows():
            if name in readings:
                readings[name].days.add(day)
    if window is None:
        return frame
    bounds = [file.days(late_days) or Window(_FIRST, _LAST) for file in files]
    counts = np.array([n for _, n in frame.group_by('_file', maintain_order=True).agg(pl.len()).iter_rows()])
    first = np.repeat(np.array([max(each.start, window.start) for each in bounds], 'datetime64[D]'), counts)
    last = np.repeat(np.array([min(each.end, window.end) for each in bounds], 'datetime64[D]'), counts)
    day = frame['_partition_date']
    is_loaded = any(readings[file.name].loaded for file in files if file.name in readings)
    if not is_loaded and (day.is_not_null() & (day >= pl.Series(first)) & (day <= pl.Series(last))).all():
        return frame
    found, at = [frame.clear()], 0
    for file, count in zip(files, counts.tolist(), strict=True):
        own, rows = file.days(late_days), frame.slice(at, count)
        at += count
        if own is None or own.overlaps(window) or file.day in window:
            rows = readers.without(rows, readings[file.name].loaded if file.name in readings else ())
            found.append(taken(rows, window, own, file.day))
    return pl.concat(found)


def _part(source: Source, file: LandingFile) -> _Part | None:
    try:
        found = readers.plain(source, file)
    except LandingError:
        return None
    if found is None or found[2].rows > GATHERED_ROWS:
        return None
    return _Part(file, *found)


def _alike(one: _Part, other: _Part) -> bool:
    return (one.names, one.spelled, one.body.sign) == (other.names, other.spelled, other.body.sign)


def _typed(source: Source, parts: list[_Part], timezone: str) -> Iterator[tuple[list[LandingFile], pl.DataFrame | None]]:
    """Those that are to be read by themselves are looked for by halves: they are few."""
    frame = _frame(source, parts, timezone)
    if frame is not None or len(parts) == 1:
        yield [part.file for part in parts], frame
        return
    middle = len(parts) // 2
    yield from _typed(source, parts[:middle], timezone)
    yield from _typed(source, parts[middle:], timezone)


def _frame(source: Source, parts: list[_Part], timezone: str) -> pl.DataFrame | None:
    """The rows of all these files, typed; None if one of them is to be read by itself."""
    text = parsed(parts[0].names, [part.body for part in parts])
    if text is None:
        return None
    counts = np.array([part.body.rows for part in parts])
    of_file, files = np.repeat(np.arange(len(parts)), counts), [part.file for part in parts]
    begins = counts.cumsum() - counts
    places = {
        '_delivered_at': pl.Series([file.delivered_at for file in files], dtype=INSTANT),
        '_file': pl.Series([file.name for file in files]),
        '_modified_at': pl.Series([file.modified_at for file in files], dtype=INSTANT),
    }
    lines = pl.Series('_line', np.arange(text.height) - begins[of_file] + 2)  # below the header, which is the first
    with timer('cast'):
        typed_rows = casting.cast(text.rename(parts[0].spelled), source, timezone, nul=False)
    frame = typed_rows.with_columns(lines, *(values.gather(of_file).alias(name) for name, values in places.items()))
    return frame if all(Money(source, None).is_plausible(rows) for rows in _by_file(source, frame)) else None


def _by_file(source: Source, frame: pl.DataFrame) -> list[pl.DataFrame]:
    return frame.partition_by('_file') if source.plausible else []
