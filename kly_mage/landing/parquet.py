"""The rows of Parquet files, slice by slice; a row's line is its number in the file, from 1."""

import contextlib
from collections.abc import Generator
from typing import Any, BinaryIO
from typing import cast as as_type

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.common.timer import timed
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.slices import Slice
from kly_mage.rows.frames import made_ahead

SLICE_ROWS = 8_192  # nested ones are wide: of an event of GA4 1 to 3 KB; 32,000 take 120 MB more and save little time
_DAMAGED = (pa.ArrowException, OSError)


def columns(file: LandingFile) -> list[str]:
    """The names in its schema; see ``slices.Reader``."""
    with file.open() as stream:
        return list(_opened(file, stream).schema_arrow.names)


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The columns ``names``, or parts of them behind a point, single values as text; see ``slices.Reader``."""
    line = 1
    with file.open() as stream:
        opened = _opened(file, stream)
        try:
            batches = timed('read', opened.iter_batches(SLICE_ROWS, columns=_there(opened.schema_arrow, names)))
            with contextlib.closing(made_ahead(batches)) as ready:
                for batch in ready:
                    rows = as_type(pl.DataFrame, pl.from_arrow(pa.Table.from_batches([batch])))
                    rows = rows.with_columns(_text(rows[name]) for name in rows.columns if not rows[name].dtype.is_nested())
                    yield Slice(rows, pl.int_range(line, line + rows.height, dtype=pl.Int64, eager=True).alias('_line'))
                    line += rows.height
        except _DAMAGED as error:
            raise LandingError(_damaged(file, error)) from error
        except pl.exceptions.ComputeError as error:  # a column of bytes
            raise LandingError(
                f'{file.name}: behind row {line - 1:,} bytes are not UTF-8; deliver the column as text'
            ) from error
        file.check(stream)


def _there(schema: pa.Schema, names: list[str]) -> list[str]:
    """What to read for these names: a part of a column only where the column is a group of fields."""
    tops = {name: name if name in schema.names else name.partition('.')[0] for name in names}
    return [name if pa.types.is_struct(schema.field(top).type) else top for name, top in tops.items()]


def is_empty(file: LandingFile) -> bool:
    """It has no row; see ``slices.Reader``."""
    try:
        with file.open() as stream:
            return int(_opened(file, stream).metadata.num_rows) == 0
    except LandingError:
        return False  # its load says what is wrong with it


def _opened(file: LandingFile, stream: BinaryIO) -> Any:
    try:
        # Pages are read as they are needed, not row groups as a whole, which may be the file.
        return pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
    except _DAMAGED as error:
        raise LandingError(_damaged(file, error)) from error


def _damaged(file: LandingFile, error: Exception) -> str:
    return f'{file.name}: no Parquet, cut short or damaged ({printable(str(error), 200)}); deliver the file again'


def _text(values: pl.Series) -> pl.Series:
    """Values as casting reads them: instants with their offset, exact numbers, NULL as it is."""
    if values.dtype == pl.String:
        return values
    if isinstance(values.dtype, pl.Datetime):
        zone = values.dtype.time_zone
        instants = values.dt.cast_time_unit('us')
        texts = pc.cast((instants.dt.convert_time_zone('UTC') if zone else instants).to_arrow(), pa.string())
        return pl.Series(values.name, texts)
    return values.cast(pl.String)
