"""The header and the blocks of an Avro file, unpacked, in bounded memory whatever they say of their sizes."""

import io
import json
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import pyarrow as pa

MOST_BYTES = 32 << 20
"""Of a block, packed or not; writers close one at 16 KB to 1 MB."""

_HEADER_BYTES = 4 << 20
_MAGIC, _SYNC = 4, 16  # bytes
HEADER = {
    'type': 'record',
    'name': 'Header',
    'fields': [
        {'name': 'magic', 'type': {'type': 'fixed', 'name': 'Magic', 'size': _MAGIC}},
        {'name': 'meta', 'type': {'type': 'map', 'values': 'bytes'}},
        {'name': 'sync', 'type': {'type': 'fixed', 'name': 'Sync', 'size': _SYNC}},
    ],
}


class BlockError(Exception):
    """A header or block that is none, or larger than is read."""


class Header(NamedTuple):
    """What stands before the blocks.

    Attributes:
        schema: of the records, as JSON has it.
        codec: how blocks are packed.
        sync: what stands behind each block.
    """

    schema: Any
    codec: str
    sync: bytes


class _Bounded:
    """A stream that gives a number of bytes and no more; what asks for more is damaged."""

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self._stream, self._left = stream, left

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise BlockError(f'{size:,} bytes where at most {self._left:,} may be')
        self._left -= size
        return self._stream.read(size)


def header(stream: IO[bytes]) -> Header:
    """The header of a file.

    Raises:
        BlockError: it is none, or its blocks are packed in a way that is not read here.
    """
    from fastavro import schemaless_reader  # here, because most runs read no Avro

    found: Any = schemaless_reader(_Bounded(stream, _HEADER_BYTES), HEADER, None)  # type: ignore[arg-type]
    codec = found['meta'].get('avro.codec', b'null').decode()
    if codec not in _UNPACKED:
        raise BlockError(f'packed by {codec}; {", ".join(_UNPACKED)} are read')
    try:
        return Header(json.loads(found['meta']['avro.schema']), codec, found['sync'])
    except RecursionError:
        raise BlockError('its schema is nested too deep') from None


def blocks(stream: IO[bytes], of: Header) -> Iterator[tuple[int, bytes]]:
    """How many records each block has, and their bytes.

    Raises:
        BlockError: a block is damaged, or larger than ``MOST_BYTES``.
    """
    while first := stream.read(1):
        count = _long(first, stream)
        size = _long(b'', stream)
        if not 0 <= size <= MOST_BYTES:
            raise BlockError(f'a block of {size:,} bytes; at most {MOST_BYTES >> 20} MB are read at once')
        packed = stream.read(size)
        if len(packed) < size or stream.read(_SYNC) != of.sync:
            raise BlockError('a block does not end where it says')
        data = _UNPACKED[of.codec](packed)
        if not 0 <= count <= len(data):
            raise BlockError(f'a block of {count:,} records in {len(data):,} bytes')
        yield count, data


def _long(first: bytes, stream: IO[bytes]) -> int:
    """A whole number of the file's, of which ``first`` was read already."""
    from fastavro import schemaless_reader

    data = first
    while not data or data[-1] & 0x80:
        more = stream.read(1)
        if not more or len(data) >= 10:  # 64 bits, seven to a byte
            raise BlockError('it ends inside a number')
        data += more
    found: Any = schemaless_reader(io.BytesIO(data), 'long', None)
    return int(found)


def _deflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    found = unpacker.decompress(data, MOST_BYTES)
    if not unpacker.eof:
        raise BlockError(f'a block is cut short, or larger than {MOST_BYTES >> 20} MB')
    return found


def _snappy(data: bytes) -> bytes:
    size = at = 0
    for at, byte in enumerate(data[:5]):  # how much it becomes, seven bits to a byte
        size |= (byte & 0x7F) << (7 * at)
        if not byte & 0x80:
            break
    if size > MOST_BYTES:
        raise BlockError(f'a block of {size:,} bytes; at most {MOST_BYTES >> 20} MB are read at once')
    found: bytes = pa.decompress(data[:-4], decompressed_size=size, codec='snappy', asbytes=True)
    if zlib.crc32(found) != int.from_bytes(data[-4:], 'big'):
        raise BlockError('the sum of a block is another')
    return found


def _zstandard(data: bytes) -> bytes:
    found: bytes = pa.CompressedInputStream(io.BytesIO(data), 'zstd').read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise BlockError(f'a block is larger than {MOST_BYTES >> 20} MB')
    return found


_UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    'null': bytes,
    'deflate': _deflated,
    'snappy': _snappy,
    'zstandard': _zstandard,
}
