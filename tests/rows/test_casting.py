"""Text becomes typed values, and what cannot says where and why."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kly_mage.declared.base import Column, Source
from kly_mage.rows.casting import cast, local_days, typed_schema

SOURCE = Source(
    name='sample',
    grain='One row.',
    columns=(
        Column('at', 'timestamp', 'An instant.'),
        Column('id', 'id', 'A key.'),
        Column('clicks', 'count', 'A count.'),
        Column('revenue', 'money', 'An amount.'),
        Column('name', 'text', 'A text.', required=True),
    ),
    day_column='at',
)


def typed(timezone: str = 'Asia/Jakarta', **text: str | None) -> dict[str, Any]:
    """One row after the cast."""
    row = {'name': 'n'} | text
    return cast(pl.DataFrame([row], schema=dict.fromkeys(row, pl.String)), SOURCE, timezone).row(0, named=True)


def why(**text: str | None) -> tuple[str, str]:
    """The column that makes a row unusable, and the reason."""
    told = json.loads(typed(**text)['_reject'] or '{"column": "", "reason": "usable"}')
    return told['column'], told['reason']


# --- instants ---------------------------------------------------------------------------------------------------------

MORNING = datetime(2025, 10, 1, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    'text',
    [
        '2025-10-01T03:04:05Z',
        '2025-10-01 03:04:05Z',
        '2025-10-01T03:04:05.000Z',
        '2025-10-01T03:04:05+00:00',
        '2025-10-01T10:04:05+07:00',
        '2025-10-01T10:04:05+0700',
        '2025-10-01T10:04:05+07',
        '2025-09-30T23:34:05-03:30',
        '2025-10-01T10:04:05',  # local in Jakarta
        '2025-10-01 10:04:05.0',
    ],
)
def test_an_instant_is_the_same_however_it_is_spelled(text: str) -> None:
    assert typed(at=text)['at'] == MORNING


@pytest.mark.parametrize(
    ('text', 'instant'),
    [
        ('2025-10-01', datetime(2025, 9, 30, 17, tzinfo=UTC)),  # midnight in Jakarta
        ('2025-10-01T10:04', datetime(2025, 10, 1, 3, 4, tzinfo=UTC)),
        ('2025-10-01T10:04Z', datetime(2025, 10, 1, 10, 4, tzinfo=UTC)),
        ('2024-02-29T00:00:00Z', datetime(2024, 2, 29, tzinfo=UTC)),
        ('2025-10-01T03:04:05.1Z', MORNING.replace(microsecond=100_000)),
        ('2025-10-01T03:04:05.000001Z', MORNING.replace(microsecond=1)),
    ],
)
def test_parts_may_be_left_out(text: str, instant: datetime) -> None:
    assert typed(at=text)['at'] == instant


@pytest.mark.parametrize(
    'text',
    [
        '14 Okt 2025',
        '2025-10-1',
        '20251001',
        '1759276800',
        '01/10/2025',
        '2025-13-01',
        '2025-02-29T00:00:00Z',
        '2025-10-01T24:00:00Z',
        '2025-10-01T10:60:00Z',
        '2025-10-01T10:00:60Z',
        '2025-10-01T10:00:00.1234567Z',
        '2025-10-01T10:00:00+16:00',
        '2025-10-01T10:00:00+07:60',
        '2025-10-01T10:00:00 Asia/Jakarta',
        ' 2025-10-01',
        '2025-10-01T10:00:00z',
        '٢٠٢٥-10-01',
        'now',
        'infinity',
        "2025-10-01'; drop table x; --",
    ],
)
def test_what_is_no_instant_is_rejected_with_its_value(text: str) -> None:
    row = typed(at=text)
    assert (row['at'], row['_partition_date']) == (None, None)
    told = json.loads(row['_reject'])
    assert (told['column'], told['value'], told['reason']) == ('at', text, 'not an ISO 8601 timestamp')


@pytest.mark.parametrize(
    ('text', 'hint'),
    [
        ('2020-12-01 00:00:00 UTC', 'write UTC as Z or +00:00'),
        ('2020-12-01 00:00:00.123456 UTC', 'write UTC as Z or +00:00'),
        ('1606780800123456', 'these look like microseconds since 1970, which landing.toml can say'),
        ('1606780800123', 'these look like milliseconds since 1970, which landing.toml can say'),
    ],
)
def test_a_spelling_that_exports_have_is_rejected_with_a_hint(text: str, hint: str) -> None:
    told = json.loads(typed(at=text)['_reject'])
    assert (told['value'], told['reason']) == (text, f'not an ISO 8601 timestamp: {hint}')


@settings(deadline=None, derandomize=True)
@given(st.from_regex(r'\A20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:?[0-6][0-9](:?[0-6][0-9])?[.,]?[0-9 ]{0,7}Z\Z'))
def test_an_instant_is_the_same_whatever_the_spelling_of_its_neighbours(text: str) -> None:
    """Columns that are all like GA4's are read by another parser."""
    beside = pl.DataFrame({'at': [text, '2025-10-01'], 'name': ['n', 'n']})
    assert cast(beside, SOURCE, 'Asia/Jakarta')['at'][0] == typed(at=text)['at']


def test_the_day_is_the_local_day() -> None:
    assert typed(at='2025-09-30T16:59:59.999999Z')['_partition_date'] == date(2025, 9, 30)
    assert typed(at='2025-09-30T17:00:00Z')['_partition_date'] == date(2025, 10, 1)
    assert typed('America/New_York', at='2025-10-01T03:59:59Z')['_partition_date'] == date(2025, 9, 30)


def test_a_local_time_that_the_clock_skips_is_none_and_one_it_repeats_is_the_first() -> None:
    # Berlin 2025: from 02:00 to 03:00 on 30 March; back from 03:00 to 02:00 on 26 October.
    assert typed('Europe/Berlin', at='2025-03-30T02:30:00')['at'] is None
    assert typed('Europe/Berlin', at='2025-10-26T02:30:00')['at'] == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ('zone', 'text'),
    [
        ('Europe/Berlin', '2025-03-30T02:30:00'),
        ('America/Sao_Paulo', '2018-11-04'),  # the day began at 01:00
        ('Pacific/Apia', '2011-12-30T12:00:00'),  # there was no such day
    ],
)
def test_a_skipped_local_time_is_said_as_that_and_a_text_that_is_no_time_is_not(zone: str, text: str) -> None:
    told = json.loads(typed(zone, at=text)['_reject'])
    assert told['reason'] == f'a time that the clocks of {zone} skip; write it with its offset'
    assert json.loads(typed(zone, at='noon')['_reject'])['reason'] == 'not an ISO 8601 timestamp'
    assert typed(zone, at=f'{text[:10]}T12:00:00Z')['_reject'] is None


@pytest.mark.parametrize('text', ['0001-01-01T00:00:00Z', '9999-12-31T00:00:00Z', '1970-01-01T00:00:00Z'])
def test_the_ends_of_the_calendar_are_instants(text: str) -> None:
    assert typed(at=text)['at'].isoformat() == text.replace('Z', '+00:00')


@pytest.mark.parametrize(
    'text', ['0000-06-01T00:00:00Z', '0001-01-01T00:00:00', '9999-12-31T23:59:59Z', '9999-12-31T23:59:59-05:00']
)
def test_what_python_and_the_calendar_cannot_hold_is_rejected(text: str) -> None:
    assert why(at=text)[0] == 'at'


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('text', 'number'),
    [
        ('0', 0),
        ('12', 12),
        ('12.0', 12),
        ('12.', 12),
        ('+12', 12),
        ('0012', 12),
        ('1.2e1', 12),
        ('-0', 0),
        ('1E3', 1000),
        ('9223372036854775807', 2**63 - 1),
        ('9223372036854775807.0', 2**63 - 1),
    ],
)
def test_counts(text: str, number: int) -> None:
    assert typed(clicks=text)['clicks'] == number


@pytest.mark.parametrize(
    'text',
    ['-1', '1.5', 'NaN', 'inf', '9223372036854775808', '1e30', '1,000', '1_000', '0x10', ' 1', '1 ', '٣', 'one', '-', '1e'],
)
def test_what_is_no_count_is_rejected(text: str) -> None:
    assert why(clicks=text) == ('clicks', 'not a whole number of at least 0')


@pytest.mark.parametrize(
    ('text', 'number'),
    [
        ('1', '1'),
        ('-0.000001', '-0.000001'),
        ('0.1', '0.1'),
        ('.5', '0.5'),
        ('-.5', '-0.5'),
        ('5.', '5'),
        ('1e-12', '0.000000000001'),
        ('1.50E2', '150'),
        ('999999999999999999.999999999999', '999999999999999999.999999999999'),
        ('0.1000000000000000000000', '0.1'),  # zeros beyond the last place change nothing
    ],
)
def test_money_is_exact(text: str, number: str) -> None:
    assert typed(revenue=text)['revenue'] == Decimal(number)


@pytest.mark.parametrize(
    'text',
    [
        'NaN',
        'nan',
        'sNaN',
        'Infinity',
        '-inf',
        '1e400',
        '1e18',
        '1000000000000000000',
        '1e-13',
        '0.0000000000001',
        '1,5',
        '$1',
        '1 000',
        '1_0',
        '--1',
        '0x1',
        '½',
        '１',
        '1\n',
    ],
)
def test_what_is_no_exact_finite_amount_is_rejected(text: str) -> None:
    column, reason = why(revenue=text)
    assert column == 'revenue'
    assert reason.startswith('not a finite decimal')


# --- texts, keys, and nothing -----------------------------------------------------------------------------------------


def test_nothing_is_null_and_the_empty_text_stays() -> None:
    row = typed(id='', clicks=None, at=None, revenue='')
    assert (row['id'], row['clicks'], row['at'], row['revenue'], row['_reject']) == ('', None, None, None, None)


@pytest.mark.parametrize('text', [None, ''])
def test_a_required_value_has_to_be_there(text: str | None) -> None:
    assert why(name=text) == ('name', 'is missing')


def test_keys_keep_their_zeros_and_have_at_most_500_characters() -> None:
    assert typed(id='007')['id'] == '007'
    assert typed(id='é' * 500)['_reject'] is None
    assert why(id='é' * 501) == ('id', 'longer than 500 characters')
    assert typed(name='x' * (1 << 20))['_reject'] is None


def test_a_nul_byte_cannot_be_stored_and_is_shown_as_a_mark() -> None:
    told = json.loads(typed(name='a\0b')['_reject'])
    assert (told['column'], told['value'], told['reason']) == ('name', 'a\N{REPLACEMENT CHARACTER}b', 'holds a NUL byte')
    assert told['row']['name'] == 'a\N{REPLACEMENT CHARACTER}b'


def test_texts_are_kept_as_they_are() -> None:
    texts = ["Robert'); drop table bronze.ga4_events; --", '{{ 1 }}', '%s %(a)s', '\\N', 'NULL', ' a ', 'a\nb', '😀']
    for text in texts:
        row = typed(name=text, extra=text)
        assert (row['name'], row['extra'], row['_reject']) == (text, text, None)


def test_a_bad_row_leaves_its_neighbours_alone_and_keeps_its_place() -> None:
    text = pl.DataFrame({'name': ['a', None, 'c'], 'clicks': ['1', '2', 'x'], 'revenue': ['0.1', '0.2', '0.3']})
    found = cast(text, SOURCE, 'UTC')
    assert found['name'].to_list() == ['a', None, 'c']
    assert found['_reject'].is_null().to_list() == [True, False, False]
    assert json.loads(found['_reject'][2])['row'] == {
        'at': None,
        'id': None,
        'clicks': 'x',
        'revenue': '0.3',
        'name': 'c',
    }


def test_columns_come_in_the_order_of_the_declaration_whatever_the_file_says() -> None:
    text = pl.DataFrame({'new': ['x'], 'revenue': ['1'], 'name': ['n']})
    found = cast(text, SOURCE, 'UTC')
    assert found.columns == ['at', 'id', 'clicks', 'revenue', 'name', 'new', '_partition_date', '_reject']
    assert dict(found.schema) == typed_schema(SOURCE, ('new',))


def test_no_rows_have_the_same_types() -> None:
    found = cast(pl.DataFrame(schema={'name': pl.String}), SOURCE, 'UTC')
    assert dict(found.schema) == typed_schema(SOURCE)


ZONES = [
    'Asia/Jakarta',
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Kathmandu',
    'Asia/Pyongyang',
    'UTC',
]
EARLIEST, LATEST = datetime.fromisoformat('0001-01-03'), datetime.fromisoformat('9999-10-01')
CHANGES = {  # a second before and at a change of these clocks
    'Europe/Berlin': datetime(2025, 10, 26, 1, tzinfo=UTC),
    'Australia/Lord_Howe': datetime(2025, 4, 5, 15, tzinfo=UTC),
    'Asia/Kathmandu': datetime(1985, 12, 31, 18, 30, tzinfo=UTC),
    'Asia/Pyongyang': datetime(2015, 8, 14, 15, tzinfo=UTC),
}


@settings(deadline=None, derandomize=True)
@given(
    st.sampled_from(ZONES),
    st.datetimes(min_value=EARLIEST, max_value=LATEST, timezones=st.just(UTC)),
    st.lists(st.one_of(st.none(), st.timedeltas(timedelta(), timedelta(days=70))), max_size=5),
)
def test_days_are_those_of_the_local_clock(zone: str, start: datetime, later: list[timedelta | None]) -> None:
    instants = pl.Series([None if gap is None else start + gap for gap in later], dtype=pl.Datetime('us', 'UTC'))
    assert local_days(instants, zone).to_list() == instants.dt.convert_time_zone(zone).dt.date().to_list()


@pytest.mark.parametrize('zone', CHANGES)
def test_days_around_a_change_of_the_clock(zone: str) -> None:
    change = CHANGES[zone]
    instants = [
        change + timedelta(hours=hour) + step for hour in range(-30, 30) for step in (timedelta(), timedelta(seconds=-1))
    ]
    assert len({instant.astimezone(ZoneInfo(zone)).utcoffset() for instant in instants}) == 2
    wanted = [instant.astimezone(ZoneInfo(zone)).date() for instant in instants]
    assert local_days(pl.Series(instants, dtype=pl.Datetime('us', 'UTC')), zone).to_list() == wanted
