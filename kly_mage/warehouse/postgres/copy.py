"""COPY: a frame into a table, binary, encoded while it is sent."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError
from kly_mage.common.interruption import signals_put_off
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
    # psycopg2 drops what is raised where it calls back, calls it a query that was cancelled, and that would be tried again.
    with signals_put_off() as came:
        cursor.copy_expert(f'copy {table} from stdin (format binary)', _Pieces(pieces, came), size=_SENT_BYTES)
    if cursor.rowcount != frame.height:
        raise WarehouseError(f'COPY into {table} took {cursor.rowcount} of {frame.height} rows')


def _encoded(encoder: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    yield encoder.write_header()
    for batch in batches:
        yield encoder.write_batch(batch)
    yield encoder.finish()


class _Pieces:
    """Bytes that are made while they are read, as a file: a ``read`` gives less than it is asked for at the end only.

    It breaks off when a signal has come.
    """

    def __init__(self, pieces: Iterator[bytes], came: list[int]) -> None:
        self._pieces, self._came, self._held = pieces, came, bytearray()

    def read(self, size: int) -> bytes:
        if self._came:
            raise InterruptedError('a signal has come')
        while len(self._held) < size and (piece := next(self._pieces, None)) is not None:
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken
