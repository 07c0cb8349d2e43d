"""The rows of JSON lines: one object per line, its fields the columns. GA4's export as BigQuery writes it is such a file."""

import contextlib
import re
from collections.abc import Generator, Iterator
from typing import IO

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.timer import timed
from kly_mage.declared import ga4_events
from kly_mage.declared.base import Source
from kly_mage.landing import ga4_export, json_object
from kly_mage.landing.columns import MAX_COLUMNS, spelled
from kly_mage.landing.contents import unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.lines import BLANK, blocks, texts_of
from kly_mage.landing.slices import MOST_CELLS, Slice, rejected
from kly_mage.rows.frames import made_ahead

TAKES_COLUMNS = False
SLICE_BYTES = 4 << 20  # what is read at once; its objects take ten times as much
LINE_BYTES = 8 << 20  # of the longest line
_CELLS_PER_BYTE = 2  # of lines; ours have one column in 20 bytes
_NAME_CHARACTERS = 1_000  # a field with a longer name is no column of anybody's
_MOST_KNOWN = 10_000  # files
_FIELD = r'[{,]\s*"(?:[^"\\]|\\.)*"\s*:'
_Wrong = tuple[int, str, str | None, str]  # line, its text, the field, and why it is no row
_known: dict[tuple[object, ...], list[str]] = {}  # the columns of files looked through


def columns(file: LandingFile) -> list[str]:
    """The fields of all lines, in the order they appear; of an export all that it may have; see ``slices.Reader``."""
    state = (file.path, file.inode, file.size, file.modified_at)
    if state not in _known:
        with file.open() as packed:
            found = _fields(file, unpacked(file, packed))
            file.check(packed)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[state] = found
    return list(_known[state])


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The rows as text; a line that is none is a reject; see ``slices.Reader``."""
    other = spelled(source, names)
    single = [name for name in names if other.get(name, name) in source.names]
    is_export = bool(source.exports) and ga4_events.is_export(names)
    with file.open() as packed:
        read = blocks(file, unpacked(file, packed), SLICE_BYTES, LINE_BYTES)
        if is_export:
            parts = (_events(line, block) for line, block in read)
        else:
            parts = (part for line, block in read for part in _parts(file, line, block, names, single))
        with contextlib.closing(made_ahead(timed('read', parts))) as ready:
            yield from ready
        file.check(packed)


def is_empty(file: LandingFile) -> bool:
    """No byte, or blank ones; see ``slices.Reader``."""
    with file.open() as packed:
        try:
            return not next(blocks(file, unpacked(file, packed), SLICE_BYTES, LINE_BYTES), (1, b''))[1].strip(BLANK)
        except LandingError:
            return False  # its load says what is wrong with it


def _parts(file: LandingFile, line: int, block: bytes, names: list[str], single: list[str]) -> Iterator[Slice]:
    """The rows of some lines, the first of which is ``line``.

    Raises:
        LandingError: their table would be many times as large as they are, because each has few of many fields.
    """
    objects, texts, numbers, wrong = [], [], [], list[_Wrong]()
    for number, (text, is_text) in enumerate(texts_of(block), line):
        if not text or text.isspace():
            continue
        found = json_object.decoded(text) if is_text else 'is not UTF-8'
        if isinstance(found, dict):
            objects.append(found)
            texts.append(text)
            numbers.append(number)
        else:
            wrong.append((number, text, None, found))
    if wrong and wrong[-1][0] == line + block.count(b'\n'):
        number, text, _, reason = wrong[-1]
        wrong[-1] = (number, text, None, f'{reason}; in the last line of its file, which has no end: it is cut short')
    if len(objects) * len(names) > max(MOST_CELLS, _CELLS_PER_BYTE * len(block)):
        raise LandingError(
            f'{file.name}: from line {line} on lines have few of the {len(names):,} fields of their file; '
            'deliver lines of other fields in files of their own'
        )
    nul, most = b'\\u0000' in block, max(1, MOST_CELLS // len(names))
    for start in range(0, max(1, len(objects)), most):
        some = slice(start, start + most)
        table = json_object.table(objects[some], texts[some], names, single)
        rows, lines = table.rows, pl.Series('_line', numbers[some], pl.Int64)
        if table.unusable:
            wrong += [(numbers[start + at], texts[start + at], *why) for at, why in table.unusable.items()]
            usable = ~pl.int_range(rows.height, eager=True).is_in(list(table.unusable))
            rows, lines = rows.filter(usable), lines.filter(usable)
        yield Slice(rows, lines, _rejects(wrong), nul=nul)
        wrong = []


def _events(line: int, block: bytes) -> Slice:
    """The events of an export, nested as they are, all single values as text."""
    told = pl.DataFrame(list(texts_of(block)), schema={'line': pl.String, 'is_text': pl.Boolean}, orient='row')
    told = told.with_columns(pl.int_range(line, line + told.height, dtype=pl.Int64).alias('_line'))
    told = told.filter(pl.col('line').str.strip_chars() != '')
    events, is_wrong = ga4_export.decoded(told['line'], ga4_export.AS_TEXT)
    is_wrong |= events.is_null() | ~told['is_text']
    wrong = told.filter(is_wrong)
    rejects = ga4_export.rejected('line', wrong.select('line'), wrong['_line'])
    return Slice(events.filter(~is_wrong).struct.unnest(), told['_line'].filter(~is_wrong), rejects)


def _rejects(wrong: list[_Wrong]) -> pl.DataFrame | None:
    if not wrong:
        return None
    schema = {'_line': pl.Int64, 'line': pl.String, 'column': pl.String, 'reason': pl.String}
    return rejected(pl.DataFrame(wrong, schema=schema, orient='row'))


def _fields(file: LandingFile, stream: IO[bytes]) -> list[str]:
    """The names of all lines' fields. More than a table may have are not looked for."""
    names: dict[str, None] = {}
    is_blank = True
    for _, block in blocks(file, stream, SLICE_BYTES, LINE_BYTES):
        if is_blank and block.lstrip(BLANK).startswith(b'['):
            raise LandingError(f'{file.name}: is one JSON array; deliver one object per line, as jq -c ".[]" writes them')
        is_blank = False
        texts, many = pl.Series([text for text, _ in texts_of(block)], dtype=pl.String), 1
        while len(texts := _with_others(texts, names)):
            for text in texts[:many]:
                found = json_object.decoded(text)
                names |= dict.fromkeys(found if isinstance(found, dict) else ())
            if ga4_events.is_export(names):
                return list(ga4_export.AS_TEXT.to_schema())
            if len(names) > MAX_COLUMNS or any(len(name) > _NAME_CHARACTERS for name in names):
                return list(names)
            texts, many = texts[many:], many * 16
    if not names and not is_blank:
        raise LandingError(f'{file.name}: no line is a JSON object with a field; a CSV is read if its name ends in .csv')
    return list(names)


def _with_others(lines: pl.Series, names: dict[str, None]) -> pl.Series:
    """Those lines that may have other fields: the known ones are counted, and all of them. Nested fields are others."""
    if not names:
        return lines
    known = '|'.join(map(re.escape, names))
    return lines.filter(lines.str.count_matches(_FIELD) != lines.str.count_matches(rf'[{{,]\s*"(?:{known})"\s*:'))
