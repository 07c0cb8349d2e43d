"""Files of other formats than CSV that nobody can use: one message names the file, whatever is in it."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kly_mage.common.errors import LandingError
from tests.landing.zone import Write, read


def test_bytes_of_a_parquet_file_that_are_no_text_are_said_with_their_file(write: Write) -> None:
    one = {'served_at': '2025-10-01T12:00:00Z', 'ad_unit': b'\xff', 'impressions': 1, 'clicks': 0, 'revenue_usd': '0.5'}
    packed = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([one]), packed)
    with pytest.raises(LandingError, match=r'^gam_delivery/x.parquet: behind row 0 bytes are not UTF-8; deliver'):
        read(write(packed.getvalue(), 'gam_delivery/x.parquet'))


def test_json_deeper_than_can_be_read_is_said_with_its_file(write: Write) -> None:
    with pytest.raises(LandingError, match=r'^gam_delivery/x.ndjson: line 1 is no event of GA4'):
        read(write('[' * 1_000_000, 'gam_delivery/x.ndjson'))
