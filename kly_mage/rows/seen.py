"""Which rows of a stream may repeat an earlier one, in memory that does not grow with it."""

import numpy as np
import polars as pl

_BITS = 28  # of a hash: of a hundred million rows a third are taken for repeated that are not


class Seen:
    """The hashes met so far, a bit for all that share their last bits: it forgets none, and takes a few for known."""

    def __init__(self) -> None:
        self._bits = np.zeros(1 << (_BITS - 3), np.uint8)

    def again(self, hashrows: pl.Series) -> pl.Series:
        """Of each hash, as text, whether it may have been met before, in an earlier call or above; if not, it was not."""
        numbers = np.frombuffer(bytes.fromhex(hashrows.str.slice(24).str.join('').item()), '>u4').astype(np.uint32)
        places = numbers & ((1 << _BITS) - 1)
        at, bit = places >> 3, (1 << (places & 7)).astype(np.uint8)
        met = (self._bits[at] & bit) != 0
        np.bitwise_or.at(self._bits, at, bit)
        return pl.Series(met) | ~pl.Series(places).is_first_distinct()
