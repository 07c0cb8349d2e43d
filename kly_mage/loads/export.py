"""Gold as a file for others: Parquet or CSV, with all digits, whole or not there."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from kly_mage.common.errors import UsageError
from kly_mage.common.output import ensure_writable
from kly_mage.common.records import cell
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.marts import Joined, Mart
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.gold import Kind, Rows

DIGITS, BEHIND_POINT = 38, 12  # of a Parquet decimal: what it holds at most, and what money has at most
Writer = Callable[[BinaryIO, dict[str, Kind], Rows], int]


def export(settings: Settings, table: Joined | Mart, days: Window | None, path: Path, *, force: bool) -> int:
    """Write the rows of a table of gold; gives how many.

    They are written beside the file, which gets its name when all of them are on the disk: nobody reads half of it, and an
    export that fails leaves what was there.

    Args:
        path: ends in one of ``WRITERS``.
        force: take the place of a file that is there.

    Raises:
        UsageError: the file is there already, or its name tells no format.
        NotBuiltError: the table is not built yet.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise UsageError(f'{path}: the name of the file ends in {" or ".join(WRITERS)}, which says what it is to be')
    if path.is_dir() or (path.exists() and not force):
        raise UsageError(f'{path} is there already: name another file' + ('' if path.is_dir() else ', or --force'))
    ensure_writable(path)
    new = path.with_name(f'.{path.name}.{os.getpid()}.new')
    try:
        with (
            warehouse(settings).stream(table, days) as (kinds, rows),
            new.open('xb') as file,
        ):  # no link that lies there is followed
            count = write(file, kinds, rows)
            file.flush()
            os.fsync(file.fileno())
        if force:
            new.replace(path)
        else:
            _publish(new, path)
    finally:
        new.unlink(missing_ok=True)
    return count


def _publish(new: Path, path: Path) -> None:
    try:
        os.link(new, path)  # fails where a rename would take the place of a file that has come meanwhile
    except FileExistsError:
        raise UsageError(f'{path} is there already: name another file, or --force') from None


def _csv(file: BinaryIO, kinds: dict[str, Kind], rows: Rows) -> int:
    count = 0
    text = io.TextIOWrapper(file, encoding='utf-8', newline='')
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(kinds)
    for batch in rows:
        writer.writerows([cell(value) for value in row] for row in batch)
        count += len(batch)
    text.detach()  # what is written so far goes to the file, which stays open
    return count


def _parquet(file: BinaryIO, kinds: dict[str, Kind], rows: Rows) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        'day': pa.date32(),
        'instant': pa.timestamp('us', tz='UTC'),
        'count': pa.int64(),
        'exact': pa.decimal128(DIGITS, BEHIND_POINT),
        'text': pa.string(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    count = 0
    with pq.ParquetWriter(file, schema, compression='zstd') as writer:
        for batch in rows:
            columns = [
                pa.array(column, type=field.type) for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            count += len(batch)
    return count


WRITERS: dict[str, Writer] = {'.parquet': _parquet, '.csv': _csv}
