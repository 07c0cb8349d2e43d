"""The bytes of a file as they were packed by whoever wrote them, and what they are: its contents count, not its name."""

import gzip
import zlib
from typing import IO, BinaryIO
from typing import cast as as_type

from kly_mage.common.errors import LandingError
from kly_mage.landing import formats
from kly_mage.landing.files import LandingFile
from kly_mage.landing.formats import Format

DAMAGED = (EOFError, OSError, zlib.error)
"""What a stream of ``unpacked`` raises of a file that is cut short or damaged."""

_FIRST_LOOK = 8 << 10  # bytes


def unpacked(file: LandingFile, raw: BinaryIO) -> IO[bytes]:
    """The bytes of an opened file, which stands at its beginning; unpacked if they are packed.

    Raises:
        LandingError: they are neither packed, as the name says, nor what may be named so by mistake.
    """
    first = raw.peek(_FIRST_LOOK)[:_FIRST_LOOK]  # type: ignore[attr-defined]  # it is buffered
    packing = formats.packing_of(first)
    if packing:
        return as_type(IO[bytes], gzip.GzipFile(fileobj=raw))
    _, by_name = formats.named(file.name)
    if by_name and first and not formats.is_known(first):
        raise LandingError(f'{file.name}: is neither packed by {by_name.name}, as its name says, nor text; deliver it again')
    return raw


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
