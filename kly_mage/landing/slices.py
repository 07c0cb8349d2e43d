"""What a reader gives of a file: a slice of its rows as the file has them, and where each of them stands."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import polars as pl

from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile

MOST_CELLS = 2_000_000  # of a slice whose rows are made in Python: rows times columns
INSTANT = pl.Datetime('us', 'UTC')  # of what tells when a file was delivered and changed
PLACE = ['_delivered_at', '_file', '_modified_at']  # columns of ``placed``
_GATHERED_ROWS, _GATHERED_BYTES = 40_960, 16 << 20  # of small slices put together


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
        lists: columns of an export that Arrow has as lists, and not ``rows``: polars would copy all that is in them.
    """

    rows: pl.DataFrame
    lines: pl.Series
    rejects: pl.DataFrame | None = None
    nul: bool = True
    cut: int | None = None
    nested: frozenset[str] = frozenset()
    lists: Mapping[str, Any] = field(default_factory=dict)


def gathered(parts: Iterable[Slice]) -> Iterator[Slice]:
    """The same rows in the same order, small slices put together: what each costs beside its rows is paid once."""
    held = list[Slice]()
    for part in parts:
        rows, size = (sum(map(of, held)) for of in (lambda one: one.rows.height, lambda one: one.rows.estimated_size()))
        if held and (rows >= _GATHERED_ROWS or size >= _GATHERED_BYTES or part.rows.schema != held[0].rows.schema):
            yield _joined(held)
        held.append(part)
    if held:
        yield _joined(held)


def _joined(held: list[Slice]) -> Slice:
    """Slices without ``lists`` as one; the list is empty then, so that nobody keeps them. Only a file's last row is cut."""
    parts, rejects = held.copy(), [part.rejects for part in held if part.rejects is not None]
    held.clear()
    return replace(
        parts[-1],
        rows=pl.concat([part.rows for part in parts], rechunk=True),
        lines=pl.concat([part.lines for part in parts], rechunk=True),
        rejects=pl.concat(rejects, how='diagonal') if rejects else None,
        nul=any(part.nul for part in parts),
        nested=frozenset().union(*(part.nested for part in parts)),
    )


def rejected(rows: pl.DataFrame) -> pl.DataFrame:
    """Rejects, as ``Slice`` has them, of lines that are no rows.

    Args:
        rows: ``_line``; ``line``, its text; ``column`` and ``reason``.
    """
    rows = rows.with_columns(pl.col('line').str.replace_all('\0', '\N{REPLACEMENT CHARACTER}', literal=True))
    told = pl.struct('column', pl.lit(None, pl.String).alias('value'), 'reason', pl.struct('line').alias('row'))
    return rows.select(told.struct.json_encode().alias('_reject'), pl.col('_line').cast(pl.Int64))


def placed(frame: pl.DataFrame, file: LandingFile) -> pl.DataFrame:
    """The rows with the file they are of, as it was found."""
    return frame.with_columns(
        pl.lit(file.delivered_at).cast(INSTANT).alias('_delivered_at'),
        pl.lit(file.name).alias('_file'),
        pl.lit(file.modified_at).cast(INSTANT).alias('_modified_at'),
    )


class Reader(Protocol):
    """How one format is read; a module is one. It opens a file by ``file.open()`` and ends with ``file.check``.

    Attributes:
        TAKES_COLUMNS: whether it takes some of a file's columns alone, which costs less than all.
    """

    TAKES_COLUMNS: bool

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
