"""The rows of one load on their way: frames, to one Parquet file, to one table of ``staging``."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import READ
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.rows.frames import as_arrow
from kly_mage.rows.rowhash import undeclared_values
from kly_mage.warehouse.announced import Announced
from kly_mage.warehouse.bigquery import rules
from kly_mage.warehouse.bigquery.schema import TYPES, Columns
from kly_mage.warehouse.bigquery.text import there
from kly_mage.warehouse.request import Request

_SYSTEM = {
    '_partition_date': 'date',
    '_hashrow': 'string',
    '_utc_day': 'date',
    '_delivered_at': 'timestamp',
    '_file': 'string',
    '_line': 'int64',
    '_reject': 'string',
    '_duplicate_rows': 'int64',
    '_undeclared': 'string',
    '_undeclared_values': 'string',
    '_seq': 'int64',
}
POLARS: Mapping[str, pl.DataType] = {
    **{'string': pl.String(), 'int64': pl.Int64(), 'bignumeric': pl.Decimal(38, 12), 'bool': pl.Boolean()},
    **{'date': pl.Date(), 'timestamp': pl.Datetime('us', 'UTC')},
}
"""What a column of a frame is, by its type in BigQuery."""


@dataclass
class Staged:
    """What is known of the rows without asking the warehouse.

    Attributes:
        columns: of the staged table, name and type.
        announced: which files were read, and which are as they were.
        first: the first UTC day in front of a hash, if any row has one.
        last: the last.
        states: when each file whose rows came had been changed last.
        left_out: why files are left out, by their names.
        deliveries: the files of deliveries of whole days that were read, whether or not they have given a row.
    """

    columns: list[tuple[str, str]]
    announced: Announced
    first: date | None = None
    last: date | None = None
    states: dict[str, datetime] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    deliveries: list[str] = field(default_factory=list)

    def begin(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Take note of the files that are announced; gives the other rows."""
        frame = self.announced.begin(frame, self.states)
        is_announced = (pl.col('_reject') == READ).fill_null(value=False)
        self.deliveries += frame.filter(is_announced)['_file'].to_list()
        return frame.filter(~is_announced)

    def note(self, frame: pl.DataFrame, stored: pl.DataFrame) -> None:
        """Take in what a frame says of days and files."""
        days = stored['_utc_day'].drop_nulls()
        if len(days):
            own: list[date] = days.unique().to_list()
            self.first = min([*own, self.first or date.max])
            self.last = max([*own, self.last or date.min])
        if '_modified_at' in frame.columns:
            read = frame.filter(pl.col('_line') != FILE_LINE).select('_file', '_modified_at')
            self.states |= dict(read.unique().drop_nulls().rows())
        whole = frame.filter((pl.col('_line') == FILE_LINE) & pl.col('_reject').is_not_null())
        self.left_out |= dict(whole.select('_file', pl.col('_reject').str.json_path_match('$.reason')).rows())
        self.rows += frame.height


def staged_columns(source: Source, undeclared: list[str]) -> Columns:
    """Name, type and a note of each column of a staged table."""
    own = [(column.name, TYPES[column.kind], '') for column in source.columns]
    own += [(name, 'string', '') for name in sorted(undeclared)]
    return own + [(name, kind, '') for name, kind in _SYSTEM.items()] + [(name, 'bool', '') for name in rules.staged(source)]


@contextmanager
def written(
    request: Request, frames: Iterable[pl.DataFrame], unnamed: Callable[[pl.DataFrame], pl.DataFrame]
) -> Iterator[tuple[Path, Staged]]:
    """The rows as a Parquet file, written a frame at a time, so that memory follows the frame; gone at the end.

    Args:
        unnamed: has nothing said of whole files that names a person who was forgotten (``persons.unnamed``).
    """
    import pyarrow.parquet as pq

    source, undeclared = request.source, request.undeclared
    columns = [(name, kind) for name, kind, _ in staged_columns(source, undeclared)]
    staged = Staged(columns, Announced(source, request.window))
    with TemporaryDirectory(prefix='kly_mage-') as folder:
        path, writer = Path(folder) / 'rows.parquet', None
        try:
            for given in frames:
                frame = unnamed(staged.begin(given))
                stored = _stored(frame, source, undeclared, staged.rows)
                staged.note(frame, stored)
                table = as_arrow(stored.rename(there))
                writer = writer or pq.ParquetWriter(path, table.schema, compression='zstd')
                writer.write_table(table)
        finally:
            if writer:
                writer.close()
        yield path, staged


def _stored(frame: pl.DataFrame, source: Source, undeclared: list[str], offset: int) -> pl.DataFrame:
    day = pl.col('_hashrow').str.head(8).str.to_date('%Y%m%d', strict=False).alias('_utc_day')
    values = undeclared_values(frame, source) if source.version_columns else []
    frame = frame.with_columns(day, *values).with_row_index('_seq').with_columns(pl.col('_seq').cast(pl.Int64) + offset)
    kinds: dict[str, Any] = {column.name: POLARS[TYPES[column.kind]] for column in source.columns}
    kinds |= dict.fromkeys(sorted(undeclared), pl.String()) | {name: POLARS[kind] for name, kind in _SYSTEM.items()}
    stored = frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in kinds.items()
    )
    return stored.with_columns(rules.of_frame(source))
