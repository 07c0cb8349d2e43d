"""What a file is by its content: other formats than CSV, other spellings of it, and what nobody can use."""

import gzip
import io
import json
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import files as landing
from kly_mage.landing import readers
from kly_mage.landing.formats import location
from tests.landing.zone import HEADER, JAKARTA, Write, read, row


def test_a_json_array_is_said_however_deep_it_is(write: Write) -> None:
    with pytest.raises(LandingError, match=r'^gam_delivery/x.ndjson: is one JSON array; deliver one object'):
        read(write('[' * 1_000_000, 'gam_delivery/x.ndjson'))


@pytest.mark.parametrize('sign', [';', '\t', '|', '^'])
def test_the_sign_between_fields_is_seen_in_the_header(write: Write, sign: str) -> None:
    header, line = HEADER.replace(',', sign), row('"a' + sign + '"').replace(',', sign)
    frame = read(write(header + line + f'too{sign}few\n' + line.replace('"', '')))
    usable = frame.filter(pl.col('_reject').is_null())
    assert usable.select('ad_unit', '_line').rows() == [(f'a{sign}', 2)]
    assert usable['revenue_usd'].to_list() == [Decimal('0.5')]
    told = [json.loads(text)['reason'] for text in frame['_reject'].drop_nulls()]
    assert told == ['2 fields, the header has 5', '6 fields, the header has 5']


def test_names_in_a_header_are_the_declared_ones_whatever_their_case_and_the_blanks_around_them(write: Write) -> None:
    frame = read(write(' Served_At ,AD_UNIT,Impressions, clicks,Revenue_USD,Order ID \n' + row('a').strip() + ',7\n'))
    assert frame['_reject'].to_list() == [None]
    assert frame['revenue_usd'].to_list() == [Decimal('0.5')]
    assert frame['Order ID'].to_list() == ['7']


def test_two_names_that_would_be_one_column_are_refused(write: Write) -> None:
    with pytest.raises(LandingError, match='names a column twice: clicks'):
        read(write(HEADER.replace('\n', ',Clicks\n') + row('a').strip() + ',1\n'))


PARQUET = io.BytesIO()
pq.write_table(
    pa.table({name: [value] for name, value in zip(HEADER.strip().split(','), row('a').strip().split(','), strict=True)}),
    PARQUET,
)


@pytest.mark.parametrize('end', ['.csv', '.csv.gz', '.parquet', '.json', '.ndjson.gz'])
@pytest.mark.parametrize(
    'content',
    [(HEADER + row('a')).encode(), gzip.compress((HEADER + row('a')).encode(), mtime=0), PARQUET.getvalue()],
    ids=['CSV', 'gzip', 'Parquet'],
)
def test_a_file_is_what_its_bytes_are_whatever_its_name_ends_in(write: Write, content: bytes, end: str) -> None:
    folder = write(content, f'gam_delivery/gam_delivery_20251001{end}')
    if '.parquet' not in end and 'json' in end and content != PARQUET.getvalue():
        with pytest.raises(LandingError, match=f'20251001{end}: no line is a JSON object'):  # a text is what its name says
            read(folder)
        return
    assert read(folder).select('ad_unit', '_reject').rows() == [('a', None)]
    (file,) = landing.find_files(GAM_DELIVERY, folder, JAKARTA)
    assert not readers.is_empty(file)


@pytest.mark.parametrize(
    ('content', 'what'),
    [
        (b'PAR1' + bytes(9), 'no Parquet, cut short or damaged'),
        (b'PK\x03\x04' + bytes(9), 'a zip archive, cut short or damaged'),
        (b'\xd0\xcf\x11\xe0\xa1\xb1', 'is an Excel workbook'),
        (b'\x28\xb5\x2f\xfd\x04', 'cut short or damaged at line 1'),
        (b'Obj\x01\x04', 'no Avro, cut short or damaged'),
        (b'x.csv' + bytes(252) + b'ustar' + bytes(8), 'is a tar archive'),
        (gzip.compress(gzip.compress(HEADER.encode(), mtime=0), mtime=0), 'is packed twice'),
        (gzip.compress(PARQUET.getvalue(), mtime=0), 'is Parquet in another packing'),
        (gzip.compress(b'x.csv' + bytes(252) + b'ustar' + bytes(8), mtime=0), 'is a tar archive'),
    ],
    ids=['Parquet', 'zip', 'Excel', 'zstd', 'Avro', 'tar', 'gzip twice', 'Parquet in gzip', 'tar.gz'],
)
@pytest.mark.parametrize('end', ['.csv', '.ndjson.gz'])
def test_what_cannot_be_read_is_said_whatever_its_name_ends_in(write: Write, content: bytes, what: str, end: str) -> None:
    with pytest.raises(LandingError, match=f'^gam_delivery/x{end}: {what}'):
        read(write(content, f'gam_delivery/x{end}'))


def test_bytes_that_are_neither_packed_as_their_name_says_nor_text_are_said_to_be_neither(write: Write) -> None:
    with pytest.raises(LandingError, match=r'^gam_delivery/x.csv.gz: is neither packed by gzip, as its name says, nor text'):
        read(write(b'\x1f\x8c\x08\x00' + bytes(99), 'gam_delivery/x.csv.gz'))


@pytest.mark.parametrize(
    ('name', 'where'), [('x.csv', 'line 7'), ('x.json.gz', 'line 7'), ('x.parquet', 'row 7'), ('x.avro.zst', 'row 7')]
)
def test_a_format_without_lines_has_rows_in_what_people_read(name: str, where: str) -> None:
    assert location(name, 7) == f'{name}, {where}'
