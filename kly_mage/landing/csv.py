"""The rows of CSV files, packed or not, slice by slice, each row with the line it stands in."""

import contextlib
import csv
import io
import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any
from typing import cast as as_type

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timed
from kly_mage.declared.base import Source
from kly_mage.landing.contents import DAMAGED, unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import header, header_in
from kly_mage.landing.ragged import Ragged, mostly_unusable
from kly_mage.landing.raw import Raw
from kly_mage.landing.slices import Slice
from kly_mage.rows.frames import made_ahead

# What is read at once, and the longest row that is sure to be read. pyarrow keeps 32 of them ready, so they are small.
TAKES_COLUMNS = False
SLICE_BYTES = 1 << 20
FRAME_SLICES = 8
FRAME_ROWS = 200_000  # a frame that has as many gets no further slice
_latest: list[Any] = []  # the latest reader, kept until there is a next one
_SMALL = 64 << 10  # bytes; a file of more than that has rows


def columns(file: LandingFile) -> list[str]:
    """The names in the header; see ``slices.Reader``."""
    return header(file).names


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The rows as text; see ``slices.Reader``. A line of too few or too many fields is a reject."""
    wide = max(len(names), len(source.columns))
    with file.open() as packed:
        _, sign, bytes_above, lines_above = header_in(file, packed)
        stream = unpacked(file, packed)
        stream.read(bytes_above)
        # The reader makes a row even of an empty line.
        raw = Raw(file, stream, SLICE_BYTES // wide, lines_above + 1)
        ragged, lines = Ragged(len(names), 4 * FRAME_SLICES * SLICE_BYTES), _Lines(lines_above)
        rows = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        held: list[Slice] = []  # of a file that is cut: the latest slice, which may be the last one
        try:
            # Whoever lets go of a reader while its own thread is at work waits for that thread, which waits for Python.
            found = reader(raw, names, sign, ragged.keep)
            _latest[:] = [found]
            with contextlib.closing(made_ahead(timed('read', _groups(found, ragged)))) as ready:
                for batches in ready:
                    yield from held
                    rows = as_type(pl.DataFrame, pl.from_arrow(pa.Table.from_batches(batches), rechunk=False))
                    held = [_slice(rows, lines, ragged, raw)]
                    if not raw.is_cut:
                        yield held.pop()
        except pa.ArrowInvalid as error:
            raise LandingError(_unreadable(file, error, lines, ragged)) from error
        finally:
            raw.stop()
        if len(ragged):
            held.append(_slice(rows.clear(), lines, ragged, raw))
        if raw.quotes % 2 and (line := _open_quote(file, sign)):
            raise LandingError(
                f'{file.name}: the row of line {line} opens a quote that is never closed, so the rows after it '
                'cannot be told apart; deliver the file again'
            )
        file.check(packed)
        for last in held:
            yield replace(last, cut=lines.last) if raw.is_cut else last


def is_empty(file: LandingFile) -> bool:
    """No byte, or a header and nothing after it; see ``slices.Reader``."""
    if file.size > _SMALL:
        return False
    try:
        with file.open() as packed:
            _, sign, bytes_above, _ = header_in(file, packed)
            text = unpacked(file, packed).read(16 * _SMALL)[bytes_above:].decode('utf-8-sig', 'replace')
        rows = csv.reader(io.StringIO(text, newline=''), delimiter=sign)
        next(rows, None)
        return len(text) < 16 * _SMALL and not any(any(row) for row in rows)
    except (LandingError, csv.Error, *DAMAGED):
        return False  # damaged, or no file: its load says so


def reader(
    data: Any, names: list[str], sign: str, keep: Callable[[Any], str], *, is_headless: bool = False
) -> Iterator[pa.RecordBatch]:
    """The rows of a text as Arrow's slices, as this project reads CSV.

    Args:
        data: its bytes.
        names: of its columns.
        sign: what stands between fields.
        keep: told of each line of too few or too many fields; says ``skip``.
        is_headless: whether its first line is a row.
    """
    found: Iterator[pa.RecordBatch] = pa.csv.open_csv(
        data,
        # One thread, in the order of the file: only then does the reader say which rows it skipped.
        read_options=pa.csv.ReadOptions(
            block_size=SLICE_BYTES, use_threads=False, column_names=names if is_headless else None
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=sign, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=keep
        ),
        # An unquoted empty field is NULL, "" is the empty string, as in PostgreSQL's COPY.
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[''],
        ),
    )
    return found


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
    """Where the rows of a file begin: records are counted, and line breaks inside quoted fields.

    Args:
        above: lines above the header.
    """

    def __init__(self, above: int) -> None:
        self.record = 2  # of the next row; the header is record 1
        self.breaks = above  # line breaks inside fields so far, and those above
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


def _slice(rows: pl.DataFrame, lines: _Lines, ragged: Ragged, raw: Raw) -> Slice:
    """One slice, located; the rows of ``ragged`` that belong to it become rejects and leave the list."""
    numbers, at = lines.of(rows, ragged, raw.quotes > 0)
    if all(rows.null_count().row(0)):  # perhaps an empty line, or one of commas only: no row
        some = ~rows.select(pl.all_horizontal(pl.all().is_null())).to_series()
        rows, numbers = rows.filter(some), numbers.filter(some)
    return Slice(rows, numbers, ragged.rejects(at) if len(at) else None, nul=raw.nul)


def _unreadable(file: LandingFile, error: Exception, lines: _Lines, ragged: Ragged) -> str:
    """Why the reader gave up a file, and where; all frames before that are made."""
    lines.of(pl.DataFrame(), ragged, quotes=True)
    if ragged.are_too_many:
        record, reason = ragged.last()
        return mostly_unusable(file, ragged.count, record - 1, lines.next - 1, reason)
    if 'straddling' in str(error):
        return f'{file.name}: the row of line {lines.next} is longer than {SLICE_BYTES >> 20} MB; a quote in it may be open'
    return f'{file.name}: not readable as CSV from line {lines.next} on: {printable(str(error), 200)}'


def _open_quote(file: LandingFile, sign: str) -> int | None:
    """The line of the row whose quote nobody closes; None if all are closed. Only asked if their number is odd."""
    end = '(end)'
    limit, line, row = csv.field_size_limit(4 * SLICE_BYTES), 1, [end]
    try:
        with file.open() as packed, io.TextIOWrapper(unpacked(file, packed), 'utf-8-sig', newline='') as text:
            rows = csv.reader(itertools.chain(text, ['\n', end]), delimiter=sign)
            begins = 1
            while (found := next(rows, None)) is not None:
                row, line, begins = found, begins, rows.line_num + 1
    finally:
        csv.field_size_limit(limit)
    return None if row == [end] else line
