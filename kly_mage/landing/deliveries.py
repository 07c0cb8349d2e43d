"""Deliveries of whole days: which files make one, and which delivery of a day is newer than another.

An export has several tables of one day: what came in as the day went on, and what Google makes of the day. A source
declares which kinds of them hold the day whole (``Source.complete``), and how many days before it, too
(``Source.whole_days``). All files of one kind and day are one delivery, and it counts as a whole or not at all: if one of
its files is left out, so are the others.

A load has to know which deliveries its rows are of before the first of them comes, also where a file holds none of its days.
So each file of a delivery is announced by a row of its own, which goes where the rows go, like that of a file left out.
"""

import json
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import polars as pl

from kly_mage.common.window import moved
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile, day_in_name, kind_in_name

READ = json.dumps({'column': None, 'value': None, 'reason': 'its file is read', 'row': None})
"""What ``_reject`` says of the row that announces a file of a delivery."""


class Delivery(NamedTuple):
    """What a file is a part of.

    Attributes:
        day: whose rows it holds, as its name says: a day of the export's own.
        rank: of two of one day, that of a higher one takes the place of that of a lower one.
        kind: how the names of its files begin.
        is_complete: whether it holds the day whole.
        whole_days: as of its source.
    """

    day: date
    rank: int
    kind: str
    is_complete: bool
    whole_days: int | None

    @property
    def order(self) -> tuple[date, int]:
        """Where it stands among the deliveries of a place: the greatest is the newest."""
        return self.day, self.rank

    def place(self, day: date) -> tuple[date, date]:
        """What it delivers anew with its rows of a local day: the day of the export's own, and that local day."""
        return (self.day if self.whole_days is None else day), day

    def holds_whole(self, day: date) -> bool:
        """Whether it holds all there is of its place of a local day."""
        return self.is_complete and (self.whole_days is None or 0 <= (self.day - day).days < self.whole_days)


def rank(source: Source, kind: str) -> int:
    """The rank of a kind: of the files of one day those of a lower one are delivered first."""
    return (*source.exports, source.name).index(kind)


def delivery_of(source: Source, name: str) -> Delivery | None:
    """What a file of this name is a part of; None for one that only brings rows, whatever else there is.

    Args:
        name: with or without its folder; the file need not be there.
    """
    if not source.complete:
        return None
    kind, day = kind_in_name(source, name), day_in_name(source, name)
    if kind is None or day is None or kind not in {*source.exports, *source.complete}:
        return None
    return Delivery(day, rank(source, kind), kind, kind in source.complete, source.whole_days)


def days_held_before(source: Source, names: Iterable[str]) -> set[date]:
    """The days before their own that files of these names hold whole."""
    if not source.whole_days:
        return set()
    found = [delivery for name in names if (delivery := delivery_of(source, name)) and delivery.is_complete]
    return {moved(delivery.day, -n) for delivery in found for n in range(1, source.whole_days)}


def incomplete(source: Source, files: Iterable[LandingFile], left_out: dict[str, str]) -> dict[str, str]:
    """The files that are left out because another one of their delivery is, and why."""
    lacking = {delivery_of(source, name): name for name in left_out}
    found = {file.name: delivery_of(source, file.name) for file in files if file.name not in left_out}
    return {
        name: f'{lacking[delivery]} is left out, and the day counts only with all its files'
        for name, delivery in found.items()
        if delivery and delivery.is_complete and delivery in lacking
    }


def announced(source: Source, files: Iterable[LandingFile]) -> pl.DataFrame | None:
    """One row per file of a delivery, which says that it is read; None if there is no such file."""
    names = [file.name for file in files if delivery_of(source, file.name)]
    if not names:
        return None
    return pl.DataFrame({'_reject': READ, '_file': names, '_line': 0}, schema_overrides={'_line': pl.Int64})
