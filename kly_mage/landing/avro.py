"""The rows of Avro files, block by block; a row's line is its number in the file, from 1.

A file is a header with its schema, then blocks of records, each packed by itself. fastavro reads the values; a block is
taken out of the file and unpacked here, because only so its size is bounded before it is in memory.
"""

import contextlib
import io
from collections.abc import Generator, Iterator
from typing import IO, Any

import polars as pl
import pyarrow as pa

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timed
from kly_mage.declared import ga4_events
from kly_mage.declared.base import Source
from kly_mage.landing import avro_blocks
from kly_mage.landing.arrow_text import texts
from kly_mage.landing.avro_schema import SchemaError, Shape, shape_of
from kly_mage.landing.contents import DAMAGED, unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.slices import MOST_CELLS, Slice
from kly_mage.rows.frames import made_ahead

TAKES_COLUMNS = True
SLICE_ROWS = 8_192
SLICE_BYTES = 8 << 20  # of records as the file has them, which take ten times as much as Python's
# What fastavro says of bytes that are no record: indexes and lengths out of range, texts that are none.
_DAMAGED = (
    *DAMAGED,
    avro_blocks.BlockError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    pa.ArrowException,
)


def columns(file: LandingFile) -> list[str]:
    """The fields of its records; see ``slices.Reader``."""
    if not file.size:
        return []
    with file.open() as packed:
        return list(_opened(file, unpacked(file, packed)).shape.types)


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The fields ``names``, or the fields that have parts so named, as text; an export's lists and groups as they are.

    See ``slices.Reader``.
    """
    line = 1
    with file.open() as packed:
        opened = _opened(file, unpacked(file, packed))
        there = {name: opened.shape.types[name] for name in dict.fromkeys(_top(opened.shape, name) for name in names)}
        nested = {name for name, kind in there.items() if pa.types.is_nested(kind)}
        kept = nested if bool(source.exports) and ga4_events.is_export(opened.shape.types) else set()
        batches = _batches(file, opened, pa.struct(list(there.items())))
        with contextlib.closing(made_ahead(timed('read', batches))) as ready:
            for batch in ready:
                where = f'{file.name}, behind row {line - 1:,}'
                rows = pl.DataFrame(
                    [
                        pl.Series(name, column) if name in kept else texts(name, column, where)
                        for name, column in zip(there, batch.flatten(), strict=True)
                    ]
                )
                lines = pl.int_range(line, line + rows.height, dtype=pl.Int64, eager=True).alias('_line')
                yield Slice(rows, lines, nested=frozenset(nested - kept))
                line += rows.height
        file.check(packed)


def is_empty(file: LandingFile) -> bool:
    """No byte, or no row; see ``slices.Reader``."""
    if not file.size:
        return True
    with file.open() as packed:
        try:
            return not any(count for count, _ in _opened(file, unpacked(file, packed)).blocks)
        except (LandingError, *_DAMAGED):
            return False  # its load says what is wrong with it


class _Opened:
    """An opened file behind its header."""

    def __init__(self, stream: IO[bytes]) -> None:
        header = avro_blocks.header(stream)
        self.shape = shape_of(header.schema)
        self.blocks = avro_blocks.blocks(stream, header)


def _opened(file: LandingFile, stream: IO[bytes]) -> _Opened:
    try:
        return _Opened(stream)
    except SchemaError as wrong:
        raise LandingError(f'{file.name}: {wrong}') from wrong
    except _DAMAGED as wrong:
        raise LandingError(_damaged(file, 0, wrong)) from wrong


def _top(shape: Shape, name: str) -> str:
    return name if name in shape.types else name.partition('.')[0]


def _batches(file: LandingFile, opened: _Opened, kind: Any) -> Iterator[Any]:
    """The records as arrays of groups, some thousand each."""
    from fastavro import schemaless_reader

    done, size, records = 0, 0, list[Any]()
    most = max(1, min(SLICE_ROWS, MOST_CELLS // len(opened.shape.types)))
    try:
        for count, block in opened.blocks:
            stream = io.BytesIO(block)
            for _ in range(count):
                records.append(schemaless_reader(stream, opened.shape.schema, None))
                if len(records) == most:
                    yield pa.array(records, kind)
                    done, size, records = done + len(records), 0, []
            if stream.read(1):
                raise avro_blocks.BlockError('a block is longer than its records')
            size += len(block)
            if size > SLICE_BYTES:
                yield pa.array(records, kind)
                done, size, records = done + len(records), 0, []
        if records:
            yield pa.array(records, kind)
    except _DAMAGED as wrong:
        raise LandingError(_damaged(file, done + len(records), wrong)) from wrong


def _damaged(file: LandingFile, done: int, wrong: BaseException) -> str:
    why = printable(str(wrong) or type(wrong).__name__, 200)
    return f'{file.name}: no Avro, cut short or damaged behind row {done:,} ({why}); deliver the file again'
