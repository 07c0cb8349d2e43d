"""What a reader gives of a file: a slice of its rows as the file has them, and where each of them stands."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile

MOST_CELLS = 2_000_000  # of a slice whose rows are made in Python: rows times columns


@dataclass(frozen=True)
class Slice:
    """Some rows of a file, in its order.

    Attributes:
        rows: the columns as the file has them: text; of an export typed and nested as its format says.
        lines: ``_line`` of each row: where it begins, from 1; a format without lines counts its rows.
        rejects: ``_reject`` and ``_line`` of what stands between the rows and is none; its JSON is that of ``casting.cast``.
        nul: whether there may be a NUL byte in a text.
        cut: the line of the last row, if it has no end and so may be cut (``landing/cut.py``).
        nested: columns of lists or groups, which stand in ``rows`` as JSON.
    """

    rows: pl.DataFrame
    lines: pl.Series
    rejects: pl.DataFrame | None = None
    nul: bool = True
    cut: int | None = None
    nested: frozenset[str] = frozenset()


def rejected(rows: pl.DataFrame) -> pl.DataFrame:
    """Rejects, as ``Slice`` has them, of lines that are no rows.

    Args:
        rows: ``_line``; ``line``, its text; ``column`` and ``reason``.
    """
    rows = rows.with_columns(pl.col('line').str.replace_all('\0', '\N{REPLACEMENT CHARACTER}', literal=True))
    told = pl.struct('column', pl.lit(None, pl.String).alias('value'), 'reason', pl.struct('line').alias('row'))
    return rows.select(told.struct.json_encode().alias('_reject'), pl.col('_line').cast(pl.Int64))


class Reader(Protocol):
    """How one format is read; a module is one. It opens a file by ``file.open()`` and ends with ``file.check``."""

    def columns(self, file: LandingFile) -> list[str]:
        """The names of a file's columns as it has them; empty for a file without any content.

        Raises:
            LandingError: it cannot be used, in words that say what was seen.
        """

    def slices(self, file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
        """The rows of a file in slices of bounded memory.

        Args:
            names: what ``columns`` gave, at least one; of a format with nested columns, those that are wanted.

        Raises:
            LandingError: as ``columns``, or it turns out to be damaged or to change; then nothing of it is to be kept.
        """

    def is_empty(self, file: LandingFile) -> bool:
        """Whether a file that can be used has no rows; a look that costs little, however long the file is."""
