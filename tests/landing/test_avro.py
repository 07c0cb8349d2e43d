"""Avro: rows exactly as their types say, block by block; what is damaged or asks for too much is refused in words."""

import io
import json
import random
import struct
import zlib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import avro_blocks, readers
from kly_mage.landing import files as landing
from tests import avro
from tests.landing.zone import JAKARTA, Write, read
from tests.packing import ENDS, packed

NAME = 'gam_delivery/gam_delivery_20251001.avro'
FIELDS = {
    'served_at': avro.nullable(avro.MICROS),
    'ad_unit': avro.nullable('string'),
    'content_id': avro.nullable('long'),
    'impressions': 'long',
    'clicks': 'int',
    'revenue_usd': avro.nullable(avro.MONEY),
}
NOON = datetime(2025, 10, 1, 5, 0, 0, 1, tzinfo=UTC)
ROW = {
    'served_at': NOON,
    'ad_unit': 'a',
    'content_id': 9007199254740993,
    'impressions': 1000,
    'clicks': 2,
    'revenue_usd': Decimal('0.100000000001'),
}


def one(write: Write, more: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The row of a file of one record; ``more`` are types and values of further fields."""
    fields, row = FIELDS | {name: kind for name, (kind, _) in more.items()}, ROW | {n: v for n, (_, v) in more.items()}
    return read(write(avro.written(avro.record(fields), [row]), NAME)).row(0, named=True)


def test_values_are_what_their_types_say_to_the_last_digit(write: Write) -> None:
    row = one(write, {})
    assert row['_reject'] is None
    assert (row['served_at'], row['content_id'], row['_line']) == (NOON, '9007199254740993', 1)
    assert (row['impressions'], row['clicks'], row['revenue_usd']) == (1000, 2, Decimal('0.100000000001'))


def test_undeclared_fields_of_every_type_are_kept_as_text_and_what_is_nested_as_json(write: Write) -> None:
    tag = avro.record({'k': 'string', 'v': avro.nullable('double')}, 'Tag')
    more = {
        'day': ({'type': 'int', 'logicalType': 'date'}, date(2025, 1, 31)),
        'ok': ('boolean', True),
        'share': ('double', 0.1),
        'nothing': ('null', None),
        'kind': ({'type': 'enum', 'name': 'Kind', 'symbols': ['x', 'y']}, 'y'),
        'text': ('bytes', 'é'.encode()),
        'big': (avro.nullable({'type': 'bytes', 'logicalType': 'decimal', 'precision': 77, 'scale': 38}), Decimal('1.5')),
        'tags': ({'type': 'array', 'items': tag}, [{'k': 'a"', 'v': 0.1}, {'k': 'b', 'v': None}]),
        'tag': (avro.nullable('Tag'), {'k': 'c', 'v': 1.0}),
    }
    row = one(write, more)
    assert row['_reject'] is None
    assert (row['day'], row['ok'], row['share'], row['nothing']) == ('2025-01-31', 'true', '0.1', None)
    assert (row['kind'], row['text'], Decimal(row['big'])) == ('y', 'é', Decimal('1.5'))
    assert json.loads(row['tags']) == more['tags'][1]
    assert json.loads(row['tag']) == more['tag'][1]


@pytest.mark.parametrize(
    ('kind', 'value', 'instant'),
    [
        ({'type': 'long', 'logicalType': 'timestamp-millis'}, 1759294800123, '2025-10-01 05:00:00.123000+00:00'),
        ({'type': 'long', 'logicalType': 'local-timestamp-micros'}, 1759294800000001, '2025-09-30 22:00:00+00:00'),
        ({'type': 'int', 'logicalType': 'date'}, 20362, '2025-09-30 17:00:00+00:00'),
        ('string', '2025-10-01T12:00:00+07:00', '2025-10-01 05:00:00+00:00'),
    ],
)
def test_a_time_is_an_instant_or_local_as_its_type_says(write: Write, kind: Any, value: Any, instant: str) -> None:
    row = one(write, {'served_at': (kind, value)})
    assert str(row['served_at']).replace('.000001', '') == instant


def test_an_instant_beyond_the_calendar_is_a_reject(write: Write) -> None:
    schema, other = avro.record(FIELDS), avro.record(FIELDS | {'served_at': avro.nullable('long')})
    whole = avro.written(other, [ROW | {'served_at': 2**62}, ROW | {'served_at': 1759294800000001}], 'null')
    header = avro.written(schema, [], 'null')[:-16] + whole[-16:]  # another header, its mark the same
    blocks = whole[len(avro.written(other, [], 'null')) :]
    rejects = read(write(header + blocks, NAME)).sort('_line')['_reject']
    assert json.loads(rejects[0])['reason'].startswith('not an ISO 8601 timestamp')
    assert rejects[1] is None


def test_a_declared_field_that_is_nested_refuses_the_file(write: Write) -> None:
    with pytest.raises(LandingError, match=f'^{NAME}: column ad_unit holds lists or groups; deliver single values'):
        one(write, {'ad_unit': ({'type': 'array', 'items': 'string'}, ['a'])})


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('codec', ['null', 'deflate', 'snappy', 'zstandard'])
def test_rows_of_many_blocks_are_read_in_their_order_however_they_are_packed(write: Write, codec: str, end: str) -> None:
    rows = [ROW | {'ad_unit': str(number), 'revenue_usd': Decimal(number) / 1000} for number in range(20_000)]
    whole = avro.written(avro.record(FIELDS), rows, 'null')
    folder = write(packed(repacked(whole, codec), end), f'{NAME}{end}')
    assert read(folder).select('_line', 'ad_unit', 'revenue_usd').rows() == [
        (number + 1, str(number), Decimal(number) / 1000) for number in range(20_000)
    ]


def repacked(whole: bytes, codec: str) -> bytes:
    """A file whose blocks are not packed, with packed ones: fastavro lacks libraries for some."""
    stream = io.BytesIO(whole)
    header = avro_blocks.header(stream)
    found = io.BytesIO()
    meta = {'avro.schema': json.dumps(header.schema).encode(), 'avro.codec': codec.encode()}
    fastavro.schemaless_writer(
        found, avro_blocks.HEADER, {'magic': b'Obj\x01', 'meta': meta, 'sync': header.sync}, strict=False
    )
    for count, data in avro_blocks.blocks(stream, header):
        small = {
            'null': lambda data: data,
            'deflate': lambda data: zlib.compress(data, 6)[2:-4],
            'snappy': lambda data: pa.compress(data, 'snappy', asbytes=True) + struct.pack('>I', zlib.crc32(data)),
            'zstandard': lambda data: pa.Codec('zstd').compress(data, asbytes=True),
        }[codec](data)
        fastavro.schemaless_writer(found, 'long', count)
        fastavro.schemaless_writer(found, 'bytes', small)
        found.write(header.sync)
    return found.getvalue()


def test_a_file_without_a_record_is_empty(write: Write) -> None:
    folder = write(avro.written(avro.record(FIELDS), []), NAME)
    (file,) = landing.find_files(GAM_DELIVERY, folder, JAKARTA)
    assert readers.is_empty(file)
    assert read(folder).height == 0
    write(avro.written(avro.record(FIELDS), [ROW]), NAME)
    (file,) = landing.find_files(GAM_DELIVERY, folder, JAKARTA)
    assert not readers.is_empty(file)


@pytest.mark.parametrize('codec', ['null', 'deflate', 'snappy', 'zstandard'])
def test_a_file_that_is_cut_short_inside_a_block_is_refused(write: Write, codec: str) -> None:
    whole = repacked(avro.written(avro.record(FIELDS), [ROW] * 1000, 'null', 1 << 30), codec)
    head = len(repacked(avro.written(avro.record(FIELDS), [], 'null'), codec))
    for length in (5, head - 9, head + 1, head + 3, head + 50, len(whole) - 17, len(whole) - 1):
        with pytest.raises(LandingError, match=f'^{NAME}: no Avro, cut short or damaged behind row 0'):
            read(write(whole[:length], NAME))


def test_a_damaged_byte_is_never_another_error_than_one_that_names_the_file(write: Write) -> None:
    whole = avro.written(
        avro.record(FIELDS | {'tags': {'type': 'array', 'items': 'string'}}), [ROW | {'tags': ['a']}] * 9, 'null'
    )
    rng = random.Random(7)
    told = []
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(4, len(whole))] = rng.randrange(256)
        try:
            read(write(bytes(damaged), NAME))
        except LandingError as error:
            told.append(str(error))
    assert len(told) > 100
    assert [text for text in told if not text.startswith(NAME)] == []


def block(count: int, data: bytes, codec: str, schema: Any = None, said: int | None = None) -> bytes:
    """A file of one block, which may say of itself what it likes."""
    file = io.BytesIO()
    meta = {'avro.schema': json.dumps(schema or avro.record(FIELDS)).encode(), 'avro.codec': codec.encode()}
    fastavro.schemaless_writer(file, avro_blocks.HEADER, {'magic': b'Obj\x01', 'meta': meta, 'sync': b'.' * 16})
    fastavro.schemaless_writer(file, 'long', count)
    fastavro.schemaless_writer(file, 'long', len(data) if said is None else said)
    return file.getvalue() + data + b'.' * 16


ZEROS = zlib.compress(bytes(100 << 20), 9)[2:-4]
LINKED = avro.record(FIELDS | {'next': ['null', 'Root']})


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (block(1, ZEROS, 'deflate'), 'larger than 32 MB'),
        (block(1, pa.Codec('zstd').compress(bytes(100 << 20), asbytes=True), 'zstandard'), 'larger than 32 MB'),
        (block(1, b'\xff\xff\xff\xff\x0f' + bytes(20), 'snappy'), 'at most 32 MB are read at once'),
        (block(1, b'x', 'null', said=1 << 60), 'at most 32 MB are read at once'),
        (block(1 << 40, bytes(9), 'null'), 'a block of 1,099,511,627,776 records in 9 bytes'),
        (block(-1, bytes(9), 'null'), 'a block of -1 records'),
        (block(1, bytes(9), 'bzip2'), 'packed by bzip2; null, deflate, snappy, zstandard are read'),
        (block(1, bytes(9), 'null', LINKED), "its schema has a type 'Root' inside itself"),
        (block(1, bytes(9), 'null', avro.record({'a': {'type': 'array', 'items': 'null'}})), 'has lists of nothing'),
        (block(1, bytes(9), 'null', avro.record({'a': ['string', 'long']})), 'its schema has a field of several types'),
        (block(1, bytes(9), 'null', 'string'), 'its values are no records'),
        (block(1, bytes(9), 'null', avro.record({'a': 'what'})), "its schema has a type 'what' that it lacks"),
        (block(1, bytes(9), 'null', {'type': 'record'}), 'no Avro, cut short or damaged'),
        (block(1, bytes(9), 'null', avro.record({'a': 'string'})), 'required column missing: served_at'),
        (b'Obj\x01' + b'\x02\xfe\xff\xff\xff\xff\xff\x0f', 'bytes where at most'),
    ],
)
def test_what_asks_for_too_much_or_is_no_table_is_refused_in_words(write: Write, content: bytes, told: str) -> None:
    with pytest.raises(LandingError, match=f'^{NAME}: .*{told}'):
        read(write(content, NAME))


def test_a_schema_without_end_is_refused(write: Write) -> None:
    deep: Any = 'string'
    for _ in range(200):
        deep = {'type': 'array', 'items': deep}
    with pytest.raises(LandingError, match='its schema has types within types, more than 50 levels'):
        read(write(block(1, bytes(9), 'null', avro.record({'a': deep})), NAME))


def test_an_empty_file_named_so_is_an_empty_file(write: Write, tmp_path: Path) -> None:
    (file,) = landing.find_files(GAM_DELIVERY, write(b'', NAME), JAKARTA)
    assert readers.is_empty(file)
    assert read(tmp_path).height == 0
