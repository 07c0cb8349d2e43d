"""The bytes of a text file on their way to its reader: whole characters, and what was seen in them."""

import codecs
import io
import threading
import time
from typing import IO

import numpy as np

from kly_mage.common.errors import LandingError
from kly_mage.landing.contents import DAMAGED, damaged
from kly_mage.landing.files import LandingFile
from kly_mage.landing.header import not_utf8


class Raw(io.RawIOBase):
    """The bytes of a file on their way to the reader, and what was seen in them so far.

    One look at the bytes is a hundred times cheaper than the same question asked of every value.

    Args:
        stream: the bytes, unpacked.
        most_empty: how many empty lines there may be in what is read at once.
        line: which line of the file its first byte stands in.
    """

    def __init__(self, file: LandingFile, stream: IO[bytes], most_empty: int, line: int = 1) -> None:
        self.nul = False  # a NUL byte, which PostgreSQL cannot store
        self.quotes = 0  # with quoted fields there may be line breaks inside
        self.is_cut = False  # its last line has no end; known before the reader gives the last slice
        self._last = b''  # byte
        self._file, self._stream, self._most_empty = file, stream, most_empty
        self._line, self._bytes = line, 0  # the line in which the next byte stands, and its bytes before that
        self._held = b''  # the beginning of a character; the reader gets whole ones, or else it complains by itself
        self._reading, self._ended, self._stopped = threading.Lock(), threading.Event(), False

    def stop(self) -> None:
        """Give no more bytes: a thread of the reader works ahead and would go on, into the end of the process."""
        with self._reading:
            self._stopped = True
        # It asks once more, or not at all if it has enough in store; it must not need Python when the process ends.
        if not self._ended.is_set() and self._ended.wait(0.3):
            time.sleep(0.01)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, whole characters; none after ``stop``.

        Raises:
            LandingError: they are no UTF-8, cannot be unpacked, or are next to nothing but empty lines.
        """
        with self._reading:
            data = b''
            try:
                data = b'' if self._stopped else self._next(size)
            finally:
                if not data:  # nobody asks on behind the end, nor behind an error
                    self._ended.set()
            return data

    def _next(self, size: int) -> bytes:
        try:
            fresh = self._stream.read(size - len(self._held) if size >= 0 else -1)
        except DAMAGED as wrong:
            raise LandingError(damaged(self._file, self._line, wrong)) from wrong
        data, ended = self._held + fresh, size < 0 or len(self._held) + len(fresh) < size
        try:
            whole = len(data) if data.isascii() else codecs.utf_8_decode(data, 'strict', ended)[1]
        except UnicodeDecodeError as wrong:
            raise LandingError(not_utf8(self._file, *self._place(data, wrong.start))) from wrong
        data, self._held = data[:whole], data[whole:]
        self.nul |= b'\0' in data
        self.quotes += _count(data, b'"')
        self._count_lines(data)
        self._last = data[-1:] or self._last
        if ended and self._last not in (b'', b'\n', b'\r'):
            self.is_cut = True
            data += b'\n'  # or a header alone would be no CSV to the reader
            self._last = b'\n'
        return data if data or ended else self._next(size)

    def _count_lines(self, data: bytes) -> None:
        """Follow the lines; refuse more empty ones than there could be rows: the reader makes a row of every one."""
        end = b'\n' if b'\n' in data else b'\r'
        ends = _count(data, end)
        if ends > self._most_empty and _empty_lines(data) > self._most_empty:
            raise LandingError(
                f'{self._file.name}: from line {self._line} on there is next to nothing but empty lines; '
                'deliver the file again'
            )
        self._line += ends
        self._bytes = len(data) - data.rfind(end) - 1 if ends else self._bytes + len(data)

    def _place(self, data: bytes, at: int) -> tuple[int, int]:
        """Line and byte, from 1, of a place in bytes that are not counted yet."""
        before = data[:at]
        lines = before.count(b'\n')
        return self._line + lines, len(before) - before.rfind(b'\n') if lines else self._bytes + at + 1


def _count(data: bytes, byte: bytes) -> int:
    """How often a byte occurs; ``bytes.count`` takes four to ten times as long, which is seen in every load."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == byte[0])) if byte in data else 0


def _empty_lines(data: bytes) -> int:
    """Line ends right behind a line end; only asked of bytes that are full of them."""
    ends = np.frombuffer(data.replace(b'\r\n', b'\n').replace(b'\r', b'\n'), np.uint8) == ord('\n')
    return int((ends[1:] & ends[:-1]).sum())
