"""The row hash: equal rows alike, different rows apart, and the same in Python and in SQL."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_offset
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Column, Source
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.rows import casting, rowhash
from kly_mage.warehouse.postgres import hash_sql
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES

JAKARTA = 'Asia/Jakarta'
EVERY_KIND = Source(
    name='every_kind',
    grain='One row.',
    columns=(
        Column('at', 'timestamp', 'An instant.'),
        Column('id', 'id', 'A key.'),
        Column('clicks', 'count', 'A count.'),
        Column('note', 'text', 'A text.'),
        Column('revenue', 'money', 'An amount.'),
    ),
    day_column='at',
)
# The same examples in every run: a failure can be seen again, and a build does not depend on luck.
property_test = settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

# Texts and names that try to look like a separator, an escape, a label, or nothing.
PARTS = ('\x1f', '\x1b', '=', 'a', 'note', 'v1', '\\', "'", '"', '%', ' ', '\n', 'é', '😀', '\u0301', '0')
texts = st.lists(st.sampled_from(PARTS), max_size=5).map(''.join) | st.text(
    st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=8
)
names = (
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3)
    .map(''.join)
    .filter(lambda name: not name.startswith('_') and name not in EVERY_KIND.names and len(name.encode()) < 64)
)
instants = st.datetimes(datetime(1900, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- the bounds have to be naive
counts = st.integers(0, 2**63 - 1)
amounts = st.decimals(-(10**17), 10**17, places=12) | st.integers(-(10**6), 10**6).map(Decimal)
typed_rows = st.fixed_dictionaries(
    {
        'at': st.none() | instants,
        'id': st.none() | texts,
        'clicks': st.none() | counts,
        'note': st.none() | texts,
        'revenue': st.none() | amounts,
    }
)


def frame_of(rows: list[dict[str, str | None]], source: Source = EVERY_KIND) -> pl.DataFrame:
    """Rows as a file gives them, typed and hashed."""
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ['id']
    text = pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in columns}, schema=dict.fromkeys(columns, pl.String)
    )
    return rowhash.add_hashrow(casting.cast(text, source, JAKARTA), source)


def hash_of(row: dict[str, str | None], source: Source = EVERY_KIND) -> str:
    frame = frame_of([row], source)
    assert frame['_reject'].to_list() == [None]
    return str(frame['_hashrow'][0])


def plain(value: Any) -> str | None:
    """The most ordinary spelling."""
    if isinstance(value, datetime):
        return value.strftime('%Y-%m-%dT%H:%M:%S.%fZ')
    return None if value is None else f'{value:f}' if isinstance(value, Decimal) else str(value)


def written(row: dict[str, Any]) -> dict[str, str | None]:
    return {name: plain(value) for name, value in row.items()}


@st.composite
def spelled(draw: Callable[..., Any], value: Any) -> str | None:
    """Any of the spellings a file may use for one value."""
    if isinstance(value, datetime):
        offset = draw(st.sampled_from([None, 'local', 0, 420, -210, 345, 840]))
        zone = ZoneInfo(JAKARTA) if offset == 'local' else fixed_offset(timedelta(minutes=offset or 0))
        there = value.astimezone(zone)
        text = there.strftime(f'%Y-%m-%d{draw(st.sampled_from("T "))}%H:%M:%S')
        fraction = f'{there.microsecond:06}'.rstrip('0')
        fraction += '0' * draw(st.integers(0, 6 - len(fraction)))
        text += f'.{fraction}' if fraction else ''
        if offset is None:
            return f'{text}Z'
        if offset == 'local':
            return text
        ahead = f'{abs(offset) // 60:02}{draw(st.sampled_from([":", ""]))}{abs(offset) % 60:02}'
        return f'{text}{"-" if offset < 0 else "+"}{ahead}'
    if isinstance(value, int | Decimal):
        text = str(value) if isinstance(value, int) else f'{value:f}'
        text = text.rstrip('0').rstrip('.') if '.' in text else text
        zeros = '0' * draw(st.integers(0, 12 - len(text.partition('.')[2])))
        text += f'{"" if "." in text else "."}{zeros}' if zeros or draw(st.booleans()) else ''
        sign, digits = ('-', text[1:]) if text.startswith('-') else (draw(st.sampled_from(['', '+'])), text)
        return f'{sign}{"0" * draw(st.integers(0, 3))}{digits}' + draw(st.sampled_from(['', 'e0', 'E+0']))
    return value


# --- equal rows -------------------------------------------------------------------------------------------------------


@given(
    data=st.data(), row=typed_rows.filter(lambda row: row['at'] is None or row['at'].year > 1964)
)  # before, Jakarta's clock had odd offsets
@property_test
def test_duplicate_rows_have_equal_hashes_however_they_are_written(data: st.DataObject, row: dict[str, Any]) -> None:
    other = {name: data.draw(spelled(value), label=name) for name, value in row.items()}
    empty = data.draw(st.lists(names, max_size=2), label='added empty columns')
    absent = [name for name, value in row.items() if value is None and data.draw(st.booleans())]
    order = data.draw(st.permutations([*(name for name in other if name not in absent), *dict.fromkeys(empty)]))
    assert hash_of({name: other.get(name) for name in order}) == hash_of(written(row))


@given(rows=st.lists(typed_rows, min_size=2, max_size=6))
@property_test
def test_a_row_has_the_same_hash_whatever_stands_beside_it(rows: list[dict[str, Any]]) -> None:
    assert frame_of([written(row) for row in rows])['_hashrow'].to_list() == [hash_of(written(row)) for row in rows]


# --- different rows ---------------------------------------------------------------------------------------------------


@given(
    first=st.dictionaries(names | st.sampled_from(['id', 'note']), st.none() | texts, max_size=4),
    second=st.dictionaries(names | st.sampled_from(['id', 'note']), st.none() | texts, max_size=4),
)
@property_test
def test_hashes_are_equal_exactly_if_the_rows_are(first: dict[str, str | None], second: dict[str, str | None]) -> None:
    same = {k: v for k, v in first.items() if v is not None} == {k: v for k, v in second.items() if v is not None}
    assert (hash_of(first) == hash_of(second)) is same


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ({'note': None}, {'note': ''}),
        ({'id': 'a', 'note': 'b'}, {'id': 'a\x1fnote=b'}),
        ({'id': 'a', 'note': None}, {'id': None, 'note': 'a'}),
        ({'id': 'a\x1b'}, {'id': 'a\x1b\x1b'}),
        ({'id': 'a\x1b\x1fnote=b'}, {'id': 'a\x1b', 'note': 'b'}),
        ({'x=': 'y'}, {'x': '=y'}),
        ({'x\x1b': '=y'}, {'x': '\x1b=y'}),
        ({'x\x1fnote': 'y'}, {'x': '', 'note': 'y'}),
        ({'id': '1'}, {'id': '1.0'}),
        ({'id': '01'}, {'id': '1'}),
        ({'note': 'é'}, {'note': 'e\u0301'}),
        ({'note': 'a '}, {'note': 'a'}),
        ({'revenue': '1'}, {'revenue': '-1'}),
        ({'revenue': '1'}, {'revenue': '10'}),
        ({'revenue': '1', 'clicks': None}, {'revenue': None, 'clicks': '1'}),
        ({'at': '2025-10-01T00:00:00Z'}, {'at': '2025-10-01T00:00:00'}),
        ({'at': '2025-10-01T00:00:00Z'}, {'at': '2025-10-01T00:00:00.000001Z'}),
    ],
)
def test_rows_that_look_alike_are_told_apart(first: dict[str, str | None], second: dict[str, str | None]) -> None:
    assert hash_of(first) != hash_of(second)


# --- the rule, by hand ------------------------------------------------------------------------------------------------


def test_the_hash_is_the_day_and_a_sha256_over_the_labelled_values_in_the_order_of_their_names() -> None:
    row = {'revenue': '-0.500', 'note': 'a\x1fb', 'clicks': '7', 'at': '2025-10-01T07:00:00+07:00', 'id': None}
    # 2025-10-01T00:00:00Z is day 20362 since 1970: 20362 * 86400 = 1759276800 seconds.
    text = 'v1\x1fat=1759276800000000\x1fclicks=7\x1fnote=a\x1b\x1fb\x1frevenue=-0.5'
    assert hash_of(row) == '20251001' + hashlib.sha256(text.encode()).hexdigest()[:24]


@pytest.mark.parametrize(
    ('spelling', 'canonical'), [('0', '0'), ('-0.00', '0'), ('100', '100'), ('1e2', '100'), ('.5', '0.5')]
)
def test_an_amount_has_one_spelling(spelling: str, canonical: str) -> None:
    digest = hashlib.sha256(f'v1\x1frevenue={canonical}'.encode()).hexdigest()
    assert hash_of({'revenue': spelling}) == '00000000' + digest[:24]


def test_ad_rows_are_told_apart_by_their_key_alone() -> None:
    row = {'served_at': '2025-10-01T10:00:00Z', 'ad_unit': 'top', 'impressions': '5', 'clicks': '1', 'revenue_usd': '0.5'}
    assert hash_of(row, GAM_DELIVERY) == hash_of(row | {'revenue_usd': '9', 'clicks': '2', 'new': 'x'}, GAM_DELIVERY)
    for name in ('ad_unit', 'line_item', 'creative', 'content_id'):
        assert hash_of(row, GAM_DELIVERY) != hash_of(row | {name: 'other'}, GAM_DELIVERY)


def test_a_rejected_row_has_no_hash() -> None:
    frame = frame_of([{'clicks': '1'}, {'clicks': '-1'}])
    assert frame['_hashrow'].is_null().to_list() == [False, True]


# --- equal rows count once --------------------------------------------------------------------------------------------


def test_duplicate_rows_count_once_and_rejected_rows_all_stay() -> None:
    rows = [{'clicks': text, 'note': 'n'} for text in ('1', '1.0', '2', '-1', '-1', '01')]
    found = rowhash.distinct(frame_of(rows), EVERY_KIND)
    # 1, 1.0 and 01 are one row: itself and 2 more.
    assert found.select('clicks', '_duplicate_rows').rows() == [(1, 2), (2, 0), (None, 0), (None, 0)]


def test_ad_rows_of_one_key_are_equal_only_if_their_numbers_are() -> None:
    row = {'served_at': '2025-10-01T10:00:00Z', 'ad_unit': 'top', 'impressions': '5', 'clicks': '1', 'revenue_usd': '0.5'}
    rows = [row, row | {'revenue_usd': '0.6'}, row | {'revenue_usd': '0.50'}, row | {'site': ''}]
    found = rowhash.distinct(frame_of(rows, GAM_DELIVERY), GAM_DELIVERY)
    assert found.select('revenue_usd', '_duplicate_rows').rows() == [
        (Decimal('0.5'), 1),
        (Decimal('0.6'), 0),
        (Decimal('0.5'), 0),
    ]
    assert found['_hashrow'].n_unique() == 1


# --- the same in SQL --------------------------------------------------------------------------------------------------

SESSIONS = (
    {},
    {'TimeZone': 'America/St_Johns', 'DateStyle': 'SQL, DMY', 'IntervalStyle': 'sql_standard', 'extra_float_digits': '-15'},
    {'TimeZone': 'Asia/Jakarta', 'DateStyle': 'German', 'IntervalStyle': 'iso_8601', 'extra_float_digits': '3'},
    {'TimeZone': 'UTC', 'DateStyle': 'Postgres, MDY', 'bytea_output': 'escape', 'standard_conforming_strings': 'off'},
)


@pytest.fixture(scope='module')
def cursor(postgres: str) -> Iterator[Any]:
    connection = psycopg2.connect(host=postgres, dbname='postgres', user='postgres', options='-c client_min_messages=error')
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def hashes_in_sql(cursor: Any, frame: pl.DataFrame, source: Source, session: dict[str, str]) -> list[str]:
    """Store the rows in a table and hash what is stored."""
    columns = [name for name in frame.columns if not name.startswith('_')]
    kinds = {column.name: POSTGRES_TYPES[column.kind] for column in source.columns}
    cursor.execute('rollback; begin')
    try:
        for name, value in session.items():
            cursor.execute(sql.SQL('set local {} = {}').format(sql.Identifier(name), sql.Literal(value)))
        listed = sql.SQL(', ').join(
            sql.SQL('{} {}').format(sql.Identifier(name), sql.SQL(kinds.get(name, 'text'))) for name in columns
        )
        cursor.execute(sql.SQL('create temp table stored (i bigint, {})').format(listed))
        rows = frame.select(pl.int_range(pl.len()).alias('i'), *columns)
        copy(cursor, rows, f'stored ({", ".join(sql.Identifier(name).as_string(cursor) for name in rows.columns)})')
        cursor.execute(f'select {hash_sql.hashrow(source, columns)}::text from stored order by i')
        return [value.replace('-', '') for (value,) in cursor.fetchall()]
    finally:
        cursor.execute('rollback')


@given(
    rows=st.lists(
        st.tuples(typed_rows, st.dictionaries(names, st.none() | texts, max_size=2)).map(
            lambda two: written(two[0]) | two[1]
        ),
        min_size=1,
        max_size=5,
    ),
    session=st.sampled_from(SESSIONS),
)
@property_test
def test_sql_computes_the_same_hash_in_any_session(
    cursor: Any, rows: list[dict[str, str | None]], session: dict[str, str]
) -> None:
    frame = frame_of(rows)
    assert hashes_in_sql(cursor, frame, EVERY_KIND, session) == frame['_hashrow'].to_list()


@pytest.mark.parametrize('source', SOURCES.values(), ids=SOURCES)
def test_sql_computes_the_same_hash_for_each_source(cursor: Any, source: Source) -> None:
    values = {'timestamp': '2025-10-01T01:02:03.000004+05:45', 'count': '12', 'money': '-1.500', 'id': '0\x1f', 'text': 'é='}
    full = {column.name: values[column.kind] for column in source.columns}
    rows = [full, {c.name: values[c.kind] for c in source.columns if c.required}, full | {'added = "col\'umn"': '\\x1b'}]
    frame = frame_of(rows, source)
    assert frame['_reject'].null_count() == 3
    for session in SESSIONS:
        assert hashes_in_sql(cursor, frame, source, session) == frame['_hashrow'].to_list()
