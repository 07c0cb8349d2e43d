"""Large undated files, parted by day: where each day is a run of its own, one reads the file, the others their part of it.

A load that is asked for some of a file's days leaves the rows of the others behind, typed: Parquet, of each frame a group of
rows for each day. What another load takes from there are the frames that reading would give, row by row, with lines and
rejects. Parts are found under a digest of the file's content, as ``unchanged`` has it, so they are those of this file, read
by this code under these declarations and settings, or nobody's. Nothing depends on them: who cannot make or read them reads
the file.

They come to be whole or not at all, under a lock: who comes meanwhile waits for them, as long as reading might take. They go
with the load that takes the last days, or after a day in which nobody asked; those of a file that loads have met with other
bytes before are made at its second reading, because it may have others again tomorrow.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from typing import cast as as_type

import polars as pl

from kly_mage.common.errors import KlyError
from kly_mage.common.private import private_file
from kly_mage.common.window import Window
from kly_mage.landing.files import LandingFile
from kly_mage.landing.slices import PLACE, placed
from kly_mage.rows.frames import as_arrow

LEAST_BYTES = 4 << 20  # of a file; to read a smaller one takes next to nothing
MOST_BYTES = 4 << 30  # of all parts together
_FREE = 4  # times the size of a file are to be free on the disk
_UNUSED_SECONDS = 86_400
_LEAST_ROWS = 1_000  # of a group that is not the last of its frame
_SLOWEST = 20 << 20  # bytes a second, at which a file is read
_DONE, _BEGUN = '.parquet', '.begun'
_TOLD = 'parts'
_UNUSABLE = (OSError, ValueError, KeyError, NotImplementedError)  # Arrow's errors are some of these


class _Group(NamedTuple):
    frame: int  # which of the file, from 0
    first: str | None  # its days; None of rows without one
    last: str | None


@dataclass(frozen=True)
class Parted:
    """Where the parts of a file are, or may come to be.

    Attributes:
        path: without its ending.
        is_made: whether a load may leave them behind.
        is_last: whether nobody needs them any more behind this load.
    """

    path: Path
    is_made: bool
    is_last: bool


def parted(folder: Path, source: str, file: LandingFile, content: str) -> Path | None:
    """Where the parts of a file lie; None of one that is not worth it.

    Args:
        content: what tells this state of the file from others, and all else that its rows depend on.
    """
    if file.day is not None or file.size < LEAST_BYTES:
        return None
    return folder / hashlib.blake2b(json.dumps([source, file.name, content]).encode(), digest_size=16).hexdigest()


def frames(
    where: Parted,
    file: LandingFile,
    window: Window,
    loaded: Collection[date],
    days: set[date | None],
    read: Callable[[], Iterator[pl.DataFrame]],
) -> Iterator[pl.DataFrame]:
    """What ``read`` gives of a file, at least the rows of these days and those without one.

    Args:
        loaded: days whose rows nobody needs.
        days: gets those of all rows.
    """
    given, parts = -1, _Parts.of(where.path)
    with contextlib.ExitStack() as stack:
        new = stack.enter_context(_turn(where.path, file)) if parts is None and where.is_made else None
        parts = parts or _Parts.of(where.path)  # somebody may have made them meanwhile
        if parts and parts.have(window, loaded):
            days.update(parts.days)
            try:
                for number, frame in parts.frames(window):
                    given = number
                    yield placed(frame, file)
                if where.is_last:
                    drop(where.path)
                return
            except _UNUSABLE:
                drop(where.path)
        writer = stack.enter_context(contextlib.closing(_Writer(new, window))) if new and parts is None else None
        for number, frame in enumerate(read()):
            days.update(of_frame := frame['_partition_date'].unique())
            if writer:
                writer.add(frame, of_frame)
            if number > given:
                yield frame
        if writer:
            writer.publish(where.path, days)


def drop(path: Path) -> None:
    """Without parts the next load reads the file."""
    with contextlib.suppress(OSError):
        path.with_suffix(_DONE).unlink(missing_ok=True)


def sweep(folder: Path, *, whole: bool = False) -> None:
    """Remove what nobody has asked for in a day, and the oldest where there is too much.

    Args:
        whole: everything.
    """
    with contextlib.suppress(OSError):
        there = sorted(((status.st_mtime, status.st_size, path) for path, status in _states(folder)), reverse=True)
        least, size = time.time() - _UNUSED_SECONDS, 0
        for changed, bytes_of, path in there:
            size += bytes_of
            if whole or changed < least or size > MOST_BYTES:
                path.unlink(missing_ok=True)


def _states(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.glob('*.*'):
        with contextlib.suppress(FileNotFoundError):
            yield path, path.lstat()


class _Parts:
    """Parts that are there.

    Attributes:
        days: those of all rows of the file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        told = json.loads(self._file.metadata.metadata[_TOLD.encode()])
        self._groups = [_Group(*group) for group in told['groups']]
        self.days, self._without = _days(told['days']), _days(told['without'])
        self._schema = told['schema']

    @classmethod
    def of(cls, path: Path) -> '_Parts | None':
        """None if there are none that can be used."""
        there = path.with_suffix(_DONE)
        try:
            os.utime(there)  # somebody needs them
            return cls(there)
        except FileNotFoundError:
            return None
        except _UNUSABLE:
            drop(path)
            return None

    def have(self, window: Window, loaded: Collection[date]) -> bool:
        """Whether all rows of these days are here but for those that are loaded."""
        return not any(day in window and day not in loaded for day in self._without)

    def frames(self, window: Window) -> Iterator[tuple[int, pl.DataFrame]]:
        """The rows of some days and those without one, by frames of the file, with the number of each."""
        first, last = window.start.isoformat(), window.end.isoformat()
        wanted = [
            (at, group)
            for at, group in enumerate(self._groups)
            if group.first is None or group.last is None or (group.first <= last and group.last >= first)
        ]
        for number, groups in groupby(wanted, key=lambda each: each[1].frame):
            table = self._file.read_row_groups([at for at, _ in groups], use_threads=False)
            frame = as_type(pl.DataFrame, pl.from_arrow(table)).sort('_row')
            if str(frame.schema) != self._schema:
                raise ValueError('other types than were kept')
            yield number, frame.drop('_row')


class _Writer:
    """Takes the frames of a file and keeps the rows of all days but those of the load that reads it."""

    def __init__(self, stream: BinaryIO, window: Window) -> None:
        self._stream, self._window = stream, window
        self._count, self._groups = 0, list[_Group]()
        self._table: Any = None  # opened by the first rows, of which a load of all days has none
        self._schema, self._is_usable = '', True

    def add(self, frame: pl.DataFrame, days: Iterable[date | None]) -> None:
        """The next frame, and the days of its rows."""
        number, day = self._count, pl.col('_partition_date')
        self._count += 1
        if not self._is_usable or all(each is not None and each in self._window for each in days):
            return
        rows = frame.drop(PLACE).with_row_index('_row')
        rows = rows.filter(day.is_null() | ~day.is_between(self._window.start, self._window.end))
        try:
            self._write(number, rows.sort('_partition_date', nulls_last=False, maintain_order=True))
        except _UNUSABLE:  # no room, or columns that are not those of the first frame
            self._is_usable = False

    def _write(self, number: int, rows: pl.DataFrame) -> None:
        table = as_arrow(rows)
        if self._table is None:
            import pyarrow.parquet as pq

            self._table = pq.ParquetWriter(self._stream, table.schema, compression='lz4', use_dictionary=False)
            self._schema = str(rows.schema)
        at = 0
        for group, length in _groups(number, rows['_partition_date']):
            self._table.write_table(table.slice(at, length), row_group_size=length)
            self._groups.append(group)
            at += length
        if self._stream.tell() > MOST_BYTES:
            raise OSError('larger than all parts together may be')

    def publish(self, path: Path, days: Collection[date | None]) -> None:
        """All frames were added: whole, on the disk, and then under their name."""
        if not self._is_usable or not any(group.first for group in self._groups):
            return
        seen = [day for day in days if day]
        told = {
            'days': [day.isoformat() for day in seen],
            'without': [day.isoformat() for day in seen if day in self._window],
            'groups': self._groups,
            'schema': self._schema,
        }
        with contextlib.suppress(*_UNUSABLE):
            self._table.add_key_value_metadata({_TOLD: json.dumps(told)})
            self.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            path.with_suffix(_BEGUN).rename(path.with_suffix(_DONE))
            sweep(path.parent)

    def close(self) -> None:
        """Let go of what is begun."""
        if self._table is not None:
            self._table.close()  # once is enough, and again does nothing


def _groups(number: int, days: pl.Series) -> Iterator[tuple[_Group, int]]:
    """The groups of a frame whose rows are sorted by day, those without one first; with the rows of each."""
    first: str | None = None
    held = 0
    runs = days.rle().struct.unnest()
    for length, day in zip(runs['len'].to_list(), runs['value'].to_list(), strict=True):
        if day is None:
            yield _Group(number, None, None), length
            continue
        first, last, held = first or day.isoformat(), day.isoformat(), held + length
        if held >= _LEAST_ROWS or day == days[-1]:
            yield _Group(number, first, last), held
            first, held = None, 0


@contextlib.contextmanager
def _turn(path: Path, file: LandingFile) -> Iterator[BinaryIO | None]:
    """A file for new parts, which one process has at a time; None for who has waited too long, or where there is no room."""
    begun, stream, has_room = path.with_suffix(_BEGUN), None, False
    end = time.monotonic() + 1 + file.size / _SLOWEST
    try:
        with contextlib.suppress(OSError, KlyError):
            while stream is None and time.monotonic() < end:
                stream = _locked(begun)
            has_room = stream is not None and shutil.disk_usage(begun.parent).free >= _FREE * file.size
        yield stream if has_room else None
    finally:
        if stream:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(stream.fileno()), begun.lstat()):  # else it has its name
                    begun.unlink()
            stream.close()


def _locked(begun: Path) -> BinaryIO | None:
    """The file, empty and locked; None after a moment in which another process had it, or has given it its name."""
    stream = private_file(begun, keep=True)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(stream.fileno()), begun.lstat()):
            stream.truncate(0)  # somebody may have been killed
            return stream
    except FileNotFoundError:
        pass
    except BlockingIOError:
        time.sleep(0.02)
    except BaseException:
        stream.close()
        raise
    stream.close()
    return None


def _days(texts: Collection[str]) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, texts))
