"""The rows of CSV files, packed or not, as typed frames, slice by slice, each row with the line it stands in."""

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any
from typing import cast as as_type

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timed, timer
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import cut
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import header, unpacked
from kly_mage.landing.outside import taken
from kly_mage.landing.ragged import Ragged, too_many
from kly_mage.landing.raw import Raw
from kly_mage.rows import casting
from kly_mage.rows.frames import Frames, made_ahead

# What is read at once, and the longest row that is sure to be read. pyarrow keeps 32 of them ready, so they are small.
SLICE_BYTES = 1 << 20
FRAME_SLICES = 8
FRAME_ROWS = 200_000  # a frame that has as many gets no further slice
_latest: list[Any] = []  # the latest reader, kept until there is a next one
_INSTANT = pl.Datetime('us', 'UTC')
_ROW_COLUMNS = {'_delivered_at': _INSTANT, '_file': pl.String(), '_modified_at': _INSTANT, '_line': pl.Int64()}


def read(source: Source, files: list[LandingFile], window: Window | None, *, timezone: str, late_days: int) -> Frames:
    """The rows of ``files`` that fall into ``window`` (None: all of them), as typed frames of bounded size.

    A dated file gives the rows of the days it may hold (``LandingFile.days``), and with its own day those outside
    (``outside.taken``); a source with ``any_day`` gives all rows.
    Rows that cannot be used come along with ``_reject`` filled (see ``casting.cast``), those without a readable day in
    every window. Further columns: ``_file`` and its ``_modified_at``, ``_line`` (where the row begins, from 1)
    and ``_delivered_at``.
    """

    def frames() -> Iterator[pl.DataFrame]:
        for file in files:
            days, own = None if source.any_day else window, file.days(late_days)
            if days and own and not own.overlaps(days) and file.day not in days:
                continue
            for frame in _read_file(source, file, timezone):
                yield taken(frame, days, own, file.day) if days else frame

    return Frames(frames)


def whole(source: Source, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All frames as one; with no frames, an empty one of the right columns and types."""
    empty = pl.DataFrame(schema=casting.typed_schema(source) | _ROW_COLUMNS)
    return pl.concat([empty, *frames], how='diagonal')


def undeclared_columns(source: Source, files: Iterable[LandingFile]) -> list[str]:
    """The columns that files have and the declaration does not, in the order they appear; checks every header."""
    names: dict[str, None] = {}
    for file in files:
        names |= dict.fromkeys(name for name in header(source, file) if name not in source.names)
    return list(names)


def _read_file(source: Source, file: LandingFile, timezone: str) -> Iterator[pl.DataFrame]:
    names = header(source, file)
    if not names:
        return
    wide, unusable = max(len(names), len(source.columns)), 0
    with file.open() as packed:
        # The reader makes a row even of an empty line.
        raw = Raw(file, unpacked(file, packed), SLICE_BYTES // wide)
        ragged, lines = Ragged(len(names), 4 * FRAME_SLICES * SLICE_BYTES), _Lines()
        rows = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        held: list[pl.DataFrame] = []  # of a file that is cut: the latest frame, which may be the last one
        try:
            # Whoever lets go of a reader while its own thread is at work waits for that thread, which waits for Python.
            reader = _reader(raw, names, ragged)
            _latest[:] = [reader]
            with contextlib.closing(made_ahead(timed('read', _groups(reader, ragged)))) as ready:
                for batches in ready:
                    yield from held
                    rows = as_type(pl.DataFrame, pl.from_arrow(pa.Table.from_batches(batches), rechunk=False))
                    frame = _frame(source, file, timezone, rows, lines, ragged, raw)
                    unusable += frame.height - frame['_reject'].null_count()
                    if too_many(unusable, lines.record - 2):
                        raise LandingError(_mostly_unusable(file, unusable, lines.record - 2, *_last_reject(frame)))
                    held = [frame] if raw.is_cut else []
                    if not held:
                        yield frame
        except pa.ArrowInvalid as error:
            raise LandingError(_unreadable(file, error, lines, ragged)) from error
        finally:
            raw.stop()
        if len(ragged):
            held.append(_frame(source, file, timezone, rows.clear(), lines, ragged, raw))
        if raw.quotes % 2 and (line := _open_quote(file)):
            raise LandingError(
                f'{file.name}: the row of line {line} opens a quote that is never closed, so the rows after it '
                'cannot be told apart; deliver the file again'
            )
        file.check(packed)
        for frame in held:
            yield cut.hold_back(frame, lines.last, rows) if raw.is_cut else frame


def _reader(raw: Raw, names: list[str], ragged: Ragged) -> Iterator[pa.RecordBatch]:
    reader: Iterator[pa.RecordBatch] = pa.csv.open_csv(
        raw,
        # One thread, in the order of the file: only then does the reader say which rows it skipped.
        read_options=pa.csv.ReadOptions(block_size=SLICE_BYTES, use_threads=False),
        parse_options=pa.csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=ragged.keep
        ),
        # An unquoted empty field is NULL, "" is the empty string, as in PostgreSQL's COPY.
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[''],
        ),
    )
    return reader


def frame_slices() -> Iterator[int]:
    """How many slices make up each frame of a file: one at first, so that loading begins soon, then more."""
    size = 1
    while True:
        yield size
        size = min(2 * size, FRAME_SLICES)


def _groups(reader: Iterator[pa.RecordBatch], ragged: Ragged) -> Iterator[list[pa.RecordBatch]]:
    """The slices of each frame: fewer if their rows or those that wait are many. What was read comes before an error."""
    for size in frame_slices():
        batches: list[pa.RecordBatch] = []
        try:
            batches.append(next(reader))
            while len(batches) < size and len(ragged) + sum(batch.num_rows for batch in batches) < FRAME_ROWS:
                batches.append(next(reader))
        except StopIteration:
            if batches:
                yield batches
            return
        except Exception:
            if batches:
                yield batches
            raise
        yield batches


class _Lines:
    """Where the rows of a file begin: records are counted, and line breaks inside quoted fields."""

    def __init__(self) -> None:
        self.record = 2  # of the next row; the header is record 1
        self.breaks = 0  # line breaks inside fields so far
        self.last = 0  # where the latest row begins

    @property
    def next(self) -> int:
        """The line of the next row."""
        return self.record + self.breaks

    def of(self, rows: pl.DataFrame, ragged: Ragged, quotes: bool) -> tuple[pl.Series, pl.Series]:
        """Line numbers of the rows of a slice, and of the ``ragged`` records among them, which the reader skipped."""
        # The first of them is behind at most all rows of the slice, the next one behind at most one row more, and so on.
        numbers = ragged.numbers()
        own = int(np.searchsorted(numbers - np.arange(len(numbers)), self.record + rows.height, 'right'))
        total = rows.height + own
        records = pl.int_range(self.record, self.record + total, dtype=pl.Int64, eager=True)
        skipped = np.zeros(total, bool)
        skipped[numbers[:own] - self.record] = True
        found = _breaks(rows, quotes)
        broken = ragged.breaks(own) if quotes else []
        self.record += total
        if found is None and not any(broken):
            lines = records + self.breaks
        else:
            breaks = np.zeros(total, np.int64)
            breaks[~skipped] = 0 if found is None else found.to_numpy()
            breaks[skipped] = broken or 0
            lines = records + pl.Series(breaks.cumsum() - breaks) + self.breaks
            self.breaks += int(breaks.sum())
        self.last = int(lines[-1]) if total else self.last
        if not own:
            return lines.alias('_line'), lines.clear()
        at = pl.Series(skipped)
        return lines.filter(~at).alias('_line'), lines.filter(at)


def _breaks(rows: pl.DataFrame, quotes: bool) -> pl.Series | None:
    """Line breaks inside the fields of each row; None if there are none."""
    broken = [name for name in rows.columns if quotes and rows[name].str.contains('\n', literal=True).any()]
    if not broken:
        return None
    counts = rows.select(pl.sum_horizontal(pl.col(broken).str.count_matches('\n', literal=True)))
    return counts.to_series().cast(pl.Int64)


def _frame(
    source: Source, file: LandingFile, timezone: str, rows: pl.DataFrame, lines: _Lines, ragged: Ragged, raw: Raw
) -> pl.DataFrame:
    """One slice, typed and located; the rows of ``ragged`` that belong to it become rejects and leave the list."""
    numbers, at = lines.of(rows, ragged, raw.quotes > 0)
    if all(rows.null_count().row(0)):  # perhaps an empty line, or one of commas only: no row
        some = ~rows.select(pl.all_horizontal(pl.all().is_null())).to_series()
        rows, numbers = rows.filter(some), numbers.filter(some)
    with timer('cast'):
        frame = casting.cast(rows, source, timezone, nul=raw.nul).with_columns(numbers)
    if len(at):
        frame = pl.concat([frame, ragged.rejects(at)], how='diagonal')
    start = int(file.delivered_at.timestamp() * 1_000_000)
    return frame.with_columns(
        (pl.col('_line') + start).cast(pl.Datetime('us', 'UTC')).alias('_delivered_at'),
        pl.lit(file.name).alias('_file'),
        pl.lit(file.modified_at).cast(_INSTANT).alias('_modified_at'),
    )


def _unreadable(file: LandingFile, error: Exception, lines: _Lines, ragged: Ragged) -> str:
    """Why the reader gave up a file, and where; all frames before that are made."""
    lines.of(pl.DataFrame(), ragged, quotes=True)
    if ragged.are_too_many:
        record, reason = ragged.last()
        return _mostly_unusable(file, ragged.count, record - 1, lines.next - 1, reason)
    if 'straddling' in str(error):
        return f'{file.name}: the row of line {lines.next} is longer than {SLICE_BYTES >> 20} MB; a quote in it may be open'
    return f'{file.name}: not readable as CSV from line {lines.next} on: {printable(str(error), 200)}'


def _last_reject(frame: pl.DataFrame) -> tuple[int, str]:
    """Line of the last row that cannot be used, and why."""
    row = frame.filter(pl.col('_reject').is_not_null()).row(-1, named=True)
    told = json.loads(row['_reject'])
    return row['_line'], ' '.join(part for part in (told['column'], told['reason']) if part)


def _mostly_unusable(file: LandingFile, unusable: int, rows: int, line: int, reason: str) -> str:
    return (
        f'{file.name}: {unusable:,} of its first {rows:,} rows cannot be used, the last of them in line {line} ({reason}); '
        'deliver the file again'
    )


def _open_quote(file: LandingFile) -> int | None:
    """The line of the row whose quote nobody closes; None if all are closed. Only asked if their number is odd."""
    end = '(end)'
    limit, line, row = csv.field_size_limit(4 * SLICE_BYTES), 1, [end]
    try:
        with file.open() as packed, io.TextIOWrapper(unpacked(file, packed), 'utf-8-sig', newline='') as text:
            rows = csv.reader(itertools.chain(text, ['\n', end]))
            begins = 1
            while (found := next(rows, None)) is not None:
                row, line, begins = found, begins, rows.line_num + 1
    finally:
        csv.field_size_limit(limit)
    return None if row == [end] else line
