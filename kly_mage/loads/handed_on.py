"""What blocks hand to each other in Mage: pandas frames, which Mage's templates and row actions are written for.

Their columns are Arrow's: an id beyond 2^53, a missing count and a microsecond stay what they are. Money is decimal; Mage
keeps the frame as Parquet and gives decimals back as Python's, exact too.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from kly_mage.common.errors import PipelineError, first_line
from kly_mage.declared.base import Source
from kly_mage.landing import readers


def to_pandas(rows: pl.DataFrame) -> Any:
    """The rows as pandas keeps them best."""
    # Of a clone, which costs nothing: polars lays out a frame's pieces anew, and the thread that made it may look on.
    return rows.clone().to_pandas(use_pyarrow_extension_array=True)


def to_polars(frame: Any, source: Source, made_by: str, *columns: str) -> pl.DataFrame:
    """What a block was given, pandas or polars, with the columns and types of the source's rows.

    Args:
        frame: the output of the block above.
        source: whose rows they are.
        made_by: the kind of block that made them, for messages.
        columns: what it adds to the rows.

    Raises:
        PipelineError: there are no rows, a column is gone, or it holds something else now.
    """
    block = f'{made_by}_{source.name}'
    if not hasattr(frame, 'columns'):  # in the editor, the output of a block that has not run is empty
        raise PipelineError(f'no rows to work on: run {block} first')
    missing = [n for n in (*source.names, '_partition_date', '_reject', *columns) if n not in frame.columns]
    if missing:
        raise PipelineError(f'{block} has to keep the columns {", ".join(missing)}')
    return typed(frame, readers.schema(source), block)


def typed(frame: Any, kinds: Mapping[str, pl.DataType], block: str) -> pl.DataFrame:
    """A frame, pandas or polars, as polars whose columns of these names are of these types.

    Raises:
        PipelineError: a column of the block's holds something else.
    """
    rows: pl.DataFrame = frame if isinstance(frame, pl.DataFrame) else pl.from_pandas(frame)
    for name in rows.columns:
        kind = kinds.get(name, rows.schema[name])
        if rows.schema[name] != kind:
            try:
                rows = rows.with_columns(rows[name].cast(kind))
            except pl.exceptions.PolarsError as error:
                raise PipelineError(
                    f'{block} has to keep {name} as {kind}, not {rows.schema[name]}: {first_line(error)}'
                ) from error
    return rows
