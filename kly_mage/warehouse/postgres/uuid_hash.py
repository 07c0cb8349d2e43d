"""PostgreSQL's own 64-bit hash of a uuid (``uuid_hash_extended(…, 0)``), of whole columns: what both sides can add up.

It is Bob Jenkins's lookup3 over the 16 bytes, by which PostgreSQL places rows in hash partitions, so it stays as it is.
Whether the server at hand agrees, on another kind of processor too, ``agrees`` asks.
"""

from uuid import UUID

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg2.extensions import cursor as Cursor

from kly_mage.rows import rowhash

Words = NDArray[np.uint32]
_START = np.uint32(0x9E3779B9 + 16 + 3923095)
_EXAMPLE = UUID('20251031-8d5e-4711-a0b1-c2d3e4f5a6b7')


def uuid_hash(high: pl.Series, low: pl.Series) -> pl.Series:
    """The hash of each uuid, without sign.

    Args:
        high: the first eight bytes of each, as they lie in memory, as 64 bits.
        low: the others.
    """
    first, last = (half.to_numpy().astype('<u8', copy=False).view('<u4').reshape(-1, 2) for half in (high, low))
    a, b, c = (_START + word for word in (first[:, 0], first[:, 1], last[:, 0]))
    for turn in (4, 6, 8, 16, 19, 4):  # mixes the three, each in its turn
        a = (a - c) ^ _turned(c, turn)
        c = c + b
        a, b, c = b, c, a
    a = a + last[:, 1]
    for turn in (14, 11, 25, 16, 4, 14, 24):  # and lets the last bits reach all others
        c = (c ^ b) - _turned(b, turn)
        a, b, c = b, c, a
    return pl.Series(a.astype(np.uint64) << np.uint64(32) | b)


def agrees(cursor: Cursor) -> bool:
    """Whether the server hashes as we do."""
    cursor.execute('select uuid_hash_extended(%s::uuid, 0)', (str(_EXAMPLE),))
    return bool(cursor.fetchone()[0] % (1 << 64) == uuid_hash(*rowhash.halves(pl.Series([_EXAMPLE.hex])))[0])


def _turned(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))
