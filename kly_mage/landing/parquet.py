"""The rows of Parquet files, slice by slice; a row's line is its number in the file, from 1."""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timed
from kly_mage.declared import ga4_events
from kly_mage.declared.base import Source
from kly_mage.landing import parquet_limits
from kly_mage.landing.arrow_text import series, texts
from kly_mage.landing.files import LandingFile
from kly_mage.landing.slices import Slice
from kly_mage.rows.frames import made_ahead

TAKES_COLUMNS = True
_DAMAGED = (pa.ArrowException, OSError)


def columns(file: LandingFile) -> list[str]:
    """The names in its schema; see ``slices.Reader``."""
    with file.open() as stream:
        return list(_opened(file, stream).schema_arrow.names)


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The columns ``names``, or parts of them behind a point, as text; an export's lists and groups as they are.

    See ``slices.Reader``.
    """
    line = 1
    with file.open() as stream:
        opened = _opened(file, stream)
        is_export = bool(source.exports) and ga4_events.is_export(opened.schema_arrow.names)
        wanted = _there(opened.schema_arrow, names)
        try:
            portions = parquet_limits.portions(opened, stream, wanted)
            with contextlib.closing(made_ahead(timed('read', _batches(opened, portions, wanted)))) as ready:
                for batch in parquet_limits.pieces(ready, file.size):
                    where = f'{file.name}, behind row {line - 1:,}'
                    nested = {name for name in batch.schema.names if pa.types.is_nested(batch.schema.field(name).type)}
                    kept = nested if is_export else set()
                    there = dict(zip(batch.schema.names, batch.columns, strict=True))
                    lists = {name: there.pop(name) for name in kept if _is_list(there[name].type)}
                    rows = pl.DataFrame(
                        [
                            series(name, column) if name in kept else texts(name, column, where)
                            for name, column in there.items()
                        ]
                    )
                    lines = pl.int_range(line, line + rows.height, dtype=pl.Int64, eager=True).alias('_line')
                    yield Slice(rows, lines, nested=frozenset(nested - kept), lists=lists)
                    line += rows.height
        except _DAMAGED as error:
            raise LandingError(_damaged(file, error)) from error
        except parquet_limits.LimitError as error:
            raise LandingError(f'{file.name}: {error}') from error
        file.check(stream)


def _batches(opened: Any, portions: list[tuple[list[int], int]], names: list[str]) -> Iterator[Any]:
    for groups, rows in portions:
        yield from opened.iter_batches(rows, row_groups=groups, columns=names)


def _there(schema: pa.Schema, names: list[str]) -> list[str]:
    """What to read for these names: a part of a column only where the column is a group of fields."""
    tops = {name: name if name in schema.names else name.partition('.')[0] for name in names}
    return [name if pa.types.is_struct(schema.field(top).type) else top for name, top in tops.items()]


def _is_list(kind: pa.DataType) -> bool:
    """Of the lists there are in Arrow, those that events have their parameters in."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_empty(file: LandingFile) -> bool:
    """It has no row; see ``slices.Reader``."""
    try:
        with file.open() as stream:
            return int(_opened(file, stream).metadata.num_rows) == 0
    except LandingError:
        return False  # its load says what is wrong with it


def _opened(file: LandingFile, stream: BinaryIO) -> Any:
    try:
        return parquet_limits.opened(stream, file.size)
    except _DAMAGED as error:
        raise LandingError(_damaged(file, error)) from error
    except parquet_limits.LimitError as error:
        raise LandingError(f'{file.name}: {error}') from error


def _damaged(file: LandingFile, error: Exception) -> str:
    return f'{file.name}: no Parquet, cut short or damaged ({printable(str(error), 200)}); deliver the file again'
