"""Rows of a stream, kept until all are there, and given back so that equal ones are together, in memory that stays small.

While they are few they stay in memory. Of more, each so many are put in order of a pile (the last bits of their hash), and
written into a file; a pile is then a stretch of each file.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

_HELD_ROWS = 2_000_000  # some 35 bytes each: so many stay in memory
_WRITTEN_ROWS = 300_000  # of more, so many go into a file: putting them in order takes several times their memory
_GIVEN_ROWS = 500_000  # given back at once
_PILES = 256


class Piles:
    """Frames go in (``put``); walked over, it gives them back with all rows of one ``key`` in one frame, in their order.

    Args:
        key: a column of 64 bits, spread evenly.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._held: list[pl.DataFrame] = []
        self._rows = 0
        self._folder: TemporaryDirectory[str] | None = None
        self._files: list[tuple[pl.DataFrame, NDArray[np.int64]]] = []  # on disk, and where its piles begin

    def put(self, frame: pl.DataFrame) -> None:
        """Keep the rows of a frame; all have the same columns."""
        self._held.append(frame)
        self._rows += frame.height
        if self._rows >= (_WRITTEN_ROWS if self._files else _HELD_ROWS):
            self._write()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if not self._files:
            if self._held:
                yield pl.concat(self._held)
            return
        if self._held:
            self._write()
        begins = np.sum([begins for _, begins in self._files], axis=0)
        bounds = [0]
        for pile in range(1, _PILES):
            if begins[pile + 1] - begins[bounds[-1]] > _GIVEN_ROWS:
                bounds.append(pile)
        for first, end in pairwise([*bounds, _PILES]):
            yield pl.concat([rows[int(of[first]) : int(of[end])] for rows, of in self._files])

    def close(self) -> None:
        """Forget all."""
        self._held, self._files = [], []
        if self._folder:
            self._folder.cleanup()

    def _write(self) -> None:
        held, self._held, self._rows = self._held, [], 0
        while held:
            some, rows = list[pl.DataFrame](), 0
            while held and rows < _WRITTEN_ROWS:
                some.append(held.pop(0))
                rows += some[-1].height
            self._write_file(pl.concat(some))

    def _write_file(self, rows: pl.DataFrame) -> None:
        piles = (rows[self._key].to_numpy() % _PILES).astype(np.uint8)
        self._folder = self._folder or TemporaryDirectory(prefix='kly_mage-')
        path = Path(self._folder.name) / f'{len(self._files)}.arrow'
        rows[pl.Series(piles.argsort(kind='stable'))].write_ipc(path)
        begins = np.concatenate([[0], np.bincount(piles, minlength=_PILES).cumsum()])
        self._files.append((pl.read_ipc(path, memory_map=True), begins))
