"""The header of a CSV file: the names of its columns."""

import codecs
import csv
import gzip
import io
import zlib
from typing import IO
from typing import cast as as_type

from kly_mage.common.errors import LandingError
from kly_mage.landing.files import LandingFile

DAMAGED = (EOFError, OSError, zlib.error)  # what gzip says of a file that is cut short or no gzip at all
_FIRST_LOOK, _MAX_BYTES = 8 << 10, 1 << 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def unpacked(file: LandingFile, raw: IO[bytes]) -> IO[bytes]:
    """The bytes of an opened file, unpacked if it is packed."""
    return as_type(IO[bytes], gzip.GzipFile(fileobj=raw)) if file.name.endswith('.gz') else raw


def header(file: LandingFile) -> list[str]:
    """The column names of a file; empty for a file without any content.

    Raises:
        LandingError: the file is not to be read, or its header is no text.
    """
    with file.open() as raw:
        try:
            names = _first_record(file, unpacked(file, raw))
        except (*DAMAGED, csv.Error) as error:
            raise LandingError(f'{file.name}: line 1 cannot be read ({error}); deliver the file again') from error
    return [] if names is None else names or ['']


def not_utf8(file: LandingFile, line: int, byte: int) -> str:
    """The sentence for a byte that is no UTF-8; ``line`` and ``byte`` from 1."""
    return f'{file.name}: line {line} is not UTF-8 (byte {byte}); export the file as UTF-8'


def _first_record(file: LandingFile, stream: IO[bytes]) -> list[str] | None:
    """The first row; None if the file ends before it. No more of the file is read than that may take."""
    data, ended = b'', False
    for size in (_FIRST_LOOK, _MAX_BYTES):
        first = size == _FIRST_LOOK
        data += as_type(io.BufferedReader, stream).read1(size) if first else stream.read(size - len(data))
        ended = not first and len(data) < size
        if data.startswith(_UTF_16):
            raise LandingError(f'{file.name}: is UTF-16; export the file as UTF-8')
        try:
            text, wrong = codecs.getincrementaldecoder('utf-8-sig')().decode(data, ended), None
        except UnicodeDecodeError as error:
            good = error.object[: error.start]
            text, wrong = good.decode(), error
        lines = io.StringIO(text, newline='')
        names = next(csv.reader(lines), None)
        if lines.tell() < len(text) or (ended and not wrong):
            return names
        if wrong:  # in the header; one behind it is found when the rows are read
            raise LandingError(not_utf8(file, good.count(b'\n') + 1, len(good) - good.rfind(b'\n'))) from wrong
    raise LandingError(f'{file.name}: line 1, the header, is longer than {_MAX_BYTES >> 20} MB; a quote in it may be open')
