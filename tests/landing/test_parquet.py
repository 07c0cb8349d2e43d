"""Parquet: what becomes of its types, and of what no row of ours can hold."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.landing import parquet_limits
from tests.landing.zone import read

NAME = 'gam_delivery/x.parquet'
ONE = {'served_at': '2025-10-01T12:00:00Z', 'ad_unit': 'a', 'impressions': 1, 'clicks': 0, 'revenue_usd': '0.5'}
NOON = datetime.fromisoformat('2025-10-01T12:00:00.123456')
NANOSECONDS = 1_759_320_000_123_456_000  # of NOON, taken for UTC, since 1970


def deliver(zone: Path, column: str, values: Any, rows: int = 1, **options: Any) -> Path:
    """Ad rows whose column holds these values."""
    path = zone / NAME
    path.parent.mkdir(exist_ok=True)
    columns = {name: pa.array([value] * rows) for name, value in ONE.items()} | {column: values}
    pq.write_table(pa.table(columns), path, **options)
    return zone


def one(zone: Path, column: str) -> Any:
    """The only value of a column; the reason, if its row is a reject."""
    frame = read(zone)
    (reject,) = frame['_reject']
    return frame[column].item() if reject is None else reject


@pytest.mark.parametrize(
    ('values', 'instant'),
    [
        (pa.array([NOON], pa.timestamp('us')), '2025-10-01 05:00:00.123456'),  # by Jakarta's clocks
        (pa.array([NOON], pa.timestamp('us', 'UTC')), '2025-10-01 12:00:00.123456'),
        (
            pa.array([NOON], pa.timestamp('us', 'America/New_York')),
            '2025-10-01 12:00:00.123456',
        ),  # the zone is how to show it
        (pa.array([NOON.replace(microsecond=0)], pa.timestamp('s')), '2025-10-01 05:00:00'),
        (pa.array([NOON.replace(microsecond=123000)], pa.timestamp('ms', 'UTC')), '2025-10-01 12:00:00.123000'),
        (pa.array([NANOSECONDS], pa.timestamp('ns', 'UTC')), '2025-10-01 12:00:00.123456'),
        (pa.array([date(2025, 10, 1)]), '2025-09-30 17:00:00'),  # midnight in Jakarta
        (pa.array([date(2025, 10, 1)], pa.date64()), '2025-09-30 17:00:00'),
        (pa.array([NOON], pa.timestamp('us')).dictionary_encode(), '2025-10-01 05:00:00.123456'),
    ],
    ids=['local', 'UTC', 'a zone', 'seconds', 'milliseconds', 'nanoseconds', 'date', 'date of 64 bits', 'dictionary'],
)
def test_times_of_every_unit_are_the_instants_they_are(tmp_path: Path, values: pa.Array, instant: str) -> None:
    assert str(one(deliver(tmp_path, 'served_at', values), 'served_at')) == f'{instant}+00:00'


def test_a_time_between_two_microseconds_is_a_reject_as_it_is_in_a_text_and_its_neighbours_are_rows(tmp_path: Path) -> None:
    values = pa.array([NANOSECONDS + 1, NANOSECONDS], pa.timestamp('ns', 'UTC'))
    frame = read(deliver(tmp_path, 'served_at', values, rows=2))
    between, whole = frame['_reject']
    assert '"value":"2025-10-01 12:00:00.123456001Z","reason":"not an ISO 8601 timestamp"' in between
    assert whole is None


@pytest.mark.parametrize('moment', [NOON.replace(year=9999), NOON.replace(year=1600), NOON])
def test_the_old_type_of_96_bits_holds_times_of_all_years(tmp_path: Path, moment: datetime) -> None:
    values = pa.array([moment], pa.timestamp('us'))
    zone = deliver(tmp_path, 'served_at', values, use_deprecated_int96_timestamps=True)
    told = one(zone, 'served_at')
    assert abs(told.replace(tzinfo=None) + timedelta(hours=7) - moment) < timedelta(minutes=8)  # Jakarta's sun in 1600
    if moment.year == 2025:
        assert str(told) == '2025-10-01 05:00:00.123456+00:00'


@pytest.mark.parametrize(
    ('values', 'money'),
    [
        (pa.array([Decimal('1.230000')], pa.decimal128(20, 6)), '1.23'),
        (pa.array([Decimal('-0.000000000001')], pa.decimal128(38, 12)), '-0.000000000001'),
        (pa.array([Decimal('1.23')], pa.decimal256(60, 2)), '1.23'),
        (pa.array([Decimal('1.23')], pa.decimal32(9, 2)), '1.23'),
        (pa.array([0.1]), '0.1'),
        (pa.array([0.1], pa.float32()), '0.1'),
        (pa.array([1e-7]), '0.0000001'),
        (pa.array([3]), '3'),
    ],
    ids=['decimal', 'twelve digits', '256 bits', '32 bits', 'float', 'single float', 'exponent', 'integer'],
)
def test_money_is_the_number_that_is_written_there(tmp_path: Path, values: pa.Array, money: str) -> None:
    assert one(deliver(tmp_path, 'revenue_usd', values), 'revenue_usd') == Decimal(money)


@pytest.mark.parametrize('amount', [0.1 + 0.2, float('nan'), float('-inf')], ids=['a sum of floats', 'NaN', 'infinite'])
def test_a_float_that_has_no_short_spelling_is_no_money(tmp_path: Path, amount: float) -> None:
    assert '"reason":"not a finite decimal' in one(deliver(tmp_path, 'revenue_usd', pa.array([amount])), 'revenue_usd')


@pytest.mark.parametrize(
    ('values', 'count'),
    [
        (pa.array([7], pa.int8()), 7),
        (pa.array([7], pa.uint64()), 7),
        (pa.array([7.0]), 7),
        (pa.array([Decimal('7.00')]), 7),
        (pa.array([7]).dictionary_encode(), 7),
        (pa.array([2**63 - 1]), 2**63 - 1),
    ],
    ids=['8 bits', 'no sign', 'float', 'decimal', 'dictionary', 'largest'],
)
def test_counts_are_the_whole_numbers_they_are(tmp_path: Path, values: pa.Array, count: int) -> None:
    assert one(deliver(tmp_path, 'impressions', values), 'impressions') == count


@pytest.mark.parametrize('values', [pa.array([2**63], pa.uint64()), pa.array([True]), pa.array([0.5])], ids=str)
def test_what_is_no_count_is_a_reject(tmp_path: Path, values: pa.Array) -> None:
    assert '"reason":"not a whole number of at least 0"' in one(deliver(tmp_path, 'impressions', values), 'impressions')


@pytest.mark.parametrize(
    'values',
    [
        pa.array(['é'], pa.large_string()),
        pa.array(['é'], pa.string_view()),
        pa.array(['é']).dictionary_encode(),
        pa.array(['é'.encode()]),
        pa.array(['é'.encode()], pa.binary(2)),
    ],
    ids=['large', 'view', 'dictionary', 'bytes', 'bytes of a length'],
)
def test_texts_of_every_type_are_texts(tmp_path: Path, values: pa.Array) -> None:
    assert one(deliver(tmp_path, 'ad_unit', values), 'ad_unit') == 'é'


def test_what_is_no_day_of_a_calendar_is_a_reject_and_no_end_of_the_load(tmp_path: Path) -> None:
    values = pa.array([2**30], pa.int32()).cast(pa.date32())
    assert '"column":"served_at"' in one(deliver(tmp_path, 'served_at', values), 'served_at')


@pytest.mark.parametrize(
    ('values', 'kept'),
    [
        (pa.array([['a', None, '"']]), r'["a",null,"\""]'),
        (pa.array([{'at': NOON, 'of': Decimal('1.50'), 'n': 2**60}]), f'{{"at":"{NOON}","of":"1.50","n":{2**60}}}'),
        (pa.array([[('k', 1)]], pa.map_(pa.string(), pa.int64())), '[{"key":"k","value":1}]'),
        (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), '[1,2]'),
        (pa.array([['x']], pa.list_(pa.dictionary(pa.int32(), pa.string()))), '["x"]'),
        (pa.array([[b'x']]), '["x"]'),
        (pa.array([[Decimal('1.5')]], pa.list_(pa.decimal256(60, 2))), '["1.50"]'),
        (pa.array([[[]]], pa.list_(pa.list_(pa.int64()))), '[[]]'),
        (pa.array([None], pa.list_(pa.string())), None),
    ],
    ids=['list', 'group', 'map', 'list of a length', 'dictionary', 'bytes', 'decimal', 'empty', 'missing'],
)
def test_a_column_of_lists_or_groups_that_is_not_declared_is_kept_as_json(
    tmp_path: Path, values: pa.Array, kept: str
) -> None:
    assert one(deliver(tmp_path, 'extra', values), 'extra') == kept


@pytest.mark.parametrize('column', ['ad_unit', 'site', 'Site'])
@pytest.mark.parametrize('values', [pa.array([['a']]), pa.array([{'a': 1}])], ids=['list', 'group'])
def test_a_declared_column_of_lists_or_groups_refuses_the_file(tmp_path: Path, column: str, values: pa.Array) -> None:
    with pytest.raises(LandingError, match=f'^{NAME}: column {column} holds lists or groups; deliver single values$'):
        read(deliver(tmp_path, column, values))


def test_a_column_that_a_declared_one_comes_from_may_not_be_lists_either_and_what_is_ignored_is_not_read(
    tmp_path: Path,
) -> None:
    deliver(tmp_path, 'Place', pa.array([['a']]))
    mapping = tmp_path / 'landing.toml'
    mapping.write_text("[[mapping]]\nsource = 'gam_delivery'\n[mapping.columns]\nsite = 'Place'\n")
    with pytest.raises(LandingError, match=f'^{NAME}: column Place holds lists or groups'):
        read(tmp_path)
    deliver(tmp_path, 'Place', pa.array([b'\xff']))
    mapping.write_text("[[mapping]]\nsource = 'gam_delivery'\nignore = ['Place']\n")
    assert read(tmp_path)['_reject'].to_list() == [None]


@pytest.mark.parametrize('column', ['ad_unit', 'Logo'])
def test_bytes_that_are_no_text_are_said_with_file_and_column(tmp_path: Path, column: str) -> None:
    with pytest.raises(
        LandingError,
        match=rf'^{NAME}, behind row 0: column {column} \(binary\) cannot be read as text \(.*\); deliver it as text, '
        'or let landing.toml ignore it$',
    ):
        read(deliver(tmp_path, column, pa.array([b'\xff'])))


def test_rows_keep_their_numbers_whatever_slices_and_row_groups_they_are_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [f'{n:05}' + 'x' * (n % 7) for n in range(5_000)]
    monkeypatch.setattr(parquet_limits, 'SLICE_ROWS', 600)
    monkeypatch.setattr(parquet_limits, 'SLICE_BYTES', 10_000)
    deliver(tmp_path, 'ad_unit', pa.array(units), rows=5_000, row_group_size=1_700)
    frame = read(tmp_path)
    assert frame['_line'].to_list() == list(range(1, 5_001))
    assert frame['ad_unit'].to_list() == units
