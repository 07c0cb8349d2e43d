"""The formats and packings of deliveries: what their names end in, and the bytes they begin with.

A name's ending says that a file is a delivery; what it is, its bytes say, where they do (``contents.format_of``).
"""

import codecs
import re
from dataclasses import dataclass

_PAIRS = 16  # bytes that tell UTF-16
_BLANK = b' \t\r\n\xef\xbb\xbf'  # and UTF-8's byte order mark


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: in messages.
        ends: what names of its files end in, unpacked.
        begins: its first bytes; None of a text, whose beginning is anybody's.
        is_packed: whether it may be packed; one that has to be read from its end may not.
        row: what messages call the place of a row.
    """

    name: str
    ends: tuple[str, ...]
    begins: bytes | None = None
    is_packed: bool = True
    row: str = 'line'


@dataclass(frozen=True)
class Packing:
    """One way to pack a file; its name's ending is added to that of the format.

    Attributes:
        begins: its first bytes, one of these.
    """

    name: str
    end: str
    begins: tuple[bytes, ...]


CSV = Format('CSV', ('.csv',))
JSON = Format('JSON lines', ('.ndjson', '.jsonl', '.json'))
PARQUET = Format('Parquet', ('.parquet',), b'PAR1', is_packed=False, row='row')
AVRO = Format('Avro', ('.avro',), b'Obj\x01', row='row')
FORMATS = (CSV, JSON, AVRO, PARQUET)

GZIP = Packing('gzip', '.gz', (b'\x1f\x8b',))
ZSTD = Packing('zstd', '.zst', (b'\x28\xb5\x2f\xfd',))
ZIP = Packing('zip', '.zip', (b'PK\x03\x04', b'PK\x05\x06'))  # the second of an archive without a file
PACKINGS = (GZIP, ZSTD, ZIP)

ENDS = tuple(
    end + pack
    for form in FORMATS
    for end in form.ends
    for pack in ('', *(packing.end for packing in PACKINGS if form.is_packed))
)
"""What the names of deliveries end in."""

ENDS_TOLD = (
    ', '.join(end for form in FORMATS if form.is_packed for end in form.ends)
    + f' (or these and {", ".join(packing.end for packing in PACKINGS)}) or '
    + ', '.join(end for form in FORMATS if not form.is_packed for end in form.ends)
)
"""The same, to be read by people."""

_FOREIGN = {
    codecs.BOM_UTF32_LE: 'UTF-32; export the file as UTF-8',
    codecs.BOM_UTF32_BE: 'UTF-32; export the file as UTF-8',
    b'\xd0\xcf\x11\xe0': 'an Excel workbook; save it as CSV',
}


def named(name: str) -> tuple[Format, Packing | None]:
    """What a file's name says it is; CSV if it says nothing."""
    packing = next((packing for packing in PACKINGS if name.endswith(packing.end)), None)
    plain = name.removesuffix(packing.end) if packing else name
    return next((form for form in FORMATS if plain.endswith(form.ends)), CSV), packing


def at_line(name: str, line: int | None) -> str:
    """Where a row of a file so named stands, in words: ``line 7``, or ``row 7`` of a format without lines."""
    return f'{named(name)[0].row} {line}'


def location(name: str, line: int | None) -> str:
    """The same with the file's name before it."""
    return f'{name}, {at_line(name, line)}'


def packing_of(first: bytes) -> Packing | None:
    """How bytes are packed; None if they are not."""
    return next((packing for packing in PACKINGS if first.startswith(packing.begins)), None)


def foreign(first: bytes) -> str | None:
    """What bytes are that nobody here reads, and what to do; None if they may be a format of ours."""
    if first[257:262] == b'ustar':
        return 'a tar archive; deliver the files in it'
    if len(first) >= _PAIRS and bytes(_PAIRS // 2) in (first[:_PAIRS:2], first[1:_PAIRS:2]) and any(first[:_PAIRS]):
        return 'UTF-16 without a byte order mark; export the file as UTF-8'
    return next((what for begins, what in _FOREIGN.items() if first.startswith(begins)), None)


def format_of(first: bytes, by_name: Format) -> Format:
    """What unpacked bytes are: by how they begin, or as the name says where that is anybody's."""
    for form in FORMATS:
        if form.begins and first.startswith(form.begins):
            return form
    # Of a format with a beginning of its own, damage makes other bytes, but no text.
    if by_name.begins and first and is_text(first):
        by_name = CSV
    return JSON if by_name is CSV and first.lstrip(_BLANK).startswith(b'{') else by_name


def is_known(first: bytes) -> bool:
    """Whether bytes that are not packed may be read, or are known to be something else."""
    begins = tuple(form.begins for form in FORMATS if form.begins)
    return is_text(first) or is_utf16(first) or foreign(first) is not None or first.startswith(begins)


def is_utf16(first: bytes) -> bool:
    """Whether bytes begin a text in UTF-16, with its mark."""
    return first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not first.startswith(codecs.BOM_UTF32_LE)


def is_text(first: bytes) -> bool:
    """Whether bytes may be the beginning of a text: no control characters but blanks, and UTF-8 but for its end."""
    try:
        first[: max(len(first) - 3, 0)].decode()
    except UnicodeDecodeError as wrong:
        if wrong.reason != 'unexpected end of data':
            return False
    return re.search(rb'[\x00-\x08\x0e-\x1f\x7f]', first) is None
