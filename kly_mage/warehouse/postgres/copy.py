"""COPY: a frame into a table, binary, encoded while it is sent."""

from collections.abc import Generator, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import polars as pl
import psycopg2
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError
from kly_mage.rows.frames import as_arrow

_COPIED_ROWS, _SENT_BYTES = 1_000, 1 << 17  # encoded and sent at once; a socket takes some 200 kB


def copy(cursor: Cursor, frame: pl.DataFrame, table: str) -> None:
    """COPY a frame into a table, binary.

    Args:
        frame: its columns are those of ``table`` that are filled; ``pl.Binary`` of 16 bytes for a uuid.
        table: quoted name with the list of columns.
    """
    if not frame.height:
        return
    rows = as_arrow(frame).combine_chunks()
    # Encoded in small pieces as they are sent: the server works on one while the next is made.
    pieces = _encoded(ArrowToPostgresBinaryEncoder(rows.schema), rows.to_batches(_COPIED_ROWS))
    met = list[BaseException]()
    reader = _read(pieces, met)
    next(reader)
    try:
        cursor.copy_expert(f'copy {table} from stdin (format binary)', SimpleNamespace(read=reader.send), size=_SENT_BYTES)
    except psycopg2.Error:
        if met:  # such as Ctrl-C: psycopg2 drops what ``read`` raised, and calls it a query that was cancelled
            raise met[0] from None
        raise
    if cursor.rowcount != frame.height:
        raise WarehouseError(f'COPY into {table} took {cursor.rowcount} of {frame.height} rows')


def _encoded(encoder: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    yield encoder.write_header()
    for batch in batches:
        yield encoder.write_batch(batch)
    yield encoder.finish()


def _read(pieces: Iterator[bytes], met: list[BaseException]) -> Generator[bytes, int, None]:
    """``read`` of a file whose bytes are made while they are sent: it gives less than it is asked for at the end only.

    Its ``send`` goes on in the midst of the ``try``: a signal that has waited for this turn is met there, where a function
    would meet it before its first line.
    """
    held = bytearray()
    try:
        size = yield b''
        while True:
            while len(held) < size and (piece := next(pieces, None)) is not None:
                held += piece
            taken = bytes(held[:size])
            del held[:size]
            size = yield taken
    except BaseException as error:
        met.append(error)
        raise
