"""The bytes of a file as they were packed by whoever wrote them, and what they are: its contents count, not its name."""

import codecs
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
_UTF16_BYTES = 64 << 10  # what is transcoded at once


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


class _AsUtf8(io.RawIOBase):
    """A text in UTF-16, its byte order mark first, as UTF-8."""

    def __init__(self, file: LandingFile, stream: IO[bytes]) -> None:
        self._file, self._stream = file, stream
        self._decoder, self._ready, self._read = codecs.getincrementaldecoder('utf-16')(), b'', 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._stream.read(_UTF16_BYTES)
            try:
                self._ready = self._decoder.decode(data, not data).encode()
            except UnicodeDecodeError as wrong:
                raise LandingError(
                    f'{self._file.name}: is UTF-16, cut short or damaged behind byte {self._read:,}; deliver the file again'
                ) from wrong
            self._read += len(data)
            if not data:
                break
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


_OPENED: dict[Packing, Callable[[LandingFile, BinaryIO], IO[bytes]]] = {
    formats.GZIP: lambda file, raw: as_type(IO[bytes], gzip.GzipFile(fileobj=raw)),
    # Its window is at most 128 MB: whoever packs with a larger one is refused.
    formats.ZSTD: lambda file, raw: io.BufferedReader(_Stream(pa.CompressedInputStream(_Stream(raw), 'zstd'))),
    formats.ZIP: lambda file, raw: io.BufferedReader(_Stream(zip_archive.member(file, raw))),
}


def unpacked(file: LandingFile, raw: BinaryIO) -> IO[bytes]:
    """The bytes of an opened file, which stands at its beginning; unpacked if they are packed, in UTF-8 if in UTF-16.

    Raises:
        LandingError: they are neither packed, as the name says, nor what may be named so by mistake; or damaged.
    """
    first = _peeked(file, raw)
    packing = formats.packing_of(first)
    _, by_name = formats.named(file.name)
    if by_name and first and not packing and not formats.is_known(first):
        raise LandingError(f'{file.name}: is neither packed by {by_name.name}, as its name says, nor text; deliver it again')
    stream = _OPENED[packing](file, raw) if packing else raw
    if formats.is_utf16(_peeked(file, stream)):
        return io.BufferedReader(_AsUtf8(file, stream))
    return stream


def _peeked(file: LandingFile, stream: Any) -> bytes:
    """The first bytes of a buffered stream, which stays where it is."""
    try:
        first: bytes = stream.peek(_FIRST_LOOK)[:_FIRST_LOOK]
        return first
    except DAMAGED as wrong:  # whoever read on might get bytes that are none of the file's
        raise LandingError(damaged(file, 1, wrong)) from wrong


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
