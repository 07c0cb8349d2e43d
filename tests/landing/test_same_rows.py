"""One set of rows, as every format and packing has it: the same frames, the same hashes, and nothing new to load."""

import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kly_mage.common.settings import Settings
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.rows import rowhash
from tests import avro
from tests.delivery import ads
from tests.gold import Query
from tests.landing.zone import Write, read
from tests.packing import ENDS, packed

pytestmark = pytest.mark.one_version

TEXTS = ('site', 'ad_unit', 'line_item', 'creative', 'content_id', 'note')
COLUMNS = ('served_at', *TEXTS, 'impressions', 'clicks', 'revenue_usd')
Row = dict[str, Any]


def some_rows(seed: int, count: int = 60) -> list[Row]:
    """Rows whose texts are what breaks readers, whose ids are beyond 2^53, and whose money has up to 12 digits."""
    rng = random.Random(seed)
    texts = ['', None, 'a,b', 'quo"te', 'two\nlines', ' é😀 ', '007', '1e5', 'null', 'true', '{"a": 1}', '9007199254740993']
    return [
        {'served_at': datetime(2025, 10, 1, 5, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**10))}
        | {name: rng.choice(texts) for name in TEXTS}
        | {'ad_unit': f'unit {number}', 'content_id': str(rng.randrange(2**63))}
        | {'impressions': rng.choice([1000, 2**40]), 'clicks': rng.randrange(5)}
        | {'revenue_usd': Decimal(rng.choice([0, 1, -1, 7, rng.randrange(10**12)])).scaleb(-12)}
        for number in range(count)
    ]


def as_csv(rows: list[Row], encoding: str = 'utf-8') -> bytes:
    def field(value: Any) -> str:
        if value is None:
            return ''
        text = (
            value.isoformat() if isinstance(value, datetime) else f'{value:f}' if isinstance(value, Decimal) else str(value)
        )
        return '"' + text.replace('"', '""') + '"'

    lines = [','.join(COLUMNS), *(','.join(field(row[name]) for name in COLUMNS) for row in rows)]
    return ('\n'.join(lines) + '\n').encode(encoding)


def as_json(rows: list[Row]) -> bytes:
    """Money and counts as numbers, what is null left out in every other line."""

    def value(of: Any) -> str:
        if isinstance(of, Decimal):
            return f'{of:f}'
        return json.dumps(of.isoformat() if isinstance(of, datetime) else of, ensure_ascii=False)

    lines = [
        '{' + ', '.join(f'"{n}": {value(row[n])}' for n in reversed(COLUMNS) if at % 2 or row[n] is not None) + '}'
        for at, row in enumerate(rows)
    ]
    return ('\n'.join(lines) + '\n').encode()


def as_parquet(rows: list[Row]) -> bytes:
    kinds = {'served_at': pa.timestamp('us', 'UTC'), 'impressions': pa.int64(), 'clicks': pa.int32()}
    schema = pa.schema([(n, pa.decimal128(38, 12) if n == 'revenue_usd' else kinds.get(n, pa.string())) for n in COLUMNS])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=17)
    return file.getvalue()


def as_avro(rows: list[Row]) -> bytes:
    kinds: dict[str, Any] = {'served_at': avro.MICROS, 'impressions': 'long', 'clicks': 'int', 'revenue_usd': avro.MONEY}
    schema = avro.record({name: avro.nullable(kinds.get(name, 'string')) for name in COLUMNS})
    return avro.written(schema, rows, sync_interval=500)


FORMATS: dict[str, Callable[[list[Row]], bytes]] = {
    '.csv': as_csv,
    '.utf16.csv': lambda rows: as_csv(rows, 'utf-16'),
    '.ndjson': as_json,
    '.avro': as_avro,
    '.parquet': as_parquet,
}
FILES = [(form, end) for form in FORMATS for end in (ENDS if form != '.parquet' else [''])]


@pytest.mark.parametrize('seed', range(4))
def test_the_same_rows_are_the_same_frame_and_hashes_in_every_format_and_packing(write: Write, seed: int) -> None:
    rows = some_rows(seed)
    expected = [tuple(row[name] for name in COLUMNS) for row in rows]
    hashes: list[Any] = []
    for form, end in FILES:
        name = f'gam_delivery/gam_delivery_20251001{form}{end}'
        folder = write(packed(FORMATS[form](rows), end), name)
        frame = read(folder)
        (folder / name).unlink()
        # A quoted field is written over two lines, so lines count rows only in the other formats.
        frame = frame.sort('_line')
        assert frame['_reject'].null_count() == len(rows), name
        assert frame.select(COLUMNS).rows() == expected, name
        hashed = rowhash.add_hashrow(frame.drop('_line', '_file', '_modified_at', '_delivered_at'), GAM_DELIVERY)
        hashes = hashes or hashed['_hashrow'].to_list()
        assert hashed['_hashrow'].to_list() == hashes, name
    assert len(set(hashes)) == len(rows)


def test_rows_loaded_from_one_format_are_known_in_every_other_and_gold_stays(settings: Settings, query: Query) -> None:
    rows = [row | {'revenue_usd': abs(row['revenue_usd'])} for row in some_rows(9)]
    folder = settings.data_dir / 'gam_delivery'
    gold = 'select content_id, impressions, clicks, revenue_usd from gold.gam_daily_summary order by content_id'
    before: Any = None
    for form, end in [('.csv', ''), ('.utf16.csv', '.zip'), ('.ndjson', '.zst'), ('.avro', ''), ('.parquet', '')]:
        path = folder / f'gam_delivery_20251001{form}{end}'
        path.write_bytes(packed(FORMATS[form](rows), end))
        assert ads('2025-10-01', None, '--quiet') == 0
        found = query(gold)
        before = before or found
        assert found == before
        path.unlink()
    assert sum(row[-1] for row in before) == sum(row['revenue_usd'] for row in rows)
    assert query('select count(*) from bronze.gam_delivery') == [(len(rows),)]
    assert query('select count(*) from bronze.gam_delivery_conflicts') == [(0,)]
    assert pl.DataFrame(before, orient='row').height == len({row['content_id'] for row in rows})
