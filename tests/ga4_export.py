"""GA4's export as BigQuery writes it: events as JSON (64-bit integers are texts, nulls are left out) and as Parquet."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests import avro

SAMPLE = Path(__file__).with_name('ga4_export_sample.ndjson')
Event = dict[str, Any]

_T, _I, _D = pa.string(), pa.int64(), pa.float64()
_PARAMETERS = pa.list_(
    pa.struct(
        {
            'key': _T,
            'value': pa.struct({'string_value': _T, 'int_value': _I, 'float_value': _D, 'double_value': _D}),
        }
    )
)
_CAMPAIGN = pa.struct({'campaign_id': _T, 'campaign_name': _T, 'source': _T, 'medium': _T})
SCHEMA = pa.schema(
    {
        'event_date': _T,
        'event_timestamp': _I,
        'event_name': _T,
        'event_params': _PARAMETERS,
        'event_value_in_usd': _D,
        'event_bundle_sequence_id': _I,
        'user_id': _T,
        'user_pseudo_id': _T,
        'privacy_info': pa.struct({'analytics_storage': _T, 'ads_storage': _T, 'uses_transient_token': _T}),
        'user_first_touch_timestamp': _I,
        'user_ltv': pa.struct({'revenue': _D, 'currency': _T}),
        'device': pa.struct(
            {
                'category': _T,
                'operating_system': _T,
                'language': _T,
                'web_info': pa.struct({'browser': _T, 'browser_version': _T, 'hostname': _T}),
            }
        ),
        'geo': pa.struct({'continent': _T, 'country': _T, 'region': _T, 'city': _T}),
        'app_info': pa.struct({'id': _T, 'version': _T}),
        'traffic_source': pa.struct({'name': _T, 'medium': _T, 'source': _T}),
        'stream_id': _T,
        'platform': _T,
        'items': pa.list_(pa.struct({'item_id': _T, 'item_name': _T, 'price': _D, 'quantity': _I})),
        'collected_traffic_source': pa.struct({'manual_source': _T, 'manual_medium': _T, 'gclid': _T}),
        'is_active_user': pa.bool_(),
        'batch_event_index': _I,
        'batch_page_id': _I,
        'batch_ordering_id': _I,
        'session_traffic_source_last_click': pa.struct({'manual_campaign': _CAMPAIGN}),
        'publisher': pa.struct({'ad_revenue_in_usd': _D, 'ad_format': _T, 'ad_unit_id': _T}),
    }
)


def events(path: Path) -> list[Event]:
    """The events of an NDJSON file, packed or not."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


def write_parquet(path: Path, rows: Iterable[Event], schema: pa.Schema = SCHEMA) -> Path:
    """Write events as Parquet of Google's types."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(as_table(rows, schema), path)
    return path


def as_table(rows: Iterable[Event], schema: pa.Schema = SCHEMA) -> pa.Table:
    """Events in Arrow's types."""
    return pa.Table.from_pylist([_typed(row, pa.struct(schema)) for row in rows], schema=schema)


def as_avro(path: Path, codec: str = 'deflate') -> bytes:
    """The Avro file that BigQuery writes of a table, given as Parquet."""
    table = pq.read_table(path)
    schema = _avro('Root', pa.struct(table.schema))
    return avro.written(schema, [_listed(row, pa.struct(table.schema)) for row in table.to_pylist()], codec)


def _avro(name: str, kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        fields = {field.name: _avro(f'{name}_{field.name}', field.type) for field in kind}
        return avro.record(
            {of: kind if 'array' in str(kind)[:17] else avro.nullable(kind) for of, kind in fields.items()}, name
        )
    if pa.types.is_list(kind):
        return {'type': 'array', 'items': _avro(name, kind.value_type)}
    return {_T: 'string', _I: 'long', _D: 'double', pa.bool_(): 'boolean'}[kind]


def _listed(value: Any, kind: pa.DataType) -> Any:
    """A value, with no list where there is none: BigQuery knows no list that is null."""
    if pa.types.is_list(kind):
        return [_listed(each, kind.value_type) for each in value or []]
    if pa.types.is_struct(kind) and value is not None:
        return {field.name: _listed(value[field.name], field.type) for field in kind}
    return value


def _typed(value: Any, kind: pa.DataType) -> Any:
    """What JSON gives of a value, in the type that Parquet has for it."""
    if value is None:
        return None
    if pa.types.is_list(kind):
        return [_typed(each, kind.value_type) for each in value]
    if pa.types.is_struct(kind):
        return {field.name: _typed(value.get(field.name), field.type) for field in kind}
    return int(value) if pa.types.is_integer(kind) else value
