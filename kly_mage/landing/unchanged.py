"""Files that need not be read again: their bytes, and all else that reading depends on, are those of a finished load.

What a load does with a file depends on its bytes, on what was declared, mapped and set, and on the code. All that is one
text, the file's ``content``. A finished load keeps it, with the days of the file's rows and what became of them. The next
load whose days are among those reads nothing of a file with the same content: it counts what was kept.

So that the warehouse hears of it, whoever reads, each file is announced by a row of its own, as one that is left out is:
with its content, and either the days of all its rows or that it was not read.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import xxhash

from kly_mage.common.errors import LandingError
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import Delivery, delivery_of
from kly_mage.landing.files import LandingFile
from kly_mage.landing.fingerprint import fingerprint
from kly_mage.landing.parted import Parted, drop, parted, sweep

_BEGINS = '{"column": null, "value": null, "reason": "what is known of its file", "row": '
_LINE = 0


class Kept(NamedTuple):
    """What finished loads have kept of a file.

    Attributes:
        content: as it was.
        days: those whose rows are loaded.
        waiting: those of which it has rows, or something to say, that no load has taken.
        rows: those of which loads have taken usable rows.
    """

    content: str
    days: frozenset[date]
    waiting: frozenset[date]
    rows: frozenset[date]


class Recall(NamedTuple):
    """What a load knows of its files before it reads them.

    Attributes:
        depends_on: all but its bytes that what a file gives depends on, as one text.
        kept: by the file's name.
        parts: the folder of what loads have left behind of large files (``parted``); None if none of it is to be used.
    """

    depends_on: Callable[[LandingFile], str]
    kept: Mapping[str, Kept]
    parts: Path | None = None


@dataclass
class Reading:
    """What a walk does with one file.

    Attributes:
        file: the file.
        content: what it is.
        is_read: whether it is.
        loaded: days whose rows are not taken again.
        days: those of all its rows, which the walk fills in, and others that it has something to say of.
        parted: where its rows may lie by day; None of a file that is read as a whole.
    """

    file: LandingFile
    content: str
    is_read: bool = True
    loaded: frozenset[date] = frozenset()
    days: set[date | None] = field(default_factory=set)
    parted: Parted | None = None


def plan(
    source: Source, files: Collection[LandingFile], window: Window, late_days: int, recall: Recall
) -> dict[str, Reading]:
    """What is to be done with each file, by its name.

    A delivery takes rows out of days of which it has none, so it has something to say of every day whose rows it may hold.
    What counts of a day of an export is found out from all its files together: none of them has to be read, or all are, for
    all days, with the files that have had rows of the days that these cover. Where a file holds several days whole, that
    goes for all files. If rows of still other days cease to count, the warehouse asks for the rest (``Deliveries``).

    Args:
        files: those of a load, without those that are left out.
        late_days: how far back from its own day a file may hold rows, where its source does not say otherwise.

    Returns:
        Of every file but those whose bytes cannot be told any more: reading them says why.
    """
    if recall.parts:
        sweep(recall.parts)
    together = _files_together(source, files)
    found = {
        file.name: reading
        for file in files
        if (reading := _reading(source, file, window, recall, together.get(file.name, '')))
    }
    deliveries: dict[str, set[date | None]] = {
        file.name: set(file.days(late_days) or ()) for file in files if delivery_of(source, file.name)
    }
    to_read = {_whose(source, name) for name in deliveries if name not in found or found[name].is_read}
    # What such a table loses may stand in a file that has rows of its days, too.
    days = {day for file in files if file.covers and _whose(source, file.name) in to_read for day in file.covers}
    beside = {name for name in found if (kept := recall.kept.get(name)) and kept.rows & days}
    to_read |= {_whose(source, name) for name in beside & deliveries.keys()}
    for name, reading in found.items():
        if name in beside or _whose(source, name) in to_read:
            found[name] = Reading(reading.file, reading.content, days=deliveries.get(name, set()))
    return found


def _whose(source: Source, name: str) -> date | str | None:
    """What a file is read with: the day of an export, or all files; None for one that is read by itself."""
    found = delivery_of(source, name)
    if source.whole_days is not None:
        return 'all'
    return found.day if found else None


def _files_together(source: Source, files: Collection[LandingFile]) -> dict[str, str]:
    """By the name of a file: of which files its delivery is, if there are others; it is another one without them."""
    deliveries: dict[Delivery, list[str]] = {}
    for file in files:
        if found := delivery_of(source, file.name):
            deliveries.setdefault(found, []).append(file.name)
    return {
        name: f' {len(names)} {xxhash.xxh3_128_hexdigest(json.dumps(sorted(names)).encode())}'
        for delivery, names in deliveries.items()
        for name in names
        if delivery.is_complete and len(names) > 1
    }


def _reading(source: Source, file: LandingFile, window: Window, recall: Recall, together: str) -> Reading | None:
    try:
        content = f'{fingerprint(file)} {recall.depends_on(file)}{together}'
    except LandingError:
        return None
    kept = recall.kept.get(file.name)
    parts = parted(recall.parts, source.name, file, content) if recall.parts and not source.any_day else None
    if kept is None or kept.content != content:
        return Reading(file, content, parted=Parted(parts, is_made=kept is None, is_last=False) if parts else None)
    if source.any_day:
        return Reading(file, content, is_read=False)
    if parts and not kept.waiting:
        drop(parts)
    if not any(day in window for day in kept.waiting):
        return Reading(file, content, is_read=False)
    is_last = all(day in window for day in kept.waiting)
    return Reading(
        file,
        content,
        loaded=frozenset(day for day in kept.days if day in window),
        parted=Parted(parts, is_made=not is_last, is_last=is_last) if parts else None,
    )


def announced(readings: Iterable[Reading]) -> pl.DataFrame:
    """One row for each file, as ``told`` takes it apart."""
    every = list(readings)
    return pl.DataFrame(
        {
            '_reject': [_BEGINS + json.dumps(_row(each)) + '}' for each in every],
            '_file': [each.file.name for each in every],
            '_line': _LINE,
            '_modified_at': [each.file.modified_at for each in every],
            '_delivered_at': [each.file.delivered_at for each in every],
        },
        schema_overrides={
            '_line': pl.Int64,
            '_modified_at': pl.Datetime('us', 'UTC'),
            '_delivered_at': pl.Datetime('us', 'UTC'),
        },
    )


def _row(reading: Reading) -> dict[str, Any]:
    if not reading.is_read:
        return {'content': reading.content, 'is_read': False}
    return {
        'content': reading.content,
        'is_read': True,
        'loaded': sorted(day.isoformat() for day in reading.loaded),
        'days': sorted(day.isoformat() for day in reading.days if day),
    }


def is_announcement() -> pl.Expr:
    """Whether a row is one of ``announced``."""
    return (pl.col('_line') == _LINE) & pl.col('_reject').str.starts_with(_BEGINS).fill_null(False)


def told(reject: str) -> dict[str, Any]:
    """What ``_reject`` of such a row says: ``content``, ``is_read``, and of a file that was read ``loaded`` and ``days``."""
    row: dict[str, Any] = json.loads(reject)['row']
    return row


def files_unchanged(rows: pl.DataFrame) -> int:
    """How many files are announced as not read."""
    return sum(not told(reject)['is_read'] for reject in rows.filter(is_announcement())['_reject'])
