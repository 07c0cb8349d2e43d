"""The one file of a zip archive, in bounded memory whatever the archive says of itself."""

import struct
import zipfile
from typing import IO, BinaryIO

from kly_mage.common.errors import LandingError
from kly_mage.common.text import counted, printable
from kly_mage.landing.files import LandingFile

MOST_BYTES = 1 << 20
"""What is read of an archive at once, its list of members too, each of which would take half a kilobyte of ours."""

_WRONG = (zipfile.BadZipFile, struct.error, NotImplementedError, EOFError, OSError, OverflowError, ValueError)
_MACOS = '__MACOSX/'  # what macOS adds beside every file


class _Bounded:
    """An archive's bytes, never many at once."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.seek, self.tell, self.seekable = raw.seek, raw.tell, raw.seekable

    def read(self, size: int = -1) -> bytes:
        if size > MOST_BYTES:
            raise zipfile.BadZipFile('it lists more members than one')
        return self._raw.read(MOST_BYTES if size < 0 else size)


def member(file: LandingFile, raw: BinaryIO) -> IO[bytes]:
    """The unpacked bytes of the file in an archive. Reading them to their end checks their sum.

    Raises:
        LandingError: there is not exactly one, or it cannot be unpacked, in words that say what was seen.
    """
    try:
        archive = zipfile.ZipFile(_Bounded(raw))
        members = [info for info in archive.infolist() if not info.filename.startswith(_MACOS)]
        if what := _unreadable(members):
            raise LandingError(f'{file.name}: is {what}')
        return archive.open(members[0])
    except _WRONG as wrong:
        told = printable(str(wrong), 100)
        raise LandingError(f'{file.name}: a zip archive, cut short or damaged ({told}); deliver the file again') from wrong


def _unreadable(members: list[zipfile.ZipInfo]) -> str | None:
    """What an archive is that nobody here unpacks, and what to do; None if it can be unpacked."""
    if any(info.filename == '[Content_Types].xml' for info in members):
        return 'an Excel workbook or another document of Office; save it as CSV'
    if len(members) != 1 or members[0].is_dir():
        names = printable(', '.join(info.filename for info in members[:3]), 100)
        return f'a zip archive of {counted(len(members), "member")} ({names}); deliver one file per archive'
    if members[0].flag_bits & 1:
        return 'an encrypted zip archive; deliver it without a password'
    if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f'a zip archive packed by method {members[0].compress_type}; deliver it packed by deflate'
    return None
