"""Which files of the landing zone hold a source's rows, which day the name of each holds, and their bytes.

Whoever may write into the landing zone may not thereby read the rest of the machine, nor stop a load: only regular files
inside the zone are opened, no link is followed on the way, and nothing that would have to be waited for.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zoneinfo import ZoneInfo

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import UTC
from kly_mage.common.text import printable
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.landing import inside
from kly_mage.landing.formats import ENDS
from kly_mage.landing.mapping_file import MAPPINGS, mapping_of, mappings

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

# How Ad Manager names its Data Transfer files; what they are, their bytes say.
_WITHOUT_END = re.compile(r'Network[A-Za-z]+_[0-9]+_[0-9]{8}_[0-9]{2}(?:\.gz)?')


# By source, what was asked for and found last: what follows from a file's name and state is worked out once. A command
# looks several times, because deliveries do not wait for it, and years of files may lie there.
_Seen = dict[str, tuple[tuple[int, ...], 'LandingFile']]
_seen: dict[str, tuple[tuple[object, ...] | None, _Seen]] = {}


@dataclass(frozen=True)
class LandingFile:
    """One file of a source.

    Attributes:
        path: where it is, no link in it from ``root`` on.
        name: its name relative to the landing zone, as the ledger and messages give it.
        day: the day in its name; None for an undated file.
        size: bytes.
        modified_at: when it was last changed.
        inode: what tells it from another file that takes its name.
        delivered_at: when it was delivered, as far as its name tells: the start of its day (a minute later for each kind
            of export that comes before it), or when it was changed if it is undated. Files that share the instant follow
            each other by their names, the rows of a file by their lines: the order of delivery does not depend on which
            other files are there.
        root: the landing zone, no link in it.
        problem: why it is not read, in a few words; None if it is.
        covers: the local days of its own day and those that its source brings early; None for an undated file.
        late: how many days before those its rows may be, by what ``KLY_LATE_DAYS`` says.
        mapping: what its columns are, if ``landing.toml`` says so.
        is_table: whether it is no file but a table of the warehouse, which nobody opens here.
    """

    path: Path
    name: str
    day: date | None
    size: int
    modified_at: datetime
    inode: int
    delivered_at: datetime
    root: Path
    problem: str | None = None
    covers: Window | None = None
    late: Callable[[int], int] = field(default=int, compare=False)
    mapping: Mapping | None = field(default=None, hash=False)
    is_table: bool = False

    @property
    def signature(self) -> tuple[str, int, datetime]:
        """What tells two states of one file apart."""
        return (self.name, self.size, self.modified_at)

    def days(self, late_days: int) -> Window | None:
        """The days whose rows it may hold, None for any: those it covers and ``late_days`` before, or as its source says."""
        if self.covers is None:
            return None
        return Window(moved(self.covers.start, -self.late(late_days)), self.covers.end)

    def open(self) -> BinaryIO:
        """Its bytes, as they are on the disk.

        Raises:
            LandingError: it is not to be read, or it is not the file any more that was found.
        """
        if self.problem or self.is_table:
            raise LandingError(f'{self.name}: {self.problem or "a table, no file"}')
        try:
            stream = os.fdopen(inside.descend(self.root, self.path.relative_to(self.root).parts), 'rb')
        except OSError as error:
            raise LandingError(f'{self.name}: cannot be opened ({error.strerror}); nothing of it was read') from error
        try:
            self.check(stream)
        except LandingError:
            stream.close()
            raise
        return stream

    def check(self, stream: BinaryIO) -> None:
        """Make sure that the opened file is the one that was found, still has its name, and nobody has written to it since.

        Raises:
            LandingError: it is another one, or it has been changed.
        """
        try:
            now, there = os.fstat(stream.fileno()), self.path.lstat()
            is_same = os.path.samestat(now, there) and stat.S_ISREG(now.st_mode)
        except OSError:  # it has gone
            is_same = False
        if not is_same or (now.st_size, _instant(now), now.st_ino) != (self.size, self.modified_at, self.inode):
            raise LandingError(f'{self.name}: changed while it was looked at; load its days again when it is complete')


def find_files(source: Source, data_dir: Path, timezone: str, mapping: Path | None = None) -> list[LandingFile]:
    """All files of a source, in the order of their delivery; those that cannot be read have a ``problem``.

    Hidden files (``.x.csv``, ``._x.csv``) are no deliveries.

    Args:
        mapping: where the mappings stand, if not in ``landing.toml`` of the landing zone.

    Raises:
        LandingError: the landing zone is not there, has nothing for this source, or the source's folder is elsewhere; or a
            mapping is wrong.
    """
    if not data_dir.is_dir():
        raise LandingError(f'no landing zone at {data_dir}: create it or set KLY_DATA_DIR')
    root, folder = data_dir.resolve(), data_dir / source.name
    if folder.is_symlink() and not folder.resolve().is_relative_to(root):
        raise LandingError(f'{source.name}: the folder is a link out of the landing zone {data_dir}; nothing in it is read')
    names = [f'{source.name}/{path.name}' for path in folder.iterdir() if is_delivery(path.name)] if folder.is_dir() else []
    names += [name for end in ENDS if os.path.lexists(data_dir / (name := f'{source.name}{end}'))]
    if not names and not folder.is_dir():
        raise LandingError(f'nothing for {source.name} in {data_dir}: expected {source.name}/*.csv or {source.name}.csv')
    zone, given = ZoneInfo(timezone), mappings(mapping or data_dir / MAPPINGS)
    asked = (source, data_dir, root, folder := folder.resolve(), timezone, given)
    before, seen = _seen.get(source.name, (None, {})), _Seen()
    for name in names:
        try:
            here = os.lstat(f'{data_dir}/{name}')
        except FileNotFoundError:
            continue  # it has gone meanwhile
        state = (here.st_mode, here.st_dev, here.st_ino, here.st_size, here.st_mtime_ns)
        known = before[1].get(name) if before[0] == asked else None
        if not known or known[0] != state or stat.S_ISLNK(here.st_mode):  # where a link leads, it does not say itself
            real, there, problem = _look(name, here, root, folder)
            known = state, _as_found(source, name, there, (root, real, problem), zone, given)
        seen[name] = known
    _seen[source.name] = asked, seen
    files = [file for _, file in seen.values()]
    return sorted(files, key=lambda file: (file.delivered_at, file.name))


def _as_found(
    source: Source,
    name: str,
    status: os.stat_result,
    where: tuple[Path, Path, str | None],
    zone: ZoneInfo,
    given: tuple[Mapping, ...],
) -> LandingFile:
    """What the name and the state of a file tell; nothing is opened."""
    (root, real, problem), shown = where, printable(name)
    day, modified = day_in_name(source, name), _instant(status)
    if digits := _digits(source, name):
        problem = problem or (None if day else f'{digits} is not a day; name the file {source.name}_YYYYMMDD.csv')
    if shown != name:
        problem = problem or 'its name holds characters that cannot be shown; rename it'
    delivered = _delivered(source, name, day, zone) if day else modified
    return LandingFile(
        real,
        shown,
        day,
        status.st_size,
        modified,
        status.st_ino,
        delivered,
        root,
        problem,
        _covered(source, day, zone) if day else None,
        source.late,
        mapping_of(source, name, given),
    )


def table(source: Source, name: str, day: date, timezone: str) -> LandingFile:
    """A table of an export as if it were a file; its bytes and when it was changed are for others to fill in."""
    zone, never = ZoneInfo(timezone), datetime(1970, 1, 1, tzinfo=UTC)
    covers, delivered = _covered(source, day, zone), _delivered(source, name, day, zone)
    return LandingFile(Path(name), name, day, 0, never, 0, delivered, Path(), None, covers, source.late, is_table=True)


def single(source: Source, path: Path, mapping: Path) -> LandingFile:
    """A file as if it lay in the source's folder without a date in its name: wherever it is, and only to be looked at.

    Args:
        mapping: where the mappings stand.

    Raises:
        LandingError: it is not there, is no file, or a mapping is wrong.
    """
    shown = printable(str(path))
    try:
        real = path.resolve(strict=True)
        status = real.lstat()
    except (OSError, RuntimeError) as error:
        raise LandingError(f'{shown}: cannot be read ({getattr(error, "strerror", "a circle of links")})') from None
    if not stat.S_ISREG(status.st_mode):
        raise LandingError(f'{shown}: {_kind(status.st_mode)}, no file')
    changed = _instant(status)
    given = mapping_of(source, path.name, mappings(mapping))
    return LandingFile(real, shown, None, status.st_size, changed, status.st_ino, changed, real.parent, mapping=given)


def files_for(files: Iterable[LandingFile], window: Window, late_days: int) -> list[LandingFile]:
    """The files a load of these days looks at: undated ones, those of the days, and those that may hold rows of them."""
    return [
        file
        for file in files
        if file.day is None or file.day in window or ((days := file.days(late_days)) and days.overlaps(window))
    ]


def is_delivery(name: str) -> bool:
    """Whether a name in a source's folder is one of those that are read; hidden ones are not."""
    return (name.endswith(ENDS) or _WITHOUT_END.fullmatch(name) is not None) and not name.startswith('.')


POSSIBLE_YEARS = range(1900, 2100)


def day_in_name(source: Source, name: str) -> date | None:
    """The day that a file's name holds: eight digits behind the source's name, or behind that of an export of it.

    None if it holds none, or no possible one: nobody has files of the year 9999, and a calendar up to there has no end.

    Args:
        name: with or without its folder; the file need not be there.
    """
    try:
        day = date.fromisoformat(_digits(source, name) or '')
    except ValueError:
        return None
    return day if day.year in POSSIBLE_YEARS else None


def kind_in_name(source: Source, name: str) -> str | None:
    """What a file's name begins with before its day: the source's name, or that of an export of it; None if with neither."""
    found = _named(source, name)
    return found[1] if found else None


def _covered(source: Source, day: date, zone: ZoneInfo) -> Window:
    """The local days of a file's day: two, where files are cut in another zone; the last is later if rows may be early."""
    first = last = day
    if source.file_timezone:
        cut = ZoneInfo(source.file_timezone)
        start = datetime(day.year, day.month, day.day, tzinfo=cut).astimezone(zone)
        end = datetime(day.year, day.month, day.day, 23, 59, 59, 999999, tzinfo=cut).astimezone(zone)
        first, last = start.date(), end.date()
    return Window(first, moved(last, source.early_days))


def _delivered(source: Source, name: str, day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) + timedelta(minutes=_rank(source, name))


def _digits(source: Source, name: str) -> str | None:
    found = _named(source, name)
    return found[2] if found else None


def _rank(source: Source, name: str) -> int:
    """Which files of one day are delivered before others."""
    kind, kinds = kind_in_name(source, name), [begins for begins in (*source.exports, source.name) if '#' not in begins]
    return kinds.index(kind) if kind in kinds else 0


def _named(source: Source, name: str) -> re.Match[str] | None:
    return _names((*source.exports, source.name)).match(name.rpartition('/')[2])


@lru_cache
def _names(beginnings: tuple[str, ...]) -> re.Pattern[str]:
    either = '|'.join(re.escape(begins).replace(r'\#', '[0-9]+') for begins in beginnings)
    return re.compile(f'({either})_([0-9]{{8}})')


def _look(name: str, here: os.stat_result, root: Path, folder: Path) -> tuple[Path, os.stat_result, str | None]:
    """Where a path leads, what is there, and why it is not read; nothing is opened.

    Args:
        name: in the landing zone.
        here: what stands under that name itself.
        root: the landing zone, no link in it.
        folder: that of the source, no link in it.
    """
    first, _, last = name.rpartition('/')
    path = (folder if first else root) / last
    if stat.S_ISREG(here.st_mode):
        return path, here, None
    try:
        real = path.resolve(strict=True)
        there = real.lstat()
    except (OSError, RuntimeError):  # a circle of links is a RuntimeError
        return path, here, 'a link that leads nowhere; it is not read'
    if not real.is_relative_to(root):
        return path, here, 'a link out of the landing zone; it is not read'
    if not stat.S_ISREG(there.st_mode):
        return path, here, f'{_kind(there.st_mode)}, no file; it is not read'
    return real, there, None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: 'a folder', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket'}
    return kinds.get(stat.S_IFMT(mode), 'a device')


def _instant(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, tz=UTC)
