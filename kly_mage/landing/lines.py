"""Files of lines, each a text of its own: whole lines, with their numbers."""

import codecs
from collections.abc import Iterator
from typing import IO

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.landing.contents import DAMAGED, damaged
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import not_utf8

BLANK = b' \t\r\n' + codecs.BOM_UTF8
"""What stands before and between lines."""

_MANY_LINES = 100_000


def lines_of(file: LandingFile, stream: IO[bytes], size: int, longest: int) -> Iterator[tuple[pl.Series, pl.Series]]:
    """Lines that are not blank, and ``_line`` of each, from 1; about ``size`` bytes at once.

    Args:
        longest: bytes of a line.

    Raises:
        LandingError: the file is damaged, holds a longer line, or bytes that are not UTF-8.
    """
    for line, block in blocks(file, stream, size, longest):
        try:
            texts = pl.Series('line', block.decode().removesuffix('\n').split('\n'))
        except UnicodeDecodeError as wrong:
            before = block[: wrong.start]
            at = line + before.count(b'\n')
            raise LandingError(not_utf8(file, at, len(before) - before.rfind(b'\n'))) from wrong
        lines = pl.int_range(line, line + len(texts), dtype=pl.Int64, eager=True).alias('_line')
        is_some = texts.str.strip_chars() != ''
        yield texts.filter(is_some), lines.filter(is_some)


def blocks(file: LandingFile, stream: IO[bytes], size: int, longest: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about ``size`` bytes at once, and the number of the first of them; what is all blank is left out.

    Raises:
        LandingError: the file is damaged, a line is longer than ``longest``, or next to all lines are empty.
    """
    line, held = 1, b''
    while True:
        try:
            fresh = stream.read(size)
        except DAMAGED as wrong:
            raise LandingError(damaged(file, line, wrong)) from wrong
        data = held + fresh
        end = data.rfind(b'\n') + 1 if fresh else len(data)
        block, held = data[:end], data[end:]
        ends = block.count(b'\n')
        if block.strip(BLANK):
            if ends > max(_MANY_LINES, len(block) // 4):
                raise LandingError(
                    f'{file.name}: from line {line} on there is next to nothing but empty lines; deliver the file again'
                )
            yield line, block.removeprefix(codecs.BOM_UTF8) if line == 1 else block
        line += ends
        if not fresh:
            return
        if len(held) > longest:
            raise LandingError(
                f'{file.name}: line {line} is longer than {longest >> 20} MB; deliver one object, row or event per line'
            )


def texts_of(block: bytes) -> Iterator[tuple[str, bool]]:
    """The lines of a block, and whether each is UTF-8; where it is not, its bad bytes are replaced."""
    try:
        yield from ((text, True) for text in block.decode().removesuffix('\n').split('\n'))
    except UnicodeDecodeError:
        for line in block.removesuffix(b'\n').split(b'\n'):
            text = line.decode(errors='replace')
            yield text, text.encode() == line
