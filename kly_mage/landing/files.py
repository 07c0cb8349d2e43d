"""Which files of the landing zone hold a source's rows, and which day the name of each holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from kly_mage.common.errors import LandingError
from kly_mage.common.window import Window
from kly_mage.declared.base import Source

_DATED = re.compile(r'_(\d{8})[^/]*$')


@dataclass(frozen=True)
class LandingFile:
    """One file of a source.

    Attributes:
        path: where it is.
        name: its name relative to the landing zone, as the ledger and messages give it.
        day: the day in its name; None for an undated file.
        size: bytes.
        modified_at: when it was last changed.
        delivered_at: its place in the order of delivery: the start of its day (a minute later for each file of the same
            day), or when it was changed if it is undated. The rows of a file follow it by a microsecond per line.
    """

    path: Path
    name: str
    day: date | None
    size: int
    modified_at: datetime
    delivered_at: datetime

    @property
    def signature(self) -> tuple[str, int, datetime]:
        """What tells two states of one file apart."""
        return (self.name, self.size, self.modified_at)

    def days(self, late_days: int) -> Window | None:
        """The days whose rows it may hold: its own and ``late_days`` before; None for any."""
        return Window(self.day - timedelta(days=late_days), self.day) if self.day else None


def find_files(source: Source, data_dir: Path, timezone: str) -> list[LandingFile]:
    """All files of a source, in the order of their delivery.

    Raises:
        LandingError: the landing zone is not there, has nothing for this source, or a file name holds an impossible day.
    """
    if not data_dir.is_dir():
        raise LandingError(f'no landing zone at {data_dir}: create it or set KLY_DATA_DIR')
    folder = data_dir / source.name
    paths = [path for path in sorted(folder.glob('*.csv*')) if path.name.endswith(('.csv', '.csv.gz'))]
    paths += [path for end in ('.csv', '.csv.gz') if (path := data_dir / f'{source.name}{end}').is_file()]
    if not paths and not folder.is_dir():
        raise LandingError(f'nothing for {source.name} in {data_dir}: expected {source.name}/*.csv or {source.name}.csv')
    zone, same_day, files = ZoneInfo(timezone), dict[date, int](), []
    for path in paths:
        status = path.stat()
        modified = datetime.fromtimestamp(status.st_mtime, tz=zone)
        day, delivered = _file_day(source, path), modified
        if day:
            place = same_day[day] = same_day.get(day, -1) + 1
            delivered = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(minutes=place)
        files.append(LandingFile(path, str(path.relative_to(data_dir)), day, status.st_size, modified, delivered))
    return sorted(files, key=lambda file: (file.delivered_at, file.name))


def files_for(files: Iterable[LandingFile], window: Window, late_days: int) -> list[LandingFile]:
    """The files a load of these days looks at: undated ones, and dated ones up to ``late_days`` after the last day."""
    last = window.end + timedelta(days=late_days)
    return [file for file in files if file.day is None or window.start <= file.day <= last]


def _file_day(source: Source, path: Path) -> date | None:
    stem = path.name.removesuffix('.gz').removesuffix('.csv').removeprefix(source.name)
    found = _DATED.match(stem)
    if not found:
        return None
    try:
        return date.fromisoformat(found[1])
    except ValueError as error:
        raise LandingError(f'{path.name}: {found[1]} is not a day; name the file {source.name}_YYYYMMDD.csv') from error
