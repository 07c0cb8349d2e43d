"""What BigQuery works out of a row, by GoogleSQL's own evaluator: hashes, sessions, money, ratios are Python's."""

import hashlib
import json
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.bigquery import engine, gold, reading
from kly_mage.warehouse.bigquery.hash_sql import hash_expression
from kly_mage.warehouse.gold import Asked, columns
from tests.googlesql import GoogleSql, analyzer
from tests.rows.test_rowhash import EVERY_KIND, PARTS, frame_of

TABLE = 'given'
TYPED = {'count': 'cast({} as int64)', 'money': 'cast({} as bignumeric)', 'timestamp': 'timestamp_micros(cast({} as int64))'}
TEXTS = (
    None,
    '',
    ' ',
    '\x1f',
    '\x1b',
    '\x1b\x1f',
    'a\x1f=b',
    'it\'s \\ "so"',
    'é',
    'e\u0301',
    '😀',
    ''.join(PARTS),
    '0',
    'v1',
)
VALUES = {
    'count': ('0', '1', '1.0', '01', str(2**63 - 1), None),
    'money': ('0', '-0', '0.50', '1e-12', '-999999999999999999.999999999999', '999999999999999999.000000000001', '1E3'),
    'timestamp': (
        '2025-10-01T00:00:00+07:00',
        '1969-12-31T23:59:59.999999Z',
        '2025-09-30 17:00:00.1',
        '2199-12-31T00:00:00Z',
    ),
    'text': TEXTS,
    'id': TEXTS,
}


@pytest.fixture(scope='module')
def googlesql() -> Iterator[GoogleSql]:
    with analyzer('') as found:
        yield found


def evaluated(googlesql: GoogleSql, query: str, rows: list[dict[str, str | None]]) -> list[list[object]]:
    """What a query over ``given`` gives, whose columns are texts."""
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    googlesql.add_nested('', TABLE, schema)
    return googlesql.evaluate(query, TABLE, schema, rows)


@pytest.mark.parametrize('source', [*SOURCES.values(), EVERY_KIND], ids=lambda source: source.name)
def test_a_row_in_bigquery_has_the_hash_of_its_file(googlesql: GoogleSql, source: Source) -> None:
    frame = odd_rows(source)
    kinds = {column: kind_of(source, column) for column in frame.columns if not column.startswith('_')}
    typed = [f'{TYPED.get(kind, "{}").format(f"`{column}`")} as `{column}`' for column, kind in kinds.items()]
    query = f'select {hash_expression(source, kinds)} from (select `n`, {", ".join(typed)} from {TABLE}) order by `n`'
    assert len(frame) > 30
    assert [row for (row,) in evaluated(googlesql, query, told(frame))] == frame['_hashrow'].to_list()


def odd_rows(source: Source) -> pl.DataFrame:
    """Rows whose columns walk through the odd values of their kind, each at its own pace; those that can be used."""
    names, rows = [*source.names, 'not declared'], []
    for n in range(60):
        row = dict[str, str | None]()
        for place, name in enumerate(names):
            values = VALUES[kind_of(source, name)]
            row[name] = values[(n // (1 + place % 3) + place) % len(values)]
        rows.append(row)
    frame = frame_of(rows, source)
    return frame.filter(pl.col('_reject').is_null()).with_row_index('_n')


def kind_of(source: Source, name: str) -> str:
    return source.column(name).kind if name in source.names else 'text'


def told(frame: pl.DataFrame) -> list[dict[str, str | None]]:
    """The typed rows as texts that BigQuery casts: instants as microseconds, and which row it is."""
    text = frame.with_columns(pl.col(pl.Datetime).dt.epoch('us')).cast(pl.String)
    rows = text.select(pl.col('_n').str.zfill(4).alias('n'), pl.exclude('^_.*$'))
    return rows.to_dicts()


def test_a_session_on_an_article_has_one_key_whatever_its_ids_look_like(googlesql: GoogleSql) -> None:
    text = (Path(engine.__file__).parent / 'marts/ga4_daily_summary.sql').read_text('utf-8')
    (expression,) = re.findall(r'left\(to_hex\(sha256\(concat\(.*?\)\)\), 32\)(?= as session_key)', text, re.DOTALL)
    ids = ('1', '11', '111', 'é', '😀', ':', '1:')
    given = [{'user_id': u, 'session': s, 'content_id': c} for u in ids for s in ids for c in ('7', '1', '(not set)')]
    keys = [key for (key,) in evaluated(googlesql, f'select {expression} from {TABLE}', given)]
    assert len(set(keys)) == len(given)
    texts = (
        f'{len(row["user_id"])}:{len(row["session"])}:{row["user_id"]}{row["session"]}{row["content_id"]}' for row in given
    )
    assert keys == [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]


def test_money_adds_up_exactly_and_ratios_are_rounded_as_by_hand(googlesql: GoogleSql) -> None:
    texts, numbers = columns(DAILY_SUMMARY, 'site') or ((), ())
    lines, _, _ = gold.queries(DAILY_SUMMARY, Asked(None, None, 'site', None, None), texts, numbers)
    kinds = {
        'pageviews': 'int64',
        'sessions': 'int64',
        'user_engagements': 'int64',
        'impressions': 'int64',
        'clicks': 'int64',
    }
    typed = [f'cast({name} as {kind}) as {name}' for name, kind in kinds.items()]
    within = f'(select site, {", ".join(typed)}, cast(revenue_usd as bignumeric) as revenue_usd from {TABLE})'

    def day(site: str, revenue: str, views: int, shown: int, clicks: int) -> dict[str, str | None]:
        counts = {'pageviews': views, 'sessions': 1, 'user_engagements': 0, 'impressions': shown, 'clicks': clicks}
        return {'site': site, 'revenue_usd': revenue, **{name: str(count) for name, count in counts.items()}}

    given = [
        day('cents', '999999999999999999.999999999999', 3, 7, 1),
        day('cents', '-999999999999999999.999999999998', 0, 0, 0),
        day('half', '0.000001', 2000, 2000, 1),  # 0.000001 * 1000 / 2000 ends in exactly a half behind six digits
        day('minus half', '-0.000001', 2000, 2000, 3),
        day('nothing', '1', 0, 0, 0),
    ]
    asked = ', '.join(f'cast({name} as string)' for name in ('revenue_usd', 'page_rpm_usd', 'ecpm_usd', 'ctr'))
    found = evaluated(
        googlesql, f'select site, {asked} from ({lines.replace(DAILY_SUMMARY.table, within)}) order by site', given
    )

    def ratio(of: Decimal, per: int) -> str | None:
        if not per:
            return None
        return f'{(of / per).quantize(Decimal("0.000001"), ROUND_HALF_UP).normalize():f}'

    assert found == [
        ['cents', '0.000000000001', '0', '0', ratio(Decimal(1), 7)],
        ['half', '0.000001', '0.000001', '0.000001', '0.0005'],
        ['minus half', '-0.000001', '-0.000001', '-0.000001', '0.0015'],
        ['nothing', '1', None, None, None],
    ]


def test_the_files_that_a_load_has_left_out_are_told_as_they_were_noted(googlesql: GoogleSql) -> None:
    reasons = {
        'gam_delivery/a.csv': 'required column missing: clicks; the file has "a", b',
        'x/it\'s "so" \\ \\" 😀é\n.csv': '',
        '": "': '": "", "": "',
        '': '\\',
    }
    text = (reading.QUERIES / 'files_of_load.sql').read_text('utf-8').replace('@load', "'1'").replace('ops.loads', TABLE)
    noted, _, rest = text.partition('\n\nselect')
    left_out = rest.partition('union all')[2].partition('order by')[0]
    for of_load in (reasons, {}):
        given: list[dict[str, str | None]] = [
            {'load_id': '1', 'left_out': json.dumps(of_load, ensure_ascii=False)},
            {'load_id': '2', 'left_out': '{"b": "c"}'},
        ]
        found = evaluated(googlesql, f'{noted} {left_out}', given)
        assert {file: reason for file, _, _, reason in found} == of_load


@pytest.mark.parametrize('by', ['ad_unit', 'line_item', 'creative', 'site'])
def test_ads_without_a_name_are_one_line(googlesql: GoogleSql, by: str) -> None:
    text = (reading.QUERIES / 'ads.sql').read_text('utf-8')
    day = "date '2025-10-01'"
    for name, value in (('@by', f"'{by}'"), ('@start', day), ('@end', day)):
        text = text.replace(name, value)
    counts = '1 as impressions, 1 as clicks, 1 as sign, cast(n as bignumeric) as revenue_usd'
    rows = f'(select *, {day} as _partition_date, {counts} from {TABLE})'
    text = re.sub(r'bronze\.gam_delivery(_corrections)?', rows, text)
    names = ('ad_unit', 'line_item', 'creative', 'site')
    given: list[dict[str, str | None]] = [dict.fromkeys(names, name) | {'n': '1'} for name in (None, '', '(not set)', 'top')]
    found = evaluated(googlesql, text, given)
    assert [row[:3] for row in found] == [['(not set)', 6, 6], ['top', 2, 2]]  # each as a row and as a correction
