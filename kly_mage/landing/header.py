"""The header of a CSV file: the names of its columns, or why the file cannot be used."""

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import IO
from typing import cast as as_type

from kly_mage.common.errors import LandingError
from kly_mage.common.redaction import redacted
from kly_mage.common.text import printable
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile

DAMAGED = (EOFError, OSError, zlib.error)  # what gzip says of a file that is cut short or no gzip at all
MAX_COLUMNS = 1_500  # of one file: PostgreSQL takes 1,600 in a table, ours and those of earlier files among them
_SMALL = 64 << 10  # bytes; a file of more than that has rows
_FIRST_LOOK, _MAX_BYTES = 8 << 10, 1 << 20
_NAME_BYTES = 63  # of a name in PostgreSQL
_SYSTEM_COLUMNS = {'ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def unpacked(file: LandingFile, raw: IO[bytes]) -> IO[bytes]:
    """The bytes of an opened file, unpacked if it is packed."""
    return as_type(IO[bytes], gzip.GzipFile(fileobj=raw)) if file.name.endswith('.gz') else raw


def is_empty(file: LandingFile) -> bool:
    """Whether a file has no rows: no byte, or a header and nothing after it."""
    if file.size > _SMALL:
        return False
    try:
        with file.open() as packed:
            text = unpacked(file, packed).read(16 * _SMALL).decode('utf-8-sig', 'replace')
        rows = csv.reader(io.StringIO(text, newline=''))
        next(rows, None)
        return len(text) < 16 * _SMALL and not any(any(row) for row in rows)
    except (LandingError, csv.Error, *DAMAGED):
        return False  # damaged, or no file: its load says so


def header(source: Source, file: LandingFile) -> list[str]:
    """The column names of a file; empty for a file without any content.

    Raises:
        LandingError: the file is not to be read; the header is no text; a required column is missing; there are too many;
            or a name is empty, there twice, too long, not printable, or one of ours or of PostgreSQL's.
    """
    with file.open() as raw:
        try:
            names = _first_record(file, unpacked(file, raw))
        except (*DAMAGED, csv.Error) as error:
            raise LandingError(f'{file.name}: line 1 cannot be read ({error}); deliver the file again') from error
    if names is None:
        return []
    problem = _problem(source, names)
    if problem:
        raise LandingError(f'{file.name}: {problem}')
    return names


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


def _problem(source: Source, names: list[str]) -> str | None:
    """What is wrong with a header, in a sentence; None if nothing is."""
    if len(names) > MAX_COLUMNS:
        return f'line 1 has {len(names):,} columns: at most {MAX_COLUMNS:,} are possible'
    missing = [column.name for column in source.columns if column.required and column.name not in names]
    if missing:
        found = f'the header has {_told(names)}' if any(names) else 'line 1, the header, is empty'
        return f'required column missing: {", ".join(missing)}; {found}'
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        return f'line 1 names a column twice: {_told(twice)}'
    for name in names:
        if not name or len(name.encode()) > _NAME_BYTES or printable(name) != name:
            return (
                f'line 1 has an unusable column name {_told([name], 70)!r}: 1 to {_NAME_BYTES} bytes are possible, '
                'and no control characters'
            )
        if name.startswith('_'):
            return f'column {_told([name])}: names that begin with _ belong to the warehouse; rename it'
        if name.lower() in _SYSTEM_COLUMNS:
            return f'column {name}: PostgreSQL has a column of that name in every table; rename it'
    return None


def _told(names: Iterable[str], limit: int = 200) -> str:
    """Names of columns as part of a message: a file that is no table of ours may hold anything there."""
    return printable(redacted(', '.join(names)[: 4 * limit]), limit)
