"""How much a Parquet file would take, by what it says of itself: it is refused before it is unpacked, or read in less.

Parquet packs what repeats, so a few kilobytes may be gigabytes of rows. A column's chunk has its size unpacked, and how many
values are in it; a dictionary has each text once however many rows have it, so it is looked at on its own.
"""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SLICE_ROWS = 8_192  # nested ones are wide: of an event of GA4 1 to 3 KB; 32,000 take 120 MB more and save little time
READ_BYTES = 48 << 20  # unpacked, at once, if each row has the longest text; two of them are there
SLICE_BYTES = 16 << 20  # what is handed on at once; some ten copies of it are under way
VALUE_BYTES = 1 << 20  # of one text
FOOTER_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 30  # of a column in a row group, unpacked: a reader keeps a page of it, and the page may be all of it
_SMALL_CHUNK, _PACKING = 64 << 20, 100
_MANY, _LONE = 10_000_000, 1_000  # values in lists, and how many to a byte: of lists with nothing in them
_MUCH, _ALIKE = 256 << 20, 1_000  # bytes unpacked, and how many to one of the file
_SMALL_DICTIONARY = READ_BYTES // SLICE_ROWS
_LOOK_ROWS = 1_024


class LimitError(Exception):
    """A file would take more than there is for it; its text says why, in a few words."""


class _Leaf(NamedTuple):
    """A column without parts, in one row group."""

    path: str
    bytes: int
    packed: int
    values: int
    rows: int
    is_repeated: bool
    kind: str
    length: int


def opened(stream: BinaryIO, size: int) -> Any:
    """A Parquet file of so many bytes.

    Raises:
        ArrowException, OSError: it is none.
        LimitError: it is not to be read.
    """
    if size >= 12:
        stream.seek(-8, 2)
        length = int.from_bytes(stream.read(4), 'little')
        if FOOTER_BYTES < length < size:
            raise LimitError(f'its footer has {_mb(length)}; write fewer, larger row groups')
    stream.seek(0)
    # Pages are read as they are needed, not row groups as a whole, which may be the file.
    return pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False, coerce_int96_timestamp_unit='us')


def portions(file: Any, stream: BinaryIO, names: list[str]) -> list[tuple[list[int], int]]:
    """Row groups that are read together, and how many rows of them at once.

    Args:
        names: the columns that are read, or parts of them behind a point.

    Raises:
        ArrowException, OSError: it is damaged.
        LimitError: its rows would take more memory than there is for them.
    """
    found: list[tuple[list[int], int]] = []
    for group in range(file.metadata.num_row_groups):
        leaves = [leaf for leaf in _leaves(file.metadata, group) if _is_of(leaf.path, names)]
        if not leaves or not leaves[0].rows:
            continue
        for leaf in leaves:
            if told := _too_much(leaf):
                raise LimitError(f'row group {group + 1}: column {leaf.path} {told}')
        rows = _rows_at_once(file, stream, group, leaves)
        if found and found[-1][1] == rows:
            found[-1][0].append(group)
        else:
            found.append(([group], rows))
    return found


def pieces(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """What was read of a file of so many bytes, in parts that leave room for what is made of them.

    Raises:
        LimitError: it is next to nothing but the same again and again.
    """
    unpacked = 0
    for batch in batches:
        unpacked += batch.nbytes
        if unpacked > max(_MUCH, _ALIKE * size):
            raise LimitError(
                f'more than {_mb(unpacked)} of rows in {size:,} bytes are the same again and again; deliver it again'
            )
        rows = max(1, batch.num_rows * SLICE_BYTES // max(batch.nbytes, SLICE_BYTES))
        for at in range(0, batch.num_rows, rows):
            yield batch.slice(at, rows)


def _leaves(metadata: Any, group: int) -> Iterator[_Leaf]:
    there = metadata.row_group(group)
    for number in range(metadata.num_columns):
        chunk, column = there.column(number), metadata.schema.column(number)
        yield _Leaf(
            chunk.path_in_schema,
            chunk.total_uncompressed_size,
            chunk.total_compressed_size,
            chunk.num_values,
            there.num_rows,
            column.max_repetition_level > 0,
            column.physical_type,
            column.length,
        )


def _is_of(path: str, names: list[str]) -> bool:
    return any(path == name or path.startswith(f'{name}.') for name in names)


def _too_much(leaf: _Leaf) -> str | None:
    if leaf.bytes > _CHUNK_BYTES or (leaf.bytes > _SMALL_CHUNK and leaf.bytes > _PACKING * leaf.packed):
        return f'has {_mb(leaf.bytes)} in {leaf.packed:,} bytes; write row groups of fewer rows'
    if leaf.is_repeated and leaf.values > max(_MANY, _LONE * leaf.bytes):
        return f'has {leaf.values:,} values in lists of {leaf.rows:,} rows; deliver shorter lists'
    return None


def _rows_at_once(file: Any, stream: BinaryIO, group: int, leaves: list[_Leaf]) -> int:
    """How many rows of a row group are a slice: fewer where they are wide, or where the same wide text is in many."""
    rows = _fitting(sum(leaf.bytes for leaf in leaves) / leaves[0].rows)
    wide = {leaf.path: leaf.length for leaf in leaves if leaf.kind == 'FIXED_LEN_BYTE_ARRAY'}
    texts = [leaf.path for leaf in leaves if leaf.kind == 'BYTE_ARRAY' and _repeated(leaf) > _SMALL_DICTIONARY]
    if texts:
        wide |= _longest(file, stream, group, texts, min(rows, _LOOK_ROWS))
    for leaf in leaves:
        if wide.get(leaf.path, 0) > VALUE_BYTES:
            raise LimitError(
                f'row group {group + 1}: column {leaf.path} has a text of {_mb(wide[leaf.path])}; one of up to '
                f'{_mb(VALUE_BYTES)} is read'
            )
    return min(rows, _fitting(sum(wide.get(leaf.path, 0) * leaf.values / leaf.rows for leaf in leaves)))


def _repeated(leaf: _Leaf) -> float:
    """Bytes that a row may have of it, if its dictionary is but one text."""
    return leaf.bytes * leaf.values / leaf.rows


def _fitting(row_bytes: float) -> int:
    return max(1, min(SLICE_ROWS, int(READ_BYTES / max(row_bytes, 1))))


def _longest(file: Any, stream: BinaryIO, group: int, paths: list[str], rows: int) -> dict[str, int]:
    """Bytes of the longest text in the dictionary of each column; rows are not put together for it."""
    found = {}
    look = pq.ParquetFile(stream, metadata=file.metadata, buffer_size=1 << 20, pre_buffer=False, read_dictionary=paths)
    for path in paths:
        for batch in look.iter_batches(rows, row_groups=[group], columns=[path]):
            lengths = [pc.max(pc.binary_length(texts)).as_py() for texts in _dictionaries(batch.column(0))]
            if any(lengths):
                found[path] = max(filter(None, lengths))
                break  # without a value no dictionary is there yet
    return found


def _dictionaries(values: Any) -> Iterator[Any]:
    kind = values.type
    if pa.types.is_dictionary(kind):
        yield values.dictionary
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _dictionaries(values.field(number))
    elif pa.types.is_nested(kind):  # a map, too, is a list of pairs
        yield from _dictionaries(values.values)


def _mb(size: int) -> str:
    return f'{size / 1_000_000:,.0f} MB'
