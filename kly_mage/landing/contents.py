"""The bytes of a file as they were packed by whoever wrote them, and what they are: its contents count, not its name."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any, BinaryIO
from typing import cast as as_type

import pyarrow as pa

from kly_mage.common.errors import LandingError
from kly_mage.landing import formats, zip_archive
from kly_mage.landing.files import LandingFile
from kly_mage.landing.formats import Format, Packing

DAMAGED = (EOFError, OSError, zlib.error, zipfile.BadZipFile)
"""What a stream of ``unpacked`` raises of a file that is cut short or damaged."""

_FIRST_LOOK = 8 << 10  # bytes


class _Stream(io.RawIOBase):
    """Another library's stream as one of Python's own. Letting go of it leaves the file below open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), zip_archive.MOST_BYTES))
        buffer[: len(data)] = data
        return len(data)


_OPENED: dict[Packing, Callable[[LandingFile, BinaryIO], IO[bytes]]] = {
    formats.GZIP: lambda file, raw: as_type(IO[bytes], gzip.GzipFile(fileobj=raw)),
    # Its window is at most 128 MB: whoever packs with a larger one is refused.
    formats.ZSTD: lambda file, raw: io.BufferedReader(_Stream(pa.CompressedInputStream(_Stream(raw), 'zstd'))),
    formats.ZIP: lambda file, raw: io.BufferedReader(_Stream(zip_archive.member(file, raw))),
}


def unpacked(file: LandingFile, raw: BinaryIO) -> IO[bytes]:
    """The bytes of an opened file, which stands at its beginning; unpacked if they are packed.

    Raises:
        LandingError: they are neither packed, as the name says, nor what may be named so by mistake.
    """
    first = raw.peek(_FIRST_LOOK)[:_FIRST_LOOK]  # type: ignore[attr-defined]  # it is buffered
    packing = formats.packing_of(first)
    if packing:
        return _OPENED[packing](file, raw)
    _, by_name = formats.named(file.name)
    if by_name and first and not formats.is_known(first):
        raise LandingError(f'{file.name}: is neither packed by {by_name.name}, as its name says, nor text; deliver it again')
    return raw


def format_of(file: LandingFile) -> Format:
    """What a file is: its first bytes say it, and its name where they do not, as of an empty file.

    Raises:
        LandingError: it is not to be read, it is damaged, or nobody here reads what it is, which is said.
    """
    with file.open() as raw:
        stream = unpacked(file, raw)
        try:
            first = stream.read(_FIRST_LOOK)
        except DAMAGED as wrong:
            raise LandingError(damaged(file, 1, wrong)) from wrong
    form = formats.format_of(first, formats.named(file.name)[0])
    what = formats.foreign(first)
    if stream is not raw:
        if formats.packing_of(first):
            what = 'packed twice; deliver it packed once'
        elif not form.is_packed:
            what = f'{form.name} in another packing, where it cannot be read; deliver it unpacked'
    if what:
        raise LandingError(f'{file.name}: is {what}')
    return form


def damaged(file: LandingFile, line: int, wrong: BaseException) -> str:
    """The sentence for a file that cannot be unpacked behind the beginning of ``line``."""
    return f'{file.name}: cut short or damaged at line {line} or later ({wrong}); deliver the file again'
