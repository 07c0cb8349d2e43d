"""GA4's export out of BigQuery into the landing zone: one Parquet file per table, in Google's shape and under its name.

A file says of itself which table it is a copy of, and when that was last changed. So a table is copied once, and again when
Google has written it anew: the file then is a newer delivery of its day (docs/whole-days.md). A copy is written beside and
takes its name when it is whole; what was broken off begins with the first table that is not there.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kly_mage.common.errors import FetchError
from kly_mage.common.text import counted
from kly_mage.common.window import Window
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.fetch.bigquery import Dataset, Remote
from kly_mage.fetch.place import Step, alone, begun, folder
from kly_mage.landing.files import day_in_name, kind_in_name

_GROUP_BYTES, _GROUP_ROWS = 64 << 20, 100_000  # of a row group: what is held of a table
_TABLE, _MODIFIED = b'kly_mage.bigquery.table', b'kly_mage.bigquery.modified'


@dataclass(frozen=True)
class Plan:
    """What a call would copy.

    Attributes:
        waiting: tables that are not in the landing zone as they are now, oldest day first.
        unchanged: how many are.
        missing: days without any table.
    """

    waiting: list[Remote]
    unchanged: int
    missing: list[date]

    @property
    def bytes(self) -> int:
        """What reading them is billed as."""
        return sum(table.bytes for table in self.waiting)


def plan(dataset: Dataset, landing: Path, days: Window) -> Plan:
    """Compare the tables of these days with their files.

    Raises:
        FetchError: BigQuery refuses it, or something else has the name of a file.
    """
    names = [name for name in dataset.tables() if is_export(name) and day_of(name) in days]
    waiting, unchanged = [], 0
    for name in sorted(names, key=lambda name: (name[-8:], name)):
        table = dataset.table(name)
        if table is None:
            continue  # intraday tables go when the day's own is there
        if _is_copy(file_of(landing, name), dataset, table):
            unchanged += 1
        else:
            waiting.append(table)
    with_some = {day_of(name) for name in names}
    return Plan(waiting, unchanged, [day for day in days if day not in with_some])


def fetch(dataset: Dataset, landing: Path, found: Plan, max_bytes: int, step: Step) -> int:
    """Copy the tables of a plan; gives the rows.

    Args:
        max_bytes: that may be read; more is refused before anything is.
        step: is told how far it has got, by table.

    Raises:
        FetchError: it would be more, BigQuery refuses it, or another ``fetch`` is at work. Tables that are whole stay.
    """
    if found.bytes > max_bytes:
        raise FetchError(
            f'{counted(len(found.waiting), "table")} of {found.bytes:,} bytes would be read, {max_bytes:,} may be: '
            'name fewer days, or allow more by --max-bytes or KLY_FETCH_MAX_BYTES; nothing was read'
        )
    rows = 0
    if found.waiting:
        with alone(landing), folder(landing, GA4_EVENTS.name) as at:
            for table in found.waiting:
                rows += _copy(dataset, table, at, step)
    return rows


def file_of(landing: Path, table: str) -> Path:
    """Where the copy of a table stands."""
    return landing / GA4_EVENTS.name / f'{table}-000000000000.parquet'


def is_export(table: str) -> bool:
    """Whether a table of that name is one of GA4's export."""
    kind = kind_in_name(GA4_EVENTS, table)
    return kind in GA4_EVENTS.exports and table == f'{kind}_{table[-8:]}' and day_of(table) is not None


def day_of(table: str) -> date | None:
    """The day in a table's name."""
    return day_in_name(GA4_EVENTS, table)


def _is_copy(file: Path, dataset: Dataset, table: Remote) -> bool:
    """Whether a file is a copy of a table as it is now."""
    if not os.path.lexists(file):
        return False
    try:
        told = pq.read_schema(file).metadata or {}
    except (pa.ArrowException, OSError):
        told = {}
    if told.get(_TABLE) != _full_name(dataset, table):
        whose = told[_TABLE].decode(errors='replace') if _TABLE in told else None
        raise FetchError(
            f'{file} is {f"a copy of {whose}" if whose else "none of the files that fetch writes"}, and would be replaced: '
            'move it away, or fetch into another KLY_DATA_DIR'
        )
    return told.get(_MODIFIED) == table.modified.isoformat().encode()


def _copy(dataset: Dataset, table: Remote, at: int, step: Step) -> int:
    """Copy a table into an open folder."""
    what, total, rows = f'fetching {table.name}', max(table.rows, 1), 0
    step(what, 0, total, '')
    schema, batches = dataset.rows(table.name)
    metadata = {_TABLE: _full_name(dataset, table), _MODIFIED: table.modified.isoformat().encode()}
    name = file_of(Path(), table.name).name
    part = f'.{name}.part'
    try:
        with os.fdopen(begun(part, at), 'r+b') as written:
            written.truncate()
            with pq.ParquetWriter(written, schema.with_metadata(metadata), compression='zstd') as writer:
                for group in _groups(batches):
                    writer.write_table(group)
                    rows += group.num_rows
                    step(what, min(rows, total * 0.99), total, counted(rows, 'row'))
            _ensure_whole(dataset, table, rows)
            written.flush()
            os.fsync(written.fileno())
        os.rename(part, name, src_dir_fd=at, dst_dir_fd=at)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=at)
    step(what, total, total, counted(rows, 'row'))
    return rows


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.nbytes for each in held) >= _GROUP_BYTES or sum(each.num_rows for each in held) >= _GROUP_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _ensure_whole(dataset: Dataset, table: Remote, rows: int) -> None:
    """A table that has not been changed meanwhile has as many rows as came."""
    now = dataset.table(table.name)
    if now == table and not table.is_streaming and rows != table.rows:
        raise FetchError(f'{table.name} has {table.rows:,} rows, {rows:,} came: nothing of it was kept, fetch it again')


def _full_name(dataset: Dataset, table: Remote) -> bytes:
    return f'{dataset.project}.{dataset.name}.{table.name}'.encode()
