"""The events of the sample as GA4's BigQuery export: tables of days, as files of Parquet and of JSON lines."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from generate import COLUMNS, EPOCH, REORDERED_GA4_DAY, SITES, UTC_OFFSET, Fields, moment

Event = dict[str, Any]

# How the tables of the events are written; the other days are one Parquet file each.
JSON_DAYS = {date(2025, 10, 9), date(2025, 10, 12), date(2025, 10, 25)}
SHARDED_DAYS = {date(2025, 10, 4), REORDERED_GA4_DAY, date(2025, 10, 20)}
# The last days of an export are not what they will be: Google replaces these tables in time.
TABLES = {
    date(2025, 10, 29): 'events_fresh',
    date(2025, 10, 30): 'events_intraday',
    date(2025, 10, 31): 'events_intraday',
}
INTRADAY_JSON = date(2025, 10, 30)
ZSTD_DAY = date(2025, 10, 25)
AVRO_DAY = date(2025, 10, 28)
SHARD_ROWS = 1200
# Each site's tag calls the article otherwise: that is what KLY_GA4_ARTICLE lists.
ARTICLE_PARAMETER = {
    'kabarnusa.example': 'content_id',
    'bolanusa.example': 'article_id',
    'gayanusa.example': 'post_id',
    'teknonusa.example': 'content_id',
}
NUMBER_SITES = {'bolanusa.example', 'teknonusa.example'}  # their tags send numbers where an id is one
STREAMS = {site: str(5550001 + at) for at, site in enumerate(SITES)}

T, I, D = pa.string(), pa.int64(), pa.float64()


def group(kind: pa.DataType, names: str) -> pa.StructType:
    """A record whose fields are all of one type."""
    return pa.struct(dict.fromkeys(names.split(), kind))


VALUE = pa.struct({'string_value': T, 'int_value': I, 'float_value': D, 'double_value': D})
CAMPAIGN = group(T, 'campaign_id campaign_name source medium term content source_platform creative_format marketing_tactic')
SCHEMA = pa.schema(
    {
        'event_date': T,
        'event_timestamp': I,
        'event_name': T,
        'event_params': pa.list_(pa.struct({'key': T, 'value': VALUE})),
        'event_previous_timestamp': I,
        'event_value_in_usd': D,
        'event_bundle_sequence_id': I,
        'event_server_timestamp_offset': I,
        'user_id': T,
        'user_pseudo_id': T,
        'privacy_info': group(T, 'analytics_storage ads_storage uses_transient_token'),
        'user_properties': pa.list_(
            pa.struct({'key': T, 'value': pa.struct([*VALUE, pa.field('set_timestamp_micros', I)])})
        ),
        'user_first_touch_timestamp': I,
        'user_ltv': pa.struct({'revenue': D, 'currency': T}),
        'device': pa.struct(
            {
                **dict.fromkeys(('category', 'mobile_brand_name', 'mobile_model_name', 'mobile_marketing_name'), T),
                **dict.fromkeys(('mobile_os_hardware_model', 'operating_system', 'operating_system_version'), T),
                **dict.fromkeys(('vendor_id', 'advertising_id', 'language', 'is_limited_ad_tracking'), T),
                'time_zone_offset_seconds': I,
                'web_info': group(T, 'browser browser_version hostname'),
            }
        ),
        'geo': group(T, 'city country continent region sub_continent metro'),
        'app_info': group(T, 'id version install_store firebase_app_id install_source'),
        'traffic_source': group(T, 'name medium source'),
        'stream_id': T,
        'platform': T,
        'event_dimensions': group(T, 'hostname'),
        'ecommerce': pa.struct(
            {'total_item_quantity': I, 'purchase_revenue_in_usd': D, 'purchase_revenue': D, 'transaction_id': T}
        ),
        'items': pa.list_(pa.struct({'item_id': T, 'item_name': T, 'price_in_usd': D, 'price': D, 'quantity': I})),
        'collected_traffic_source': group(
            T,
            'manual_campaign_id manual_campaign_name manual_source manual_medium manual_term manual_content gclid dclid srsltid',
        ),
        'is_active_user': pa.bool_(),
        'batch_event_index': I,
        'batch_page_id': I,
        'batch_ordering_id': I,
        'session_traffic_source_last_click': pa.struct({'manual_campaign': CAMPAIGN}),
        'publisher': pa.struct({'ad_revenue_in_usd': D, 'ad_format': T, 'ad_source_name': T, 'ad_unit_id': T}),
    }
)


@dataclass
class Export:
    """The events of each day's table. An event that was delivered again is the same one, to its place in its batch."""

    tables: dict[date, list[Event | None]] = field(default_factory=dict)
    planted: Counter[str] = field(default_factory=Counter)
    _places: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _batches: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def add(self, file_day: date, fields: Fields) -> None:
        """A line of `generate.py`: an event, or one that is none, in the table of its own day."""
        is_whole, at = len(fields) == len(COLUMNS['ga4_events']), moment(fields[0])
        if not is_whole or not at or not fields[1]:
            if is_whole and fields[0] and not at:
                self.planted['left_out'] += 1  # a time is a number there
                return
            self.planted['rejects.wrong_field_count' if not is_whole else 'rejects.missing_required'] += 1
        self.planted['rows'] += 1
        day = at.date() if at and is_whole and fields[1] else file_day
        event = self._event(at, fields, day) if is_whole else None
        self.tables.setdefault(day, []).append(event)

    def _event(self, at: datetime | None, fields: Fields, day: date) -> Event:
        _, name, user, session, content, site, page, device, country, source = fields
        identity = (at, *fields[1:])
        batch = (user, session or None, page, day)
        if identity not in self._places:
            self._batches[batch] += 1
            self._places[identity] = self._batches[batch]
        micros = None if at is None else (at - UTC_OFFSET - EPOCH) // timedelta(microseconds=1)
        first_touch = int(user.partition('.')[2]) * 10**6 if user else None
        place, is_final = self._places[identity], TABLES.get(day) != 'events_intraday'
        medium = {'google': 'organic', '(direct)': '(none)', 'newsletter': 'email'}.get(source or '', 'referral')
        return {
            'event_date': f'{day:%Y%m%d}',
            'event_timestamp': micros,
            'event_name': name,
            'event_params': list(parameters(name, session, content, str(site), page, place)),
            'event_bundle_sequence_id': len(self.tables.get(day, ())) + 1,
            'user_pseudo_id': user,
            'privacy_info': {
                'analytics_storage': 'Yes' if user else 'No',
                'ads_storage': 'Yes' if user else 'No',
                'uses_transient_token': 'No' if user else 'Yes',
            },
            'user_properties': [],
            'user_first_touch_timestamp': first_touch,
            'device': {
                'category': device,
                'operating_system': 'Windows' if device == 'desktop' else 'Android',
                'language': 'id-id',
                'is_limited_ad_tracking': 'No',
                'web_info': {'browser': 'Chrome', 'browser_version': '141.0.0.0', 'hostname': f'www.{site}'},
            },
            'geo': {'country': country, 'continent': 'Asia'} if country else {},
            # Filled when the day is closed.
            'traffic_source': {'name': '(not set)', 'medium': medium, 'source': source} if is_final and source else None,
            'stream_id': STREAMS[str(site)],
            'platform': 'WEB',
            'items': [],
            'collected_traffic_source': {'manual_source': source, 'manual_medium': medium}
            if name == 'session_start' and source not in (None, '(direct)', '(data deleted)')
            else None,
            'is_active_user': True,
            'batch_event_index': 1,
            'batch_page_id': int(session) * 1000 if session else None,
            'batch_ordering_id': place,
            'session_traffic_source_last_click': {'manual_campaign': {'source': source, 'medium': medium}}
            if is_final and source
            else None,
        }


def parameters(
    name: str | None, session: str | None, content: str | None, site: str, page: str | None, place: int
) -> Iterator[Event]:
    """The parameters of an event; numbers are texts now and then, and one may have no value at all."""

    def parameter(key: str, **value: object) -> Event:
        return {'key': key, 'value': value}

    if session:
        is_text = session.endswith('7')
        yield parameter('ga_session_id', **{'string_value': session} if is_text else {'int_value': int(session)})
        yield parameter('session_engaged', **{'string_value': '1'} if is_text else {'int_value': 1})
    elif session == '':
        yield parameter('ga_session_id')
    if page:
        yield parameter('page_location', string_value=page)
    if content is not None:
        is_number = site in NUMBER_SITES and content.isdecimal() and not content.startswith('0')
        value = {'int_value': int(content)} if is_number else {'string_value': content}
        yield parameter(ARTICLE_PARAMETER[site], **value)
    if name == 'scroll':
        yield parameter('percent_scrolled', int_value=90)
    if name == 'user_engagement':
        yield parameter('engagement_time_msec', int_value=1000 * (1 + place % 60))


def export_files(export: Export) -> Iterator[tuple[str, bytes]]:
    """The files of every table; JSON is not compressed yet."""
    for day, events in sorted(export.tables.items()):
        table = f'ga4_events/{TABLES.get(day, "events")}_{day:%Y%m%d}'
        parts = [events]
        if day in SHARDED_DAYS:
            parts = [events[:SHARD_ROWS], events[SHARD_ROWS:]]
        for at, part in enumerate(parts):
            name = f'{table}-{at:012}' if len(parts) > 1 else table
            if day == AVRO_DAY:
                yield f'{name}.avro', avro(part)
            elif day not in JSON_DAYS and day != INTRADAY_JSON:
                yield f'{name}.parquet', parquet(part)
            else:
                pack = '' if len(parts) > 1 and at else '.zst' if day == ZSTD_DAY else '.gz'
                yield f'{name}.ndjson{pack}', ndjson(part)


def parquet(events: Iterable[Event | None]) -> bytes:
    """Events as BigQuery exports them, packed by zstd. What is none cannot stand in Parquet."""
    packed = io.BytesIO()
    rows = [event for event in events if event is not None]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), packed, compression='zstd', compression_level=19)
    return packed.getvalue()


def avro(events: Iterable[Event | None]) -> bytes:
    """Events as BigQuery exports them: every field may be null, but for lists."""
    packed = io.BytesIO()
    rows = [avro_value(event, pa.struct(SCHEMA)) for event in events if event is not None]
    schema = fastavro.parse_schema(avro_type(pa.struct(SCHEMA), 'Root'))
    fastavro.writer(packed, schema, rows, codec='deflate', sync_marker=b'kly_mage sample.')
    return packed.getvalue()


def avro_type(kind: pa.DataType, name: str) -> Any:
    """A type of Arrow in Avro; records have a name each."""
    if pa.types.is_list(kind):
        return {'type': 'array', 'items': avro_type(kind.value_type, name)}
    if pa.types.is_struct(kind):
        made = [(field.name, avro_type(field.type, f'{name}_{field.name}'), pa.types.is_list(field.type)) for field in kind]
        return {
            'type': 'record',
            'name': name,
            'fields': [{'name': field, 'type': of if is_list else ['null', of]} for field, of, is_list in made],
        }
    return {T: 'string', I: 'long', D: 'double', pa.bool_(): 'boolean'}[kind]


def avro_value(value: Any, kind: pa.DataType) -> Any:
    """A value with all fields of its type."""
    if pa.types.is_list(kind):
        return [avro_value(each, kind.value_type) for each in value or ()]
    if pa.types.is_struct(kind) and value is not None:
        return {field.name: avro_value(value.get(field.name), field.type) for field in kind}
    return value


def ndjson(events: Iterable[Event | None]) -> bytes:
    """Events as BigQuery's extract writes JSON: whole numbers are texts, nulls are left out. What is none is a cut line."""
    lines, last = [], ''
    for event in events:
        last = last[: len(last) // 2] if event is None else json.dumps(plain(event), separators=(',', ':'))
        lines.append(last)
    return ('\n'.join(lines) + '\n').encode()


def plain(value: Any) -> Any:
    """A value as that JSON spells it."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
