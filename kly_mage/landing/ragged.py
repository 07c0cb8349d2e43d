"""Rows of too few or too many fields: the reader skips them, and they become rejects of the frame they belong to."""

from array import array
from typing import Any

import numpy as np
import polars as pl

from kly_mage.landing.files import LandingFile
from kly_mage.landing.formats import at_line
from kly_mage.landing.slices import rejected

MAX_REJECTS = 100_000  # beyond these a file is refused if it has more rejects than usable rows


class Ragged:
    """Such rows until their frame is made, by number, fields and text: of a bad file they are millions.

    The reader's own thread adds them while another takes them: the former only writes at the end, the latter at the front.

    Args:
        columns: fields of the header.
        most_bytes: text that may wait; the reader gives no slice without a usable row, and they must not pile up until then.
    """

    def __init__(self, columns: int, most_bytes: int) -> None:
        self.count = 0  # of all so far
        self.are_too_many = False
        self._columns, self._most_bytes = columns, most_bytes
        self._numbers, self._fields, self._texts = array('q'), array('q'), list[str]()
        self._bytes, self._bytes_taken = 0, 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._numbers)

    def keep(self, row: Any) -> str:
        """What the reader asks for every such row; tells it to stop where there are too many."""
        _, fields, number, text = row
        self.count += 1
        self._bytes += len(text)
        self._texts.append(text)
        self._fields.append(fields)
        self._numbers.append(number)  # the last: who sees it sees the rest
        if too_many(self.count, number - 1) or self._bytes - self._bytes_taken > self._most_bytes:
            self.are_too_many = True
            return 'error'
        return 'skip'

    def numbers(self) -> 'np.ndarray[Any, np.dtype[np.int64]]':
        """The records they are, the header is record 1."""
        return np.array(self._numbers[:], np.int64)

    def breaks(self, count: int) -> list[int]:
        """The line breaks inside each of the first ``count``."""
        return [text.count('\n') for text in self._texts[:count]]

    def last(self) -> tuple[int, str]:
        """The record that the last of them is, and what is wrong with it."""
        return self._numbers[-1], f'{self._fields[-1]} fields, the header has {self._columns}'

    def rejects(self, lines: pl.Series) -> pl.DataFrame:
        """A reject for each of the first, as many as there are lines; they wait no more."""
        count = len(lines)
        texts, fields = self._texts[:count], np.array(self._fields[:count], np.int64)
        for waiting in (self._numbers, self._fields, self._texts):
            del waiting[:count]
        self._bytes_taken += sum(map(len, texts))
        rows = pl.DataFrame({'_line': lines, 'fields': fields, 'line': texts}).with_columns(
            pl.lit(None, pl.String).alias('column'),
            reason=pl.format('{} fields, the header has {}', 'fields', pl.lit(self._columns)),
        )
        return rejected(rows)


def too_many(unusable: int, rows: int) -> bool:
    """Whether a file is not the table its header says: rejects are for single rows, each of which costs its time."""
    return unusable > MAX_REJECTS and 2 * unusable > rows


def mostly_unusable(file: LandingFile, unusable: int, rows: int, line: int, reason: str) -> str:
    """The sentence for a file with too many of them, the last in ``line``."""
    return (
        f'{file.name}: {unusable:,} of its first {rows:,} rows cannot be used, the last of them in '
        f'{at_line(file.name, line)} ({reason}); deliver the file again'
    )
