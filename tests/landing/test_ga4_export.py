"""GA4's BigQuery export: what becomes of nested events, whatever the tags of a publisher have sent."""

import gc
import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.landing import files, readers
from tests.ga4_export import SAMPLE, SCHEMA, as_avro, events, write_parquet
from tests.landing.zone import JAKARTA

NAME = 'ga4_events/events_20251001.parquet'


def rows(zone: Path, *columns: str) -> list[Any]:
    """The rows of all files as a load sees them."""
    frames = readers.read(GA4_EVENTS, files.find_files(GA4_EVENTS, zone, JAKARTA), None, timezone=JAKARTA, late_days=3)
    frame = readers.whole(GA4_EVENTS, frames).select(columns)
    return frame.to_series().to_list() if len(columns) == 1 else frame.rows()


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    write_parquet(tmp_path / NAME, events(SAMPLE))
    return tmp_path


def test_every_event_is_a_row_that_can_be_used(sample: Path) -> None:
    assert rows(sample, '_line', '_reject') == [(line, None) for line in range(1, 13)]


def test_the_rows_of_a_slice_are_free_once_they_are_flat(sample: Path) -> None:
    """Frames in a circle stay until Python looks for circles, which it seldom does: a load kept all it had read."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        rows(sample, 'event_name')
        gc.collect()
        assert [type(each) for each in gc.garbage if isinstance(each, pl.DataFrame | pl.Series)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_microseconds_since_1970_are_an_instant(sample: Path) -> None:
    assert [str(instant) for instant in rows(sample, 'event_timestamp')[:3]] == [
        '2025-10-01 00:00:01.000007+00:00',
        '2025-10-01 00:00:01.000007+00:00',
        '2025-10-01 00:00:02.000007+00:00',
    ]


def test_the_article_is_the_first_of_the_list_that_has_a_text(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows(sample, 'content_id') == [
        '7000001',
        '7000001',
        '7000001',  # an integer
        '7000001',  # a double
        '7000002',  # content_id has no value, article_id has one
        '7000003',  # content_id three times: the first that has a value
        None,  # an empty text is no article
        None,
        None,
        None,
        '7000007',
        None,
    ]
    monkeypatch.setenv('KLY_GA4_ARTICLE', r'content_id path:^/read/(\d+)(?:/|$)')
    assert rows(sample, 'content_id')[4:8] == ['7000009', '7000003', '7000005', None]
    monkeypatch.setenv('KLY_GA4_ARTICLE', r'path:/(.*)')
    assert rows(sample, 'content_id')[4:8] == ['read/7000009/x', None, 'read/7000005/a,b', None]


def test_a_session_is_the_same_whether_its_number_came_as_a_number_or_a_text(sample: Path) -> None:
    assert set(rows(sample, 'session_id')) == {'1759276700', None}


def test_the_site_is_the_host_of_the_page_else_the_streams(sample: Path) -> None:
    assert rows(sample, 'site') == [
        *['news.example.com'] * 5,
        'sport.example.com',
        'news.example.com',
        '5550001',  # neither page nor device
        '5550002',  # an app
        *['news.example.com'] * 3,  # no page_location, but web_info.hostname; two with either
    ]


def test_other_columns_come_from_their_groups_and_are_null_where_a_group_is_left_out(sample: Path) -> None:
    seen = rows(sample, 'user_pseudo_id', 'device_category', 'country', 'traffic_source')
    assert seen[0] == ('101.1', 'mobile', 'Indonesia', '(direct)')
    assert seen[7] == (None, None, None, None)
    assert seen[9] == ('101.1', 'mobile', 'Indonesia', '(data deleted)')
    assert seen[10] == ('101.1', 'mobile', '<Other>', None)


def test_what_tells_two_events_of_one_batch_apart_comes_along_from_columns_or_parameters(sample: Path) -> None:
    seen = rows(sample, 'stream_id', 'batch_page_id', 'batch_ordering_id', 'batch_event_index')
    assert seen[:4] == [
        ('5550001', '1759276801000', '1', '1'),
        ('5550001', '1759276801000', '1', '2'),
        ('5550001', None, None, None),
        ('5550001', '1759276801000', '3', None),
    ]


def test_nested_fields_may_be_the_json_of_what_they_hold(sample: Path) -> None:
    nested = rows(sample, *GA4_EVENTS.names)
    as_json = pl.read_parquet(sample / NAME).with_columns(
        pl.col('device', 'geo', 'traffic_source').struct.json_encode(),
        pl.struct('event_params').struct.json_encode().str.json_path_match('$.event_params').alias('event_params'),
    )
    as_json.select(set(as_json.columns) - {'items'}).write_parquet(sample / NAME)
    assert rows(sample, *GA4_EVENTS.names) == nested


def large(kind: pa.DataType) -> pa.DataType:
    """The same type with offsets of 64 bits."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(large(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.large_list(large(kind.value_type))
    return pa.large_string() if pa.types.is_string(kind) else kind


def test_texts_and_lists_may_be_of_the_large_kind_that_other_programs_write(sample: Path) -> None:
    nested = rows(sample, *GA4_EVENTS.names)
    pq.write_table(pq.read_table(sample / NAME).cast(pa.schema(large(pa.struct(SCHEMA)))), sample / NAME)
    assert rows(sample, *GA4_EVENTS.names) == nested


def test_json_that_is_not_of_googles_shape_is_one_reject(sample: Path) -> None:
    texts = ['[]', '[{"key": 1}]', '7', '{"key": "content_id"}', '[{"key": "content_id", "value": {"string_value": "8"}}]']
    pl.DataFrame({'event_timestamp': 1759276800000000, 'event_name': 'page_view', 'event_params': texts}).write_parquet(
        sample / NAME
    )
    seen = sorted(rows(sample, '_line', 'content_id', '_reject'))
    assert [(line, content) for line, content, _ in seen] == [(1, None), (2, None), (3, None), (4, None), (5, '8')]
    told = [reject for _, _, reject in seen]
    assert [reject is None for reject in told] == [True, True, False, False, True]
    assert '"column":"event_params","value":"7","reason":"not of the shape that Google\'s export gives it"' in told[2]


@pytest.mark.parametrize('written', ['1e99', '-5', '2025', 'soon', str(2**63 - 1)])
def test_a_time_that_is_no_microsecond_of_this_era_is_a_reject_or_its_instant(sample: Path, written: str) -> None:
    event = {'event_timestamp': written, 'event_name': 'page_view', 'event_params': None}
    pl.DataFrame([event], schema_overrides={'event_params': pl.Null}).write_parquet(sample / NAME)
    ((instant, reject),) = rows(sample, 'event_timestamp', '_reject')
    if written == '2025':
        assert str(instant) == '1970-01-01 00:00:00.002025+00:00'
    else:
        assert f'"column":"event_timestamp","value":"{written}","reason":"not an ISO 8601 timestamp"' in reject


@pytest.mark.parametrize(
    ('name', 'kind', 'told'),
    [
        ('event_params', pa.list_(pa.string()), 'event_params is String, in Google'),
        ('event_params', pa.list_(pa.struct({'name': pa.string()})), 'event_params is a group of name, in Google'),
        ('device', pa.string(), None),
        ('device', pa.list_(pa.string()), "device is a list of String, in Google's export a group of category, web_info"),
        (
            'geo',
            pa.struct({'country': pa.list_(pa.string())}),
            "geo.country is a list of String, in Google's export a single",
        ),
    ],
)
def test_a_column_of_another_type_refuses_the_file_in_one_sentence(
    sample: Path, name: str, kind: pa.DataType, told: str | None
) -> None:
    at = SCHEMA.get_field_index(name)
    write_parquet(sample / NAME, [{'event_timestamp': 1, 'event_name': 'x'}], SCHEMA.set(at, pa.field(name, kind)))
    if told is None:
        assert rows(sample, '_reject') == [None]
        return
    with pytest.raises(LandingError, match=f'^{NAME}: {told}.*; deliver the export as BigQuery writes it$'):
        rows(sample, '_reject')


@pytest.mark.parametrize('damage', ['cut', 'other', 'empty'])
def test_parquet_that_is_cut_short_or_none_is_refused_in_one_sentence(sample: Path, damage: str) -> None:
    whole = (sample / NAME).read_bytes()
    (sample / NAME).write_bytes({'cut': whole[: len(whole) // 2], 'other': b'event\x00', 'empty': b''}[damage])
    with pytest.raises(LandingError, match=f'^{NAME}: no Parquet, cut short or damaged .*; deliver the file again$'):
        rows(sample, '_reject')


def test_parquet_without_a_row_is_an_empty_file(sample: Path) -> None:
    write_parquet(sample / NAME, [])
    (file,) = files.find_files(GA4_EVENTS, sample, JAKARTA)
    assert readers.is_empty(file)
    assert rows(sample, '_line') == []


def test_all_names_of_the_tables_hold_their_day_and_the_day_as_google_made_it_is_delivered_last(tmp_path: Path) -> None:
    names = (
        'events_intraday_20251001.parquet',
        'events_fresh_20251001-000000000000.parquet',
        'events_20251001-000000000000.parquet',
        'events_20251001-000000000001.parquet',
        'events_20251001000000000002.parquet',
        'ga4_events_20251001.csv',
        'events_20251002.parquet',
    )
    (tmp_path / 'ga4_events').mkdir()
    for name in sorted(names):
        (tmp_path / 'ga4_events' / name).touch()
    found = files.find_files(GA4_EVENTS, tmp_path, JAKARTA)
    assert [file.name.rpartition('/')[2] for file in found] == list(names)
    assert [file.day and file.day.day for file in found] == [1, 1, 1, 1, 1, 1, 2]


def test_an_export_as_csv_has_the_json_of_its_nested_fields(tmp_path: Path) -> None:
    path = tmp_path / 'ga4_events/events_20251001.csv'
    path.parent.mkdir()
    parameters = '[{""key"":""content_id"",""value"":{""int_value"":""8""}}]'
    path.write_text(
        'platform,event_timestamp,event_name,event_params,geo\n'
        f'WEB,1759276800000000,page_view,"{parameters}","{{""country"":""Indonesia""}}"\n'
        'WEB,1759276800000001,scroll,,\n'
    )
    assert rows(tmp_path, 'event_name', 'content_id', 'country', '_reject', '_line') == [
        ('page_view', '8', 'Indonesia', None, 2),
        ('scroll', None, None, None, 3),
    ]


def test_a_part_of_a_column_is_read_alone_and_groups_may_lack_it(sample: Path) -> None:
    schema = SCHEMA.set(SCHEMA.get_field_index('device'), pa.field('device', pa.struct({'language': pa.string()})))
    write_parquet(sample / NAME, events(SAMPLE)[:1], schema.remove(schema.get_field_index('geo')))
    assert rows(sample, 'device_category', 'country', 'site') == [(None, None, 'news.example.com')]


@pytest.mark.parametrize('end', ['.ndjson', '.ndjson.gz'])
def test_events_as_json_lines_are_the_same_rows(sample: Path, end: str) -> None:
    asked = (*GA4_EVENTS.names, 'stream_id', 'batch_page_id', 'batch_ordering_id', 'batch_event_index', '_line', '_reject')
    as_parquet = rows(sample, *asked)
    (sample / NAME).unlink()
    text = SAMPLE.read_bytes().rstrip(b'\n')  # a brace that closes says that the last line is whole
    (sample / NAME).with_suffix(end).write_bytes(gzip.compress(text) if end.endswith('.gz') else text)
    assert rows(sample, *asked) == as_parquet


def test_a_line_that_is_no_event_is_one_reject(sample: Path) -> None:
    (sample / NAME).unlink()
    first, second, *_ = SAMPLE.read_text().splitlines()
    bad = ['{"event_name": ', '7', 'null', '', second.replace('"event_params":[', '"event_params":[8,'), second[:200]]
    (sample / NAME).with_suffix('.ndjson').write_text('\n'.join([first, *bad]))
    seen = sorted((line, reject is None) for line, reject in rows(sample, '_line', '_reject'))
    assert seen == [(1, True), (2, False), (3, False), (4, False), (6, False), (7, False)]


def test_an_event_nested_deeper_than_is_read_is_one_reject_and_does_not_end_the_process(sample: Path) -> None:
    (sample / NAME).unlink()
    first, *_ = SAMPLE.read_text().splitlines()
    deep = [first[:-1] + ',"x":' + '[' * 100_000 + ']' * 100_000 + '}', first[:-1] + ',"x":' + '{"a":' * 100_000]
    bad = '{"event_name": "\udcff"}'
    (sample / NAME).with_suffix('.ndjson').write_text('\n'.join([*deep, bad, first]) + '\n', errors='surrogateescape')
    assert [line for line, reject in sorted(rows(sample, '_line', '_reject')) if reject] == [1, 2, 3]


def test_json_in_a_column_nested_deeper_than_is_read_is_one_reject_and_does_not_end_the_process(sample: Path) -> None:
    texts = ['[' * 100_000 + ']' * 100_000, '[]']
    pl.DataFrame({'event_timestamp': 1759276800000000, 'event_name': 'x', 'event_params': texts}).write_parquet(
        sample / NAME
    )
    assert [line for line, reject in rows(sample, '_line', '_reject') if reject] == [1]


@pytest.mark.parametrize('codec', ['null', 'deflate'])
def test_the_export_as_avro_is_the_same_rows(sample: Path, codec: str) -> None:
    asked = ('_line', *GA4_EVENTS.names, 'stream_id', 'batch_page_id', 'batch_ordering_id', 'batch_event_index', '_reject')
    as_parquet = rows(sample, *asked)
    (sample / NAME).with_suffix('.avro').write_bytes(as_avro(sample / NAME, codec))
    (sample / NAME).unlink()
    assert rows(sample, *asked) == as_parquet
