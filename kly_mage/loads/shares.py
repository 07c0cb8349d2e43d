"""The days of a load in shares, which processes load side by side (``side_by_side``).

A share is a load like any other: its own transaction, its own line in the ledger, its own locks of its days. What becomes
of a row does not depend on the order in which they commit, because rows that decide about each other are of one day, and a
day is in one share. So what is cut is what days divide: files that are dated and plain. Articles, undated files and exports,
whose files decide together, stay one load, and so does a source whose loads stop by the numbers of the days around.
"""

from collections.abc import Iterator
from datetime import date

from kly_mage.common.cores import cores
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import delivery_of
from kly_mage.landing.files import files_for
from kly_mage.loads.depends import is_ours
from kly_mage.loads.found import find_files

SHARE_BYTES = 64 << 20  # fewer are loaded by the time that a further process has begun
MOST_PROCESSES = 64
SHARE_DAYS = 400  # a longer load locks its source as a whole (``warehouse.postgres.locks``)


def processes(workers: int | None) -> int:
    """How many processes may load side by side.

    Args:
        workers: as many as somebody has asked for. None: one for each two cores, which a load and its server keep busy.
    """
    return workers or max(1, cores() // 2)


def shares(settings: Settings, sources: list[Source], days: Window, workers: int | None) -> dict[str, list[Window]]:
    """The days as ranges that follow each other, of about equally large files, by the sources that are to be cut.

    Args:
        workers: as for ``processes``; without it no range is smaller than ``SHARE_BYTES``, with it each has a file.
    """
    if settings.warehouse != 'postgres':
        return {}
    found = {source.name: _shares(settings, source, days, workers) for source in sources}
    return {name: ranges for name, ranges in found.items() if len(ranges) > 1}


def _shares(settings: Settings, source: Source, days: Window, workers: int | None) -> list[Window]:
    stops = any(rule is not None and rule.level == 'stop' for rule in (source.volume, source.freshness))
    if source.any_day or stops or not is_ours(source):
        return [days]
    near = files_for(find_files(settings, source), days, settings.late_days)
    if any(file.day is None or delivery_of(source, file.name) for file in near):
        return [days]
    sizes = dict.fromkeys(days, 0)
    for file in near:
        if file.day in sizes:
            sizes[file.day] += file.size
    total = sum(sizes.values())
    count = min(processes(workers), sum(map(bool, sizes.values())) if workers else total // SHARE_BYTES)
    return list(_cut(sizes, total, count)) if count > 1 else [days]


def _cut(sizes: dict[date, int], total: int, count: int) -> Iterator[Window]:
    """Ranges of days that end where another share of the bytes is full."""
    start, last, sofar, each = min(sizes), max(sizes), 0, total / count
    end = each
    for day, size in sizes.items():
        sofar += size
        if day == last or end <= sofar < total or (day - start).days + 1 >= SHARE_DAYS:
            yield Window(start, day)
            start, end = moved(day, 1), each * (sofar // each + 1)
