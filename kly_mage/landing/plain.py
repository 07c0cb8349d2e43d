"""The bytes of small text files, read by several at once: what a reader costs beside its rows is paid once for all of them.

Each line of such a file is one row, so its rows are told from those of the next file by counting. Whatever is otherwise, or
has something to be said of it, is read by itself (``csv``).
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast as as_type

import polars as pl
import pyarrow as pa
import pyarrow.csv

from kly_mage.common.timer import timer
from kly_mage.landing import csv
from kly_mage.landing.contents import DAMAGED, unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import header_in

MOST_BYTES = 1 << 20  # of a file, unpacked


@dataclass(frozen=True)
class Body:
    """The lines of a file below its header.

    Attributes:
        sign: what stands between fields.
        lines: whole, each with its end.
        rows: how many.
    """

    sign: str
    lines: bytes
    rows: int


def body(file: LandingFile) -> Body | None:
    """The lines of a file; None if they cannot be told apart by their ends alone.

    Raises:
        LandingError: it cannot be used, or changes while it is read.
    """
    with file.open() as packed:
        found = header_in(file, packed)
        try:
            data = unpacked(file, packed).read(MOST_BYTES + 1)
        except DAMAGED:
            return None
        file.check(packed)
    head, _, lines = data.partition(b'\n')
    if b'"' in head or found.lines_above or len(data) > MOST_BYTES or not lines.endswith(b'\n') or not _is_plain(data):
        return None
    return Body(found.sign, lines, lines.count(b'\n'))


def _is_plain(data: bytes) -> bool:
    """Whether these are characters, without a NUL, an empty line, or a line end of its own kind."""
    if b'\0' in data or b'\n\n' in data or b'\n\r' in data or (b'\r' in data and data.count(b'\r') != data.count(b'\r\n')):
        return False
    try:
        return data.isascii() or bool(codecs.utf_8_decode(data, 'strict', True))
    except UnicodeDecodeError:
        return False


def parsed(names: list[str], bodies: Sequence[Body]) -> pl.DataFrame | None:
    """The rows of files of the same columns and sign, as text; None if a line is not just one row."""
    data, wrong = b''.join(each.lines for each in bodies), list[object]()

    def keep(row: object) -> str:
        wrong.append(row)
        return 'skip'

    with timer('read'):
        try:
            read = csv.reader(pa.BufferReader(data), names, bodies[0].sign, keep, is_headless=True)
            rows = as_type(pl.DataFrame, pl.from_arrow(pa.Table.from_batches(list(read)), rechunk=True))
        except pa.ArrowInvalid:
            return None
    # A quote that spans lines makes fewer rows of them, or the last one has a line end inside.
    if wrong or rows.height != sum(each.rows for each in bodies):
        return None
    if b'"' in data and rows.select(pl.any_horizontal(pl.all().str.contains('\n', literal=True).any())).item():
        return None
    is_empty = pl.all_horizontal(pl.all().is_null())  # commas only: no row
    return None if all(rows.null_count().row(0)) and rows.select(is_empty.any()).item() else rows
