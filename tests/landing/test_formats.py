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
from tests.landing.zone import HEADER, Write, read, row


def test_bytes_of_a_parquet_file_that_are_no_text_are_said_with_their_file(write: Write) -> None:
    one = {'served_at': '2025-10-01T12:00:00Z', 'ad_unit': b'\xff', 'impressions': 1, 'clicks': 0, 'revenue_usd': '0.5'}
    packed = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([one]), packed)
    with pytest.raises(LandingError, match=r'^gam_delivery/x.parquet: behind row 0 bytes are not UTF-8; deliver'):
        read(write(packed.getvalue(), 'gam_delivery/x.parquet'))


def test_json_deeper_than_can_be_read_is_said_with_its_file(write: Write) -> None:
    with pytest.raises(LandingError, match=r'^gam_delivery/x.ndjson: line 1 is no event of GA4'):
        read(write('[' * 1_000_000, 'gam_delivery/x.ndjson'))


@pytest.mark.parametrize('sign', [';', '\t', '|'])
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


@pytest.mark.parametrize(
    ('content', 'what'),
    [
        (b'PAR1' + bytes(9), 'is Parquet; let its name end in .parquet'),
        (b'PK\x03\x04' + bytes(9), 'is a zip archive or an Excel workbook'),
        (b'\xd0\xcf\x11\xe0\xa1\xb1', 'is an Excel workbook'),
        (gzip.compress(HEADER.encode(), mtime=0), r'is packed by gzip; let its name end in .csv.gz'),
        (b'\x28\xb5\x2f\xfd\x04', 'is packed by zstd'),
        (b'Obj\x01\x04', 'is Avro'),
    ],
    ids=['Parquet', 'zip', 'Excel', 'gzip', 'zstd', 'Avro'],
)
def test_what_is_no_csv_under_its_name_is_said(write: Write, content: bytes, what: str) -> None:
    with pytest.raises(LandingError, match=what):
        read(write(content))
