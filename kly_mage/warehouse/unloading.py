"""What is to be taken out of a source, and what was."""

from dataclasses import dataclass

import polars as pl

from kly_mage.common.window import Window
from kly_mage.declared.base import Source


@dataclass(frozen=True)
class Selection:
    """What is to be taken out of a source: what one load brought, the rows of some days, those of a file, or everything.

    Attributes:
        load_id: the load.
        days: the days of the rows.
        file: the name of the file, with ``rows``.
        rows: hashed rows of the file (``_hashrow`` as stored, ``_partition_date``).
    """

    source: Source
    load_id: int | None = None
    days: Window | None = None
    file: str | None = None
    rows: pl.DataFrame | None = None


@dataclass(frozen=True)
class Unloaded:
    """What was taken out.

    Attributes:
        load_id: the ledger's number for it; None if there was nothing.
        further: versions that other loads met of the rows, and that went with them.
        restatements: rows of which an earlier version counts again.
        days: those to load to bring everything back; None if no row has a day.
    """

    source: str
    load_id: int | None
    rows: int
    conflicts: int
    rejects: int
    further: int
    restatements: int
    days: Window | None
