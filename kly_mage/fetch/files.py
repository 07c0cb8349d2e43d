"""Deliveries out of Cloud Storage into the landing zone: one file per object, under its name, in its source's folder.

An object is copied once, and again when it is another generation. A copy is written beside and takes its name when it is
whole and has the checksum of the object; what was broken off goes on in the middle of the file. What is gone from the
bucket stays.
"""

import os
import re
import shutil
import stat
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from kly_mage.common.errors import FetchError, LandingError
from kly_mage.common.settings import UTC
from kly_mage.common.text import counted, printable
from kly_mage.common.window import Window
from kly_mage.fetch import noted
from kly_mage.fetch.bucket import CHUNK, Bucket
from kly_mage.fetch.noted import Note
from kly_mage.fetch.objects import Delivery, find
from kly_mage.fetch.place import Step, alone, begun, folder, unwritable
from kly_mage.landing import files as landing_files
from kly_mage.landing import inside

_PART = re.compile(r'\.[0-9]+\.fetch\.part')
_State = tuple[int, int, int] | None  # of what has a file's name: inode, bytes, changed; None if nothing has


@dataclass(frozen=True)
class Waiting:
    """A delivery that is not in the landing zone as it is now, and what has its name there."""

    delivery: Delivery
    there: _State


@dataclass(frozen=True)
class Plan:
    """What a call would copy.

    Attributes:
        waiting: oldest first.
        unchanged: how many files are as their objects.
        refused: what is not copied and should be looked at, a line each.
        gone: files whose objects are gone from the bucket.
        left: how many objects there are that are no deliveries.
    """

    waiting: list[Waiting]
    unchanged: int
    refused: list[str]
    gone: list[str]
    left: int

    @property
    def bytes(self) -> int:
        """What copying them takes."""
        return sum(each.delivery.remote.size for each in self.waiting)


def plan(buckets: list[Bucket], landing: Path, is_asked: Callable[[Delivery], bool]) -> Plan:
    """Compare the objects with the files.

    Args:
        is_asked: whether a delivery is one of those that are to be copied.

    Raises:
        FetchError: Cloud Storage refuses it, or has nothing for any source.
    """
    if not landing.is_dir():
        raise FetchError(f'no landing zone at {landing}: create it or set KLY_DATA_DIR')
    found, notes = find(buckets), noted.read(landing)
    if not found.deliveries and not found.refused:
        told = ', '.join(bucket.url for bucket in buckets)
        raise FetchError(f'no deliveries in {told}: KLY_BUCKET is gs://BUCKET/PREFIX, below which the sources are folders')
    waiting, refused, unchanged = list[Waiting](), found.refused, 0
    for each in filter(is_asked, found.deliveries):
        there = _state(landing / each.file)
        reason = _difference(landing, each, there, notes.get(each.file, []))
        if reason is None:
            unchanged += 1
        elif reason:
            refused.append(f'{each.file} is not copied: {reason}')
        else:
            waiting.append(Waiting(each, there))
    places = tuple(bucket.url for bucket in buckets)
    gone = [
        file
        for file, copies in sorted(notes.items())
        if (url := copies[-1].url) not in found.urls and url.startswith(places) and os.path.lexists(landing / file)
    ]
    waiting.sort(key=lambda each: each.delivery.remote.created)
    return Plan(waiting, unchanged, refused, gone, found.left)


def of_days(days: Window, late_days: int, timezone: str) -> Callable[[Delivery], bool]:
    """Whether a load of these days looks at a delivery, as of the files that are there."""

    def is_asked(delivery: Delivery) -> bool:
        day = landing_files.day_in_name(delivery.source, delivery.name)
        if day is None:
            return True
        file = landing_files.table(delivery.source, delivery.file, day, timezone)
        return bool(landing_files.files_for([file], days, late_days))

    return is_asked


def any_day(_: Delivery) -> bool:
    """All deliveries."""
    return True


def fetch(landing: Path, found: Plan, max_bytes: int, step: Step) -> None:
    """Copy what waits.

    Args:
        max_bytes: that may be read; more is refused before anything is.
        step: is told how far it has got, by file.

    Raises:
        FetchError: it would be more, Cloud Storage refuses it, or another ``fetch`` is at work. Files that are whole stay.
    """
    if found.bytes > max_bytes:
        raise FetchError(
            f'{counted(len(found.waiting), "file")} of {found.bytes:,} bytes would be read, {max_bytes:,} may be: '
            'name fewer days, or allow more by --max-bytes or KLY_FETCH_MAX_BYTES; nothing was read'
        )
    if found.bytes > (free := shutil.disk_usage(landing).free):
        raise FetchError(
            f'{counted(len(found.waiting), "file")} of {found.bytes:,} bytes would be written, {free:,} are free: make room '
            f'in {landing}, or name fewer days; nothing was read'
        )
    if not found.waiting:
        return
    with alone(landing):
        for source in {each.delivery.source.name for each in found.waiting}:
            with folder(landing, source) as at:
                _clear(at, {_part(each.delivery) for each in found.waiting})
        for each in found.waiting:
            try:
                _copy(landing, each, step)
            except OSError as error:
                raise unwritable(landing / each.delivery.file, error) from None


def _difference(landing: Path, delivery: Delivery, there: _State, copies: list[Note]) -> str | None:
    """Why a file is not to become its object's copy, '' if it is; None if it is one."""
    remote = delivery.remote
    if there is None:
        return ''
    _, size, changed = there
    last = copies[-1] if copies else None
    if last and (last.url, last.generation, last.size, last.changed_ns) == (remote.url, remote.generation, size, changed):
        return None
    try:
        crc32c = _checksum(landing, delivery.file)
    except (OSError, LandingError):
        return 'what has its name in the landing zone is no file that can be read; move it away'
    if (size, crc32c) == (remote.size, remote.crc32c):
        return None  # whoever put it there
    of = [copy.url for copy in copies if (copy.size, copy.crc32c) == (size, crc32c)]
    if remote.url in of:
        return ''
    whose = f'a copy of {printable(of[-1], 300)}' if of else 'none that fetch files has written'
    return f'the file there is {whose}, and would be replaced; move it away, or fetch into another KLY_DATA_DIR'


def _copy(landing: Path, waiting: Waiting, step: Step) -> None:
    delivery, remote = waiting.delivery, waiting.delivery.remote
    what, total, part = f'fetching {delivery.file}', max(remote.size, 1), _part(delivery)
    step(what, 0, total, '')
    with folder(landing, delivery.source.name) as at, os.fdopen(begun(part, at), 'r+b') as written:
        _ensure_as_found(waiting, at)  # before as well: another call may have been quicker
        checksum, done = _checked(written, remote.size)
        written.seek(done)
        written.truncate()
        for chunk in delivery.bucket.bytes(remote, done):
            written.write(chunk)
            checksum.update(chunk)
            done += len(chunk)
            step(what, min(done, total * 0.99), total, counted(done, 'byte'))
        if (done, _spelled(checksum)) != (remote.size, remote.crc32c):
            os.unlink(part, dir_fd=at)
            raise FetchError(f'{remote.url} came with other bytes than it has: nothing of it was kept, fetch it again')
        written.flush()
        # As if it had been delivered when the object was: the order of undated files follows from that.
        created = int(min(remote.created, datetime.now(UTC)).timestamp() * 1_000_000) * 1_000
        os.utime(written.fileno(), ns=(created, created))
        os.fsync(written.fileno())
        changed = os.fstat(written.fileno()).st_mtime_ns
        noted.write(landing, Note(delivery.file, remote.url, remote.generation, done, str(remote.crc32c), changed))
        _ensure_as_found(waiting, at)
        os.rename(part, delivery.name, src_dir_fd=at, dst_dir_fd=at)
    step(what, total, total, counted(done, 'byte'))


def _ensure_as_found(waiting: Waiting, at: int) -> None:
    if _state(waiting.delivery.name, at) != waiting.there:
        raise FetchError(f'{waiting.delivery.file} was written by somebody else meanwhile: fetch again')


def _checked(stream: BinaryIO, most: int) -> tuple[Any, int]:
    """The checksum of the first bytes of a stream, so many at most, and how many they are."""
    import google_crc32c  # it comes with Google's library

    new: Any = google_crc32c.Checksum
    checksum, done = new(), 0
    while chunk := stream.read(min(CHUNK, most - done)):
        checksum.update(chunk)
        done += len(chunk)
    return checksum, done


def _spelled(checksum: Any) -> str:
    """A checksum as Google writes it."""
    return b64encode(checksum.digest()).decode()


def _checksum(landing: Path, file: str) -> str:
    """That of a file of the landing zone."""
    with os.fdopen(inside.descend(landing.resolve(), Path(file).parts), 'rb') as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise LandingError(f'{file}: no file')
        return _spelled(_checked(stream, found.st_size)[0])


def _state(name: str | Path, at: int | None = None) -> _State:
    """What has a name, in an open folder if one is given."""
    try:
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _part(delivery: Delivery) -> str:
    """What a copy is called until it is whole: hidden, so no delivery; another generation is another part."""
    return f'.{delivery.remote.generation}.fetch.part'


def _clear(at: int, waiting: Collection[str]) -> None:
    """Take out of an open folder what earlier calls have begun and nobody will go on with."""
    for name in os.listdir(at):
        if _PART.fullmatch(name) and name not in waiting:
            os.unlink(name, dir_fd=at)
