"""The rows of CSV files, packed or not, as typed frames, slice by slice, each row with the line it stands in."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any
from typing import cast as as_type

import polars as pl
import pyarrow as pa
import pyarrow.csv

from kly_mage.common.errors import LandingError
from kly_mage.common.timer import timed, timer
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.rows import casting
from kly_mage.rows.frames import Frames, made_ahead

# What is read at once, and the longest row that is sure to be read. pyarrow keeps 32 of them ready, so they are small.
SLICE_BYTES = 1 << 20
FRAME_SLICES = 8
_DAMAGED = (EOFError, OSError, zlib.error)  # what gzip says of a file that is cut short or no gzip at all
_INSTANT = pl.Datetime('us', 'UTC')
_ROW_COLUMNS = {'_delivered_at': _INSTANT, '_file': pl.String(), '_modified_at': _INSTANT, '_line': pl.Int64()}


def read(source: Source, files: list[LandingFile], window: Window | None, *, timezone: str, late_days: int) -> Frames:
    """The rows of ``files`` that fall into ``window`` (None: all of them), as typed frames of bounded size.

    A dated file gives the rows of its own day and of ``late_days`` before, a source with ``any_day`` all rows.
    Rows that cannot be used come along with ``_reject`` filled (see ``casting.cast``), those without a readable day in
    every window. Further columns: ``_file`` and its ``_modified_at``, ``_line`` (where the row begins, from 1)
    and ``_delivered_at``.
    """

    def frames() -> Iterator[pl.DataFrame]:
        for file in files:
            days = window if not source.any_day else None
            if days and (own := file.days(late_days)):
                if own.end < days.start or days.end < own.start:
                    continue
                days = Window(max(own.start, days.start), min(own.end, days.end))
            for frame in _read_file(source, file, timezone):
                yield _within(frame, days)

    return Frames(frames)


def whole(source: Source, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All frames as one; with no frames, an empty one of the right columns and types."""
    empty = pl.DataFrame(schema=casting.typed_schema(source) | _ROW_COLUMNS)
    return pl.concat([empty, *frames], how='diagonal')


def undeclared_columns(source: Source, files: Iterable[LandingFile]) -> list[str]:
    """The columns that files have and the declaration does not, in the order they appear; checks every header."""
    names: dict[str, None] = {}
    for file in files:
        names |= dict.fromkeys(name for name in _header(source, file) if name not in source.names)
    return list(names)


def _within(frame: pl.DataFrame, days: Window | None) -> pl.DataFrame:
    if days is None:
        return frame
    day = pl.col('_partition_date')
    inside = frame.select(
        (day.is_between(days.start, days.end) | (day.is_null() & pl.col('_reject').is_not_null())).fill_null(False)
    )
    return frame if inside.to_series().all() else frame.filter(inside.to_series())


def _open(file: LandingFile) -> IO[bytes]:
    return as_type(IO[bytes], gzip.open(file.path, 'rb')) if file.path.suffix == '.gz' else file.path.open('rb')


def _header(source: Source, file: LandingFile) -> list[str]:
    """The column names of a file; empty for a file without any content.

    Raises:
        LandingError: a required column is missing, or a name is empty, there twice, too long, or one of ours.
    """
    try:
        with _open(file) as stream, io.TextIOWrapper(stream, 'utf-8-sig', 'replace', newline='') as text:
            names = next(csv.reader(text), None)
    except (*_DAMAGED, csv.Error) as error:
        raise LandingError(f'{file.name}: line 1 cannot be read ({error}); deliver the file again') from error
    if names is None:
        return []
    missing = [column.name for column in source.columns if column.required and column.name not in names]
    if missing:
        found = f'the header has {", ".join(names)[:500]}' if any(names) else 'line 1, the header, is empty'
        raise LandingError(f'{file.name}: required column missing: {", ".join(missing)}; {found}')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LandingError(f'{file.name}: line 1 names a column twice: {", ".join(twice)}')
    for name in names:
        if not name or '\0' in name or len(name.encode()) > 63:
            raise LandingError(f'{file.name}: line 1 has an unusable column name {name[:70]!r}: 1 to 63 bytes are possible')
        if name.startswith('_'):
            raise LandingError(f'{file.name}: column {name}: names that begin with _ belong to the warehouse; rename it')
    return names


def _read_file(source: Source, file: LandingFile, timezone: str) -> Iterator[pl.DataFrame]:
    names = _header(source, file)
    if not names:
        return
    ragged: list[pa.csv.InvalidRow] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        ragged.append(row)
        return 'skip'

    text = dict.fromkeys(names, pa.string())
    try:
        with _open(file) as stream:
            raw = _Raw(stream)
            reader = pa.csv.open_csv(
                raw,
                # One thread, in the order of the file: only then does the reader say which rows it skipped.
                read_options=pa.csv.ReadOptions(block_size=SLICE_BYTES, use_threads=False),
                parse_options=pa.csv.ParseOptions(
                    newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=keep
                ),
                # An unquoted empty field is NULL, "" is the empty string, as in PostgreSQL's COPY.
                convert_options=pa.csv.ConvertOptions(
                    column_types=text, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=['']
                ),
            )
            lines = _Lines()
            with contextlib.closing(made_ahead(timed('read', _groups(reader)))) as ready:
                for batches in ready:
                    rows = as_type(pl.DataFrame, pl.from_arrow(pa.Table.from_batches(batches), rechunk=False))
                    yield _frame(source, file, timezone, rows, lines, ragged, raw)
            if ragged:
                nothing = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
                yield _frame(source, file, timezone, nothing, lines, ragged, raw)
            if raw.quotes % 2 and (line := _open_quote(file)):
                raise LandingError(
                    f'{file.name}: the row of line {line} opens a quote that is never closed, so the rows after it '
                    'cannot be told apart; deliver the file again'
                )
    except (pa.ArrowInvalid, UnicodeDecodeError, *_DAMAGED) as error:
        raise LandingError(_unreadable(file, error)) from error


def frame_slices() -> Iterator[int]:
    """How many slices make up each frame of a file: one at first, so that loading begins soon, then more."""
    size = 1
    while True:
        yield size
        size = min(2 * size, FRAME_SLICES)


def _groups(reader: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """The slices of each frame."""
    for size in frame_slices():
        batches = list(itertools.islice(reader, size))
        if not batches:
            return
        yield batches


class _Raw(io.RawIOBase):
    """The bytes of a file on their way to the reader, and what was seen in them so far.

    One look at the bytes is a hundred times cheaper than the same question asked of every value.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.nul = False  # a NUL byte, which PostgreSQL cannot store
        self.quotes = 0  # with quoted fields there may be line breaks inside
        self._stream = stream
        self._held = b''  # the beginning of a character; the reader gets whole ones, or else it complains by itself

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        fresh = self._stream.read(size - len(self._held) if size >= 0 else -1)
        data, ended = self._held + fresh, size < 0 or len(self._held) + len(fresh) < size
        whole = len(data) if data.isascii() else codecs.utf_8_decode(data, 'strict', ended)[1]
        data, self._held = data[:whole], data[whole:]
        self.nul |= b'\0' in data
        self.quotes += data.count(b'"')
        if ended and data and not data.endswith((b'\n', b'\r')):
            data += b'\n'  # or a header alone would be no CSV to the reader
        return data if data or ended else self.read(size)


class _Lines:
    """Where the rows of a file begin: records are counted, and line breaks inside quoted fields."""

    def __init__(self) -> None:
        self.record = 2  # of the next row; the header is record 1
        self.breaks = 0  # line breaks inside fields so far

    def of(self, rows: pl.DataFrame, ragged: list[Any], quotes: bool) -> tuple[pl.Series, list[int]]:
        """Line numbers of the rows of a slice, and of the ``ragged`` records among them, which the reader skipped."""
        total = rows.height
        while (more := rows.height + sum(row.number <= self.record + total for row in ragged)) > total:
            total = more
        records = pl.int_range(self.record, self.record + total, dtype=pl.Int64, eager=True)
        inside = {row.number: row.text.count('\n') for row in ragged if row.number < self.record + total}
        kept = records.filter(~records.is_in(list(inside))) if inside else records
        breaks = _breaks(rows, quotes)
        if breaks is None and not inside:
            self.record += total
            return (records + self.breaks).alias('_line'), []
        breaks = pl.repeat(0, rows.height, dtype=pl.Int64, eager=True) if breaks is None else breaks
        if inside:
            breaks = pl.concat([breaks, pl.Series(list(inside.values()), dtype=pl.Int64)])
            breaks = breaks.gather(pl.concat([kept, pl.Series(list(inside), dtype=pl.Int64)]).arg_sort())
        lines = records + breaks.cum_sum().shift(1, fill_value=0) + self.breaks
        self.record += total
        self.breaks += int(breaks.sum())
        if not inside:
            return lines.alias('_line'), []
        skipped = records.is_in(list(inside))
        return lines.filter(~skipped).alias('_line'), lines.filter(skipped).to_list()


def _breaks(rows: pl.DataFrame, quotes: bool) -> pl.Series | None:
    """Line breaks inside the fields of each row; None if there are none."""
    broken = [name for name in rows.columns if quotes and rows[name].str.contains('\n', literal=True).any()]
    if not broken:
        return None
    counts = rows.select(pl.sum_horizontal(pl.col(broken).str.count_matches('\n', literal=True)))
    return counts.to_series().cast(pl.Int64)


def _frame(
    source: Source, file: LandingFile, timezone: str, rows: pl.DataFrame, lines: _Lines, ragged: list[Any], raw: _Raw
) -> pl.DataFrame:
    """One slice, typed and located; the rows of ``ragged`` that belong to it become rejects and leave the list."""
    numbers, at = lines.of(rows, ragged, raw.quotes > 0)
    bad = list(zip(ragged, at, strict=False))
    del ragged[: len(at)]  # in place: the thread that reads ahead may be adding to it
    with timer('cast'):
        frame = casting.cast(rows, source, timezone, nul=raw.nul).with_columns(numbers)
    if all(rows.null_count().row(0)):  # perhaps an empty line, or one of commas only: no row
        frame = frame.filter(~rows.select(pl.all_horizontal(pl.all().is_null())).to_series())
    if bad:
        told = [
            {
                'column': None,
                'value': None,
                'reason': f'{row.actual_columns} fields, the header has {row.expected_columns}',
                'row': {'line': row.text.replace('\0', '\N{REPLACEMENT CHARACTER}')},
            }
            for row, _ in bad
        ]
        reject = pl.DataFrame({'told': told}).select(pl.col('told').struct.json_encode().alias('_reject'))
        frame = pl.concat([frame, reject.with_columns(_line=pl.Series([line for _, line in bad]))], how='diagonal')
    start = int(file.delivered_at.timestamp() * 1_000_000)
    return frame.with_columns(
        (pl.col('_line') + start).cast(pl.Datetime('us', 'UTC')).alias('_delivered_at'),
        pl.lit(file.name).alias('_file'),
        pl.lit(file.modified_at).cast(_INSTANT).alias('_modified_at'),
    )


def _unreadable(file: LandingFile, error: Exception) -> str:
    """What is wrong with a file that cannot be read to its end; looks for the line, as nobody waits for this."""
    number = 1
    try:
        with _open(file) as stream:
            for line in stream:
                line.decode()
                number += 1
    except UnicodeDecodeError as wrong:
        return f'{file.name}: line {number} is not UTF-8 (byte {wrong.start + 1}); export the file as UTF-8'
    except _DAMAGED as wrong:
        return f'{file.name}: cut short or damaged at line {number} ({wrong}); deliver the file again'
    if 'straddling' in str(error):
        return f'{file.name}: a row is longer than {SLICE_BYTES >> 20} MB; a quote in it may be open'
    return f'{file.name}: not readable as CSV: {error}'


def _open_quote(file: LandingFile) -> int | None:
    """The line of the row whose quote nobody closes; None if all are closed. Only asked if their number is odd."""
    end = '(end)'
    limit, line, row = csv.field_size_limit(sys.maxsize), 1, [end]
    try:
        with _open(file) as stream, io.TextIOWrapper(stream, 'utf-8-sig', newline='') as text:
            rows = csv.reader(itertools.chain(text, ['\n', end]))
            begins = 1
            while (found := next(rows, None)) is not None:
                row, line, begins = found, begins, rows.line_num + 1
    finally:
        csv.field_size_limit(limit)
    return None if row == [end] else line
