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
        file: the name of the file, with ``hashes``.
        hashes: those of the rows of the file, as texts.
    """

    source: Source
    load_id: int | None = None
    days: Window | None = None
    file: str | None = None
    hashes: pl.Series | None = None


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


def no_such_load(load_id: int) -> str:
    """What is said of a number that no load has."""
    return f'there is no load {load_id}: python -m kly_mage status names the last one of each source'


def nothing_to_take_out(load_id: int, status: str) -> str:
    """What is said of a load that has not ended well."""
    return f'load {load_id} brought nothing that could be taken out: it is {status}'


def corrected_since(load_id: int, later: int) -> str:
    """What is said of a load whose corrections a later load has corrected."""
    return f'load {later} has corrected what load {load_id} did: python -m kly_mage unload --load {later} first'
