"""Files of lines, each a text of its own: whole lines, with their numbers."""

from collections.abc import Iterator
from typing import IO

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.landing.contents import DAMAGED
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import not_utf8


def lines_of(file: LandingFile, stream: IO[bytes], size: int, longest: int) -> Iterator[tuple[pl.Series, pl.Series]]:
    """Lines that are not blank, and ``_line`` of each, from 1; about ``size`` bytes at once.

    Args:
        longest: bytes of a line.

    Raises:
        LandingError: the file is damaged, holds a longer line, or bytes that are not UTF-8.
    """
    line = 1
    for block in blocks(file, stream, size, longest):
        try:
            texts = pl.Series('line', block.decode().removesuffix('\n').split('\n'))
        except UnicodeDecodeError as wrong:
            before = block[: wrong.start]
            at = line + before.count(b'\n')
            raise LandingError(not_utf8(file, at, len(before) - before.rfind(b'\n'))) from wrong
        lines = pl.int_range(line, line + len(texts), dtype=pl.Int64, eager=True).alias('_line')
        line += len(texts)
        is_some = texts.str.strip_chars() != ''
        yield texts.filter(is_some), lines.filter(is_some)


def blocks(file: LandingFile, stream: IO[bytes], size: int, longest: int) -> Iterator[bytes]:
    """Whole lines, about ``size`` bytes at once.

    Raises:
        LandingError: the file is damaged, or a line is longer than ``longest``.
    """
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
        if len(held) > longest:
            raise LandingError(f'{file.name}: a line is longer than {longest >> 20} MB; deliver one event or row per line')
