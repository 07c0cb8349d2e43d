"""GA4's export as BigQuery writes JSON: one event per line. Other files of JSON lines are refused."""

import json
from collections.abc import Generator, Iterator
from typing import IO

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.timer import timed
from kly_mage.declared.base import Source
from kly_mage.landing import ga4_export
from kly_mage.landing.contents import DAMAGED, unpacked
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import not_utf8
from kly_mage.landing.slices import Slice

SLICE_BYTES = 8 << 20  # what is read at once, and the longest line


def columns(file: LandingFile) -> list[str]:
    """The columns of the export, whichever of them the lines have: nulls are left out; see ``slices.Reader``."""
    with file.open() as packed:
        first = next(_blocks(file, unpacked(file, packed), 1 << 20), b'').partition(b'\n')[0]
    if not first:
        return []
    try:
        event = json.loads(first)
    except (ValueError, RecursionError):  # lists within lists, a megabyte of them
        event = None
    if not isinstance(event, dict) or not ga4_export.is_export(event):
        raise LandingError(f"{file.name}: line 1 is no event of GA4's export, of which alone JSON is understood")
    return list(ga4_export.AS_TEXT.to_schema())


def slices(file: LandingFile, names: list[str], source: Source) -> Generator[Slice, None, None]:
    """The events, all single values as text; a line that is none is a reject; see ``slices.Reader``."""
    line = 1
    with file.open() as packed:
        for block in timed('read', _blocks(file, unpacked(file, packed), SLICE_BYTES)):
            try:
                texts = pl.Series('line', block.decode().removesuffix('\n').split('\n'))
            except UnicodeDecodeError as wrong:
                before = block[: wrong.start]
                at = line + before.count(b'\n')
                raise LandingError(not_utf8(file, at, len(before) - before.rfind(b'\n'))) from wrong
            lines = pl.int_range(line, line + len(texts), dtype=pl.Int64, eager=True).alias('_line')
            line += len(texts)
            is_some = texts.str.strip_chars() != ''
            texts, lines = texts.filter(is_some), lines.filter(is_some)
            events, is_wrong = ga4_export.decoded(texts, ga4_export.AS_TEXT)
            is_wrong |= events.is_null()
            rejects = ga4_export.rejected('line', texts.filter(is_wrong).to_frame(), lines.filter(is_wrong))
            yield Slice(events.filter(~is_wrong).struct.unnest(), lines.filter(~is_wrong), rejects)
        file.check(packed)


def is_empty(file: LandingFile) -> bool:
    """No byte; see ``slices.Reader``."""
    return file.size == 0


def _blocks(file: LandingFile, stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Whole lines, about ``size`` bytes at once."""
    held = b''
    while True:
        try:
            fresh = stream.read(size)
        except DAMAGED as wrong:
            raise LandingError(f'{file.name}: cut short or damaged ({wrong}); deliver the file again') from wrong
        data = held + fresh
        end = data.rfind(b'\n') + 1 if fresh else len(data)
        if end:
            yield data[:end]
        held = data[end:]
        if not fresh:
            return
        if len(held) > SLICE_BYTES:
            raise LandingError(f'{file.name}: a line is longer than {SLICE_BYTES >> 20} MB; deliver one event per line')
