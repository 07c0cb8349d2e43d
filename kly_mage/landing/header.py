"""The header of a CSV file: the names of its columns."""

import codecs
import csv
import io
from typing import IO, BinaryIO, NamedTuple
from typing import cast as as_type

from kly_mage.common.errors import LandingError
from kly_mage.landing.contents import DAMAGED, unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.title import header_below

_FIRST_LOOK, _MAX_BYTES = 8 << 10, 1 << 20
_TITLE_FIELDS = 2  # of the first line of a report: a word, and what it is
SEPARATORS = (',', ';', '\t', '|', '^')
"""What may stand between the fields of a line, the usual one first."""


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        names: of the columns; none for a file without any content.
        sign: what stands between fields.
        bytes_above: of title lines above the header, unpacked.
        lines_above: how many those are.
    """

    names: list[str]
    sign: str
    bytes_above: int = 0
    lines_above: int = 0


def header(file: LandingFile) -> Header:
    """The header of a file.

    Raises:
        LandingError: the file is not to be read, or its header is no text.
    """
    with file.open() as raw:
        return header_in(file, raw)


def header_in(file: LandingFile, raw: BinaryIO) -> Header:
    """The same of an opened file, which stands at its beginning then as before."""
    try:
        found = _first_record(file, unpacked(file, raw))
    except (*DAMAGED, csv.Error) as error:
        raise LandingError(f'{file.name}: line 1 cannot be read ({error}); deliver the file again') from error
    raw.seek(0)
    return found


def not_utf8(file: LandingFile, line: int, byte: int) -> str:
    """The sentence for a byte that is no UTF-8; ``line`` and ``byte`` from 1."""
    return f'{file.name}: line {line} is not UTF-8 (byte {byte}); export the file as UTF-8'


def _first_record(file: LandingFile, stream: IO[bytes]) -> Header:
    """The first row, or the one below a title. No more is read than that may take."""
    data, ended = b'', False
    for size in (_FIRST_LOOK, _MAX_BYTES):
        first = size == _FIRST_LOOK
        data += as_type(io.BufferedReader, stream).read1(size) if first else stream.read(size - len(data))
        ended = not first and len(data) < size
        try:
            text, wrong = codecs.getincrementaldecoder('utf-8-sig')().decode(data, ended), None
        except UnicodeDecodeError as error:
            good = error.object[: error.start]
            text, wrong = good.decode(), error
        lines = io.StringIO(text, newline='')
        names = next(csv.reader(lines), None)
        if lines.tell() < len(text) or (ended and not wrong):
            if below := header_below(file, text, SEPARATORS, ended):
                return Header(below[0], below[1], *_size(data, below[2]))
            if not (first and names and sum(map(bool, names)) <= _TITLE_FIELDS):  # else it may be a long title
                return _separated(names, text)
        if wrong:  # in the header; one behind it is found when the rows are read
            raise LandingError(not_utf8(file, good.count(b'\n') + 1, len(good) - good.rfind(b'\n'))) from wrong
    raise LandingError(f'{file.name}: line 1, the header, is longer than {_MAX_BYTES >> 20} MB; a quote in it may be open')


def _separated(names: list[str] | None, text: str) -> Header:
    """The first row by the first separator that parts it; by a comma if none does."""
    for sign in SEPARATORS[1:] if names and len(names) == 1 else ():
        parted = next(csv.reader(io.StringIO(text, newline=''), delimiter=sign))
        if len(parted) > 1:
            return Header(parted, sign)
    return Header([] if names is None else names or [''], SEPARATORS[0])


def _size(data: bytes, title: str) -> tuple[int, int]:
    """Bytes and lines of what stands above a header."""
    mark = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    return mark + len(title.encode()), len(title.splitlines())
