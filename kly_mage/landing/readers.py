"""The rows of a source's files, whatever their format, as typed frames: the one way from the landing zone to the blocks.

A reader (``slices.Reader``) knows one format. What comes after it is here, the same for all: types, the place of each row,
the days a load takes, and what makes a file unusable as a whole.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from typing import cast as as_type

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import load_settings
from kly_mage.common.timer import timer
from kly_mage.common.window import Window
from kly_mage.declared import ga4_events
from kly_mage.declared import gam_transfer as transferred
from kly_mage.declared.base import Source
from kly_mage.landing import csv, cut, parted
from kly_mage.landing import plain as plain_files
from kly_mage.landing.columns import problem, spelled
from kly_mage.landing.contents import format_of
from kly_mage.landing.files import LandingFile
from kly_mage.landing.formats import AVRO, CSV, JSON, PARQUET
from kly_mage.landing.mapping import mapped, mapping_for, rates_for
from kly_mage.landing.outside import taken
from kly_mage.landing.plausible import Money
from kly_mage.landing.ragged import mostly_unusable, too_many
from kly_mage.landing.slices import INSTANT, Reader, Slice, placed
from kly_mage.landing.unchanged import Reading
from kly_mage.rows import casting
from kly_mage.rows.frames import Frames

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

_SEEN_FILES = 20_000  # of which it is known what they are; a load looks at each several times
_READERS = {CSV: 'csv', JSON: 'ndjson', PARQUET: 'parquet', AVRO: 'avro'}  # modules of this folder
_ROW_COLUMNS = {'_delivered_at': INSTANT, '_file': pl.String(), '_modified_at': INSTANT, '_line': pl.Int64()}


@dataclass(frozen=True)
class _Between:
    """What lies between the columns of a file and those of its frames.

    Attributes:
        mapping: None if they are the source's already.
        spelled: what is declared, but in another spelling, and how it is declared.
    """

    mapping: Mapping | None
    spelled: dict[str, str]

    def of_declared(self, source: Source, name: str) -> bool:
        """Whether a declared column comes from the file's column ``name``."""
        if self.mapping and name in self.mapping.taken | self.mapping.ignore:
            return name in self.mapping.taken
        return self.spelled.get(name, name) in source.names


def read(
    source: Source,
    files: list[LandingFile],
    window: Window | None,
    *,
    timezone: str,
    late_days: int,
    reading: Reading | None = None,
) -> Frames:
    """The rows of ``files`` that fall into ``window`` (None: all of them), as typed frames of bounded size.

    A dated file gives the rows of the days it may hold (``LandingFile.days``), and with its own day those outside
    (``outside.taken``); a source with ``any_day`` gives all rows.
    Rows that cannot be used come along with ``_reject`` filled (see ``casting.cast``), those without a readable day with
    their file. Further columns: ``_delivered_at``, ``_file`` and its ``_modified_at``, and ``_line`` (where the row
    begins, from 1).

    Args:
        reading: of a single file: gets the days of all its rows, and has those that are loaded and not taken again.
    """

    def frames() -> Iterator[pl.DataFrame]:
        for file in files:
            days, own = None if source.any_day else window, file.days(late_days)
            if days and own and not own.overlaps(days) and file.day not in days:
                continue
            for frame in _frames(source, file, days, timezone, reading):
                if reading:
                    frame = without(frame, reading.loaded)
                yield taken(frame, days, own, file.day) if days else frame

    return Frames(frames)


def without(frame: pl.DataFrame, days: Collection[date]) -> pl.DataFrame:
    """The rows that are of none of these days."""
    if not days:
        return frame
    return frame.filter(~pl.col('_partition_date').is_in(list(days)).fill_null(False))


def plain(source: Source, file: LandingFile) -> tuple[list[str], dict[str, str], plain_files.Body] | None:
    """The lines of a small text file of the source's own columns, with these, and which are spelled otherwise.

    Returns:
        None of another file, and of one whose lines are not sure to be its rows.

    Raises:
        LandingError: it cannot be used.
    """
    names, _, between = _columns(source, file)
    if reader_of(file) is not csv or not names or between.mapping or made_of(source, file):
        return None
    body = plain_files.body(file)
    return (names, between.spelled, body) if body else None


def whole(source: Source, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All frames as one; with no frames, an empty one of the right columns and types."""
    return pl.concat([pl.DataFrame(schema=schema(source)), *frames], how='diagonal')


def schema(source: Source) -> dict[str, pl.DataType]:
    """The columns that every frame of a source has, and their types."""
    return casting.typed_schema(source) | _ROW_COLUMNS


def columns(source: Source, file: LandingFile) -> list[str]:
    """The names of a file's columns, mapped; empty for a file without any content.

    Raises:
        LandingError: the file is not to be read, or its columns cannot be used (``columns.problem``).
    """
    _, names, _ = _columns(source, file)
    return names


def undeclared_columns(source: Source, files: Iterable[LandingFile]) -> list[str]:
    """The columns that files have and the declaration does not, in the order they appear; checks all columns."""
    names: dict[str, None] = {}
    for file in files:
        names |= dict.fromkeys(name for name in columns(source, file) if name not in source.names)
    return list(names)


def is_empty(file: LandingFile) -> bool:
    """Whether a file has no rows; one that cannot be used is not empty: its load says so."""
    try:
        return reader_of(file).is_empty(file)
    except LandingError:
        return False


def sample(source: Source, file: LandingFile) -> pl.DataFrame:
    """The first slice of a file, its columns as it has them; of an export as they are flattened."""
    reader = reader_of(file)
    if not (names := list(_header(file))):
        return pl.DataFrame()
    with contextlib.closing(_slices(source, file, reader, names)) as slices:
        return next((part.rows for part in slices), pl.DataFrame())


@lru_cache(_SEEN_FILES)
def reader_of(file: LandingFile) -> Reader:
    """What reads a file; it is imported by who has such files.

    Raises:
        LandingError: it is not to be read, or nobody here reads what it is.
    """
    form = format_of(file)
    if form is JSON:
        from kly_mage.landing import gam_rows

        if gam_rows.is_rows(file):
            return gam_rows
    return as_type(Reader, importlib.import_module(f'kly_mage.landing.{_READERS[form]}'))


def file_columns(source: Source, file: LandingFile) -> list[str]:
    """The names of a file's columns as it has them; those of an export as they are flattened."""
    return _single(source, file, list(_header(file)))


def made_of(source: Source, file: LandingFile) -> str | None:
    """Of what, and how, the rows of a file are made, in a few words; None if they stand in it as they are."""
    names = list(_header(file))
    if _is_transfer(source, names):
        return 'Data Transfer of Ad Manager, its events added up'
    return "GA4's export, flattened" if _is_export(source, names) else None


@lru_cache(_SEEN_FILES)
def _header(file: LandingFile) -> tuple[str, ...]:
    """The columns as the file has them, looked up once: it is the same file as long as it is as it was found."""
    return tuple(map(sys.intern, reader_of(file).columns(file)))


def _columns(source: Source, file: LandingFile) -> tuple[list[str], list[str], _Between]:
    """The columns as the file has them, as its frames have them, and what lies between."""
    there = list(_header(file))
    single = _single(source, file, there)
    mapping = mapping_for(source, file, single) if single else None
    if _is_transfer(source, there):
        mapping = transferred.mapping(file.mapping)
    names = mapping.names(single) if mapping else single
    found = mapping.problem(single) if mapping else None
    other = spelled(source, names)
    names = [other.get(name, name) for name in names]
    unmapped = file.name if mapping is None and single is there and not file.is_table else None
    if names and (found := found or problem(source, names, single, unmapped)):
        raise LandingError(f'{file.name}: {found}')
    return there, names, _Between(mapping, other)


def _single(source: Source, file: LandingFile, names: list[str]) -> list[str]:
    """The columns of single values that a file's become."""
    if _is_export(source, names):
        from kly_mage.landing import ga4_columns

        return ga4_columns.columns(names, source.names)
    if _is_transfer(source, names):
        from kly_mage.landing import gam_transfer

        return gam_transfer.columns(file, names)
    return names


def _is_export(source: Source, names: list[str]) -> bool:
    return bool(source.exports) and ga4_events.is_export(names)


def _is_transfer(source: Source, names: list[str]) -> bool:
    return source.name == transferred.SOURCE and transferred.is_transfer(names)


def _slices(source: Source, file: LandingFile, reader: Reader, names: list[str]) -> Generator[Slice, None, None]:
    """The rows of a file as columns of single values."""
    if _is_transfer(source, names):
        from kly_mage.landing import gam_transfer

        yield from gam_transfer.added_up(file, lambda: reader.slices(file, names, source))
        return
    if not _is_export(source, names):
        with contextlib.closing(reader.slices(file, names, source)) as slices:
            yield from slices
        return
    from kly_mage.landing import ga4_export

    article = load_settings().ga4_article
    wanted = ga4_export.wanted(names) if reader.TAKES_COLUMNS else names
    with contextlib.closing(reader.slices(file, wanted, source)) as slices:
        yield from ga4_export.flattened(file, slices, article)


def _frames(
    source: Source, file: LandingFile, days: Window | None, timezone: str, reading: Reading | None
) -> Iterator[pl.DataFrame]:
    """The rows of a file; if it is parted, at least those of these days. The reading gets the days of all."""
    if reading and reading.parted and days:
        walk = partial(_read_file, source, file, timezone)
        yield from parted.frames(reading.parted, file, days, reading.loaded, reading.days, walk)
        return
    for frame in _read_file(source, file, timezone):
        if reading:
            reading.days.update(frame['_partition_date'].unique())
        yield frame


def _read_file(source: Source, file: LandingFile, timezone: str) -> Iterator[pl.DataFrame]:
    reader = reader_of(file)
    names, _, between = _columns(source, file)
    if not names:
        return
    if reader.TAKES_COLUMNS and between.mapping:
        names = [name for name in names if name not in between.mapping.ignore] or names
    report = None
    if between.mapping and between.mapping.total is not None:
        from kly_mage.landing.report import Report

        with contextlib.closing(_slices(source, file, reader, names)) as slices:
            report = Report(source, file, between.mapping, slices)
        between = replace(between, mapping=report.mapping)
    rates = rates_for(file, between.mapping) if between.mapping else None
    unusable = rows = 0
    money = Money(source, between.mapping)
    with contextlib.closing(_slices(source, file, reader, names)) as slices:
        for part in map(report.rows, slices) if report else slices:
            if wrong := sorted(name for name in part.nested if between.of_declared(source, name)):
                raise LandingError(f'{file.name}: column {wrong[0]} holds lists or groups; deliver single values')
            frame = _frame(source, file, timezone, part, between, rates)
            unusable, rows = unusable + frame.height - frame['_reject'].null_count(), rows + frame.height
            if too_many(unusable, rows):
                raise LandingError(mostly_unusable(file, unusable, rows, *_last_reject(frame)))
            money.add(frame)
            frame = frame if part.cut is None else cut.hold_back(frame, part.cut, part.rows)
            del part  # or it would stay while the frame is worked on
            yield frame
    if found := (report and report.problem()) or money.problem():
        raise LandingError(f'{file.name}: {found}')


def _frame(
    source: Source, file: LandingFile, timezone: str, part: Slice, between: _Between, rates: pl.DataFrame | None
) -> pl.DataFrame:
    """A slice, typed and located; what is no row comes behind the rows."""
    with timer('cast'):
        try:
            rows, noted = mapped(part.rows, between.mapping, source, rates) if between.mapping else (part.rows, [])
        except LandingError as error:  # it knows no file
            raise LandingError(f'{file.name}: {error}') from error
        rows = rows.rename(between.spelled)
        frame = casting.cast(rows, source, timezone, nul=part.nul, noted=noted).with_columns(part.lines)
    if part.rejects is not None:
        frame = pl.concat([frame, part.rejects], how='diagonal')
    return placed(frame, file)


def _last_reject(frame: pl.DataFrame) -> tuple[int, str]:
    """Line of the last row that cannot be used, and why."""
    row = frame.filter(pl.col('_reject').is_not_null()).row(-1, named=True)
    return row['_line'], casting.reason_of(row['_reject'])
