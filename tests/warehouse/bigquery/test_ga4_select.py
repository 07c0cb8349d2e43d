"""GA4's tables read in BigQuery: the rows, hashes and rejects of the reader of files, worked out by GoogleSQL itself."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from kly_mage.common.settings import load_settings
from kly_mage.common.window import Window
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.landing import files, ga4_export, readers
from kly_mage.rows import rowhash
from kly_mage.warehouse.account import LINE_BITS
from kly_mage.warehouse.bigquery.account_script import Files, from_table
from kly_mage.warehouse.bigquery.account_script import columns as account_columns
from kly_mage.warehouse.bigquery.ga4_select import rows_of, selected
from tests.conftest import REAL_DATA
from tests.ga4_export import SAMPLE, SCHEMA, as_table, events, write_parquet
from tests.googlesql import GoogleSql, analyzer
from tests.landing.zone import JAKARTA

TABLE = 'events'
READ = pa.schema(
    [SCHEMA.field(name) for name in dict.fromkeys(p.partition('.')[0] for p in ga4_export.wanted(SCHEMA.names))]
)
Rows = list[tuple[Any, ...]]


def places(kind: Any, before: str = '') -> Iterator[str]:
    """The fields of a schema, as places with points."""
    for field in kind:
        yield before + field.name
        inner = field.type.value_type if pa.types.is_list(field.type) else field.type
        if pa.types.is_struct(inner):
            yield from places(inner, f'{before}{field.name}.')


PLACES = frozenset(places(READ))


@pytest.fixture(scope='module')
def googlesql() -> Iterator[GoogleSql]:
    with analyzer('') as found:
        found.add_nested('', TABLE, READ)
        yield found


def statement(day: date, days: Window, fields: frozenset[str] = PLACES, late: int = 3, early: int = 0) -> str:
    may_hold = Window(date.fromordinal(day.toordinal() - late), date.fromordinal(day.toordinal() + early))
    return rows_of(
        GA4_EVENTS,
        TABLE,
        fields,
        file=f'events_{day:%Y%m%d}',
        delivered_at=f'{day} 00:00:00+00',
        days=days,
        may_hold=may_hold,
        own=day,
        timezone=JAKARTA,
        article=load_settings().ga4_article,
    )


def in_bigquery(googlesql: GoogleSql, given: list[dict[str, Any]], text: str) -> Rows:
    """The rows as BigQuery has them: all columns but the place, which a table has none of."""
    names = selected(GA4_EVENTS)
    rows = googlesql.evaluate(text, TABLE, READ, as_table(given).to_pylist())
    at = [names.index(name) for name in compared()]
    return sorted((tuple(row[n] for n in at) for row in rows), key=str)


def test_an_account_takes_each_row_of_a_table_once(googlesql: GoogleSql) -> None:
    day, sample = date(2025, 10, 1), list(events(SAMPLE))
    old = sample[0] | {'event_timestamp': 1_700_000_000_000_000}  # 2023-11-14, which the table may not hold
    source = files.table(GA4_EVENTS, 'events_20251001', day, JAKARTA)
    made = Files('staging.reconcile', day, day)
    into = from_table(GA4_EVENTS, made, None)(2, source, statement(day, Window(date.min, date.max)))
    into = into.replace('v_persons', 'array<string>[]').replace('v_person_key', "'key'")  # nobody was forgotten
    columns = [(name, googlesql.kind(kind)) for name, kind, _ in account_columns(GA4_EVENTS)]
    googlesql.add_table('staging', 'reconcile', columns)
    assert googlesql.refusal(into) is None
    _, _, query = into.partition('\n')
    rows = googlesql.evaluate(query, TABLE, READ, as_table([*sample, *sample, old, old]).to_pylist())
    # Hash, day, place, copies, whether outside, whether superseded, reject, page views, engagements.
    inside = [row for row in rows if not row[4]]
    assert [row[2:4] for row in inside] == [[2 << LINE_BITS, 2]] * 12  # each event twice
    assert [sum(row[n] for row in inside) for n in (7, 8)] == [6, 1]
    assert sorted(row[:4] for row in rows if row[4]) == [
        [f'2 {line}', date(2023, 11, 15), (2 << LINE_BITS) + line, 1] for line in (1, 2)
    ]
    assert {(row[5], row[6]) for row in rows} == {(False, None)}


def in_files(zone: Path, given: list[dict[str, Any]], day: date, days: Window) -> Rows:
    """The rows as the reader of files has them, hashed."""
    path = zone / 'ga4_events' / f'events_{day:%Y%m%d}.parquet'
    path.parent.mkdir(exist_ok=True)
    write_parquet(path, given)
    found = files.find_files(GA4_EVENTS, zone, JAKARTA)
    frames = readers.read(GA4_EVENTS, found, days, timezone=JAKARTA, late_days=3)
    frame = rowhash.distinct(rowhash.add_hashrow(readers.whole(GA4_EVENTS, frames), GA4_EVENTS), GA4_EVENTS)
    path.unlink()
    missing = [pl.lit(None, pl.String).alias(name) for name in compared() if name not in frame.columns]
    return sorted(frame.with_columns(pl.col('event_timestamp').dt.epoch('us'), *missing).select(compared()).rows(), key=str)


def compared() -> list[str]:
    left_out = ('_delivered_at', '_file', '_line', '_utc_day')
    return [name for name in selected(GA4_EVENTS) if name not in left_out]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason='the real GA4 export is not beside this checkout')
def test_8_301_real_events_are_the_rows_of_their_files(googlesql: GoogleSql, tmp_path: Path) -> None:
    seen = 0
    for path in sorted((REAL_DATA / 'ga4_export').iterdir()):
        day = date.fromisoformat(path.name[7:15])
        days, given = Window(date.fromordinal(day.toordinal() - 3), day), events(path)
        rows = in_bigquery(googlesql, given, statement(day, days))
        assert rows == in_files(tmp_path, given, day, days)
        seen += len(given)
    assert seen == 8_301


DAY = date(2025, 10, 1)
DAYS = Window(DAY, DAY)


def at(hour: float, **changed: Any) -> dict[str, Any]:
    """The first event of the sample at an hour of that day in Jakarta, with other fields."""
    first = datetime(2025, 9, 30, 17, tzinfo=UTC)
    micros = int((first.timestamp() + hour * 3600) * 1_000_000)
    return {**events(SAMPLE)[0], 'event_timestamp': str(micros), **changed}


def parameters(*pairs: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{'key': key, 'value': value} for key, value in pairs]


ODD = {
    'a parameter twice, first without a value': at(
        1,
        event_params=parameters(
            ('content_id', {}), ('content_id', {'string_value': 'b'}), ('content_id', {'int_value': '3'})
        ),
    ),
    'whole doubles': at(
        1, event_params=parameters(('content_id', {'double_value': 123.0}), ('ga_session_id', {'int_value': '5'}))
    ),
    'a broken double': at(1, event_params=parameters(('content_id', {'double_value': 1234567.25}))),
    'a large double': at(1, event_params=parameters(('content_id', {'double_value': 123456789012345.0}))),
    'an empty article': at(
        1, event_params=parameters(('content_id', {'string_value': ''}), ('post_id', {'string_value': 'p'}))
    ),
    'separators of the hash': at(1, event_params=parameters(('content_id', {'string_value': 'a\x1fb\x1bc=d'}))),
    'a host in capitals with a port': at(
        1, event_params=parameters(('page_location', {'string_value': 'HTTPS://u@Berita.Example:8080/x/7?q#f'}))
    ),
    'no parameter': at(1, event_params=[]),
    'no name': at(1, event_name=''),
    'no instant': at(1, event_timestamp=None),
    'an instant before 1970': at(1, event_timestamp='-5'),
    'an instant that is none': at(1, event_timestamp=str(2**62)),
    'a NUL byte': at(1, event_params=parameters(('content_id', {'string_value': 'a\0b'}))),
    'a long id': at(1, user_pseudo_id='ü' * 501),
    'as long an id as can be': at(1, user_pseudo_id='ü' * 500),
    'of the day before': at(-1),
    'of the next day, which the file may not hold': at(30),
    'of a month before': at(-24 * 30),
}


@pytest.mark.parametrize('name', [*ODD, 'all of them, some twice'])
def test_an_odd_event_is_what_it_is_in_a_file(name: str, googlesql: GoogleSql, tmp_path: Path) -> None:
    given = [ODD[name]] if name in ODD else [*ODD.values(), *list(ODD.values())[:9]]
    assert in_bigquery(googlesql, given, statement(DAY, DAYS)) == in_files(tmp_path, given, DAY, DAYS)


def test_a_day_of_late_rows_is_taken_without_those_outside(googlesql: GoogleSql, tmp_path: Path) -> None:
    before = Window(date(2025, 9, 30), date(2025, 9, 30))
    given = list(ODD.values())
    rows = in_bigquery(googlesql, given, statement(DAY, before))
    assert rows == in_files(tmp_path, given, DAY, before)
    assert len(rows) == 1  # what is of no day goes with the file's own


def test_the_article_of_a_path_is_found(googlesql: GoogleSql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KLY_GA4_ARTICLE', r'post_id path:^/[^/]+/(\d+)$ content_id')
    given = [*ODD.values(), *events(SAMPLE)]
    assert in_bigquery(googlesql, given, statement(DAY, DAYS)) == in_files(tmp_path, given, DAY, DAYS)


def test_a_table_of_an_older_export_lacks_fields(googlesql: GoogleSql) -> None:
    lacking = frozenset(
        place
        for place in PLACES
        if not place.startswith(('batch_', 'stream_id', 'device.web_info', 'event_params.value.float'))
    )
    given = events(SAMPLE)
    for event in given:
        event['event_params'] = parameters(('batch_page_id', {'int_value': '77'})) + event.get('event_params', [])
    names = selected(GA4_EVENTS)
    rows = googlesql.evaluate(statement(DAY, DAYS, lacking), TABLE, READ, as_table(given).to_pylist())
    assert {row[names.index('batch_page_id')] for row in rows} == {'77'}
    assert {row[names.index('stream_id')] for row in rows} == {None}


def test_the_analyzer_refuses_a_planted_error(googlesql: GoogleSql) -> None:
    text = statement(DAY, DAYS)
    assert googlesql.refusal(text) is None
    wrong = text.replace('`event`.`geo`', 'event.geography').replace('event.`geo`', 'event.geography')
    assert 'geography' in str(googlesql.refusal(wrong))
