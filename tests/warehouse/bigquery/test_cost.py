"""What a load and a refresh read, worked out from the columns that GoogleSQL's analyzer says each statement takes."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from kly_mage.checks.bigquery import EVENT_BYTES, HASH_BYTES, KEPT_BYTES
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.ga4_events import IDENTITY
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.landing import files as landing_files
from kly_mage.warehouse.announced import Announced
from kly_mage.warehouse.bigquery import engine, gold, reading, schema, unchanged
from kly_mage.warehouse.bigquery.correcting import Delivered
from kly_mage.warehouse.bigquery.load_script import load_script
from kly_mage.warehouse.bigquery.staging import Staged, staged_columns
from kly_mage.warehouse.gold import DAY, Asked, columns
from tests.googlesql import GoogleSql, analyzer

# Bytes of a value, as Google documents them; a text has two and its own, of which these are usual ones.
WIDTHS = {'int64': 8, 'date': 8, 'timestamp': 8, 'bignumeric': 32, 'numeric': 16, 'bool': 1}
TEXTS = {
    **{'_hashrow': 34, 'session_key': 34, 'event_name': 13, 'user_pseudo_id': 24, 'session_id': 12, 'content_id': 10},
    **{'title': 60, 'author': 16, 'section': 12, 'ad_unit': 34, 'line_item': 24, 'creative': 24},
    **{'site': 20, 'page_location': 80, 'device_category': 8, 'country': 11, 'traffic_source': 10, '_file': 17, '_place': 5},
}


@pytest.fixture
def googlesql() -> Iterator[GoogleSql]:
    text = schema.everything('US', 'Asia/Jakarta')
    with analyzer(text) as found:
        assert found.refusals(text) == []
        found.scans.clear()
        yield found


def bytes_of(scans: list[tuple[str, tuple[str, ...]]], table: str, kinds: dict[str, str]) -> int:
    """Bytes that statements read of each row of a table."""
    read = [name for scanned, names in scans if scanned == table for name in names]
    return sum(WIDTHS.get(kinds.get(name, 'string'), TEXTS.get(name, 0)) for name in read)


def usual(script: str) -> str:
    """A script without what it does where something has ceased to count."""
    found, left_out = re.subn(
        r'if (exists \(select 1 from turned\)|array_length\(v_lessened\) > 0) then.*?end if;', '', script, flags=re.DOTALL
    )
    assert left_out
    return found


def test_a_load_of_events_reads_of_each_row_what_is_documented(googlesql: GoogleSql) -> None:
    source = SOURCES['ga4_events']
    kinds = {name: kind for name, kind, _ in staged_columns(source, [])}
    googlesql.add_table('staging', 'ga4_events_1', [(name, googlesql.kind(kind)) for name, kind in kinds.items()])
    googlesql.widen('bronze', 'ga4_events', [*IDENTITY])
    days = Window(date(2025, 10, 1), date(2025, 10, 2))
    files = [landing_files.table(source, f'events_{day:%Y%m%d}', day, 'UTC') for day in days]
    delivered = Delivered.of(source, [file.name for file in files], files, days, 3)
    staged_days = Staged([], Announced(source, days), days.start, days.end)
    script = load_script(
        source, 1, staged_days, [], known=IDENTITY, delivered=delivered, window=days, now=days.end, timezone='UTC'
    )
    assert googlesql.refusals(usual(script)) == []
    staged = bytes_of(googlesql.scans, 'ga4_events_1', kinds)
    placed = bytes_of(googlesql.scans, 'placed', kinds | {'_nth': 'int64', '_nth_of_version': 'int64', '_file_day': 'date'})
    of_hash = {'_utc_day': 'date', '_updated_at': 'timestamp', '_file_day': 'date', '_partition_date': 'date'}
    known = bytes_of(googlesql.scans, 'ga4_events_hashrow', of_hash)
    assert (staged + placed, known) == (EVENT_BYTES, HASH_BYTES)
    documented = (PAGE.read_text('utf-8')).replace(',', '')
    assert f'{staged + placed} bytes of each event' in documented
    assert f'{known} of each hash' in documented


def test_what_files_that_are_as_they_were_cost_is_documented(googlesql: GoogleSql) -> None:
    source, days = SOURCES['ga4_events'], Window(date(2025, 10, 1), date(2025, 10, 2))
    kinds = {name: kind for name, kind, _ in staged_columns(source, [])}
    googlesql.add_table('staging', 'ga4_events_1', [(name, googlesql.kind(kind)) for name, kind in kinds.items()])
    announced, read = Announced(source, days), {'content': 'a', 'is_read': True, 'loaded': [], 'days': ['2025-10-01']}
    placed = []
    for told in ({}, {'a.csv': read}):
        announced.told = told
        googlesql.scans.clear()
        script = load_script(
            *(source, 1, Staged([], announced, days.start, days.end), []),
            **{'known': IDENTITY, 'delivered': Delivered({}, {}), 'window': days, 'now': days.end, 'timezone': 'UTC'},
        )
        assert googlesql.refusals(usual(script)) == []
        own = kinds | {'_nth': 'int64', '_nth_of_version': 'int64', '_file_day': 'date'}
        placed.append(bytes_of(googlesql.scans, 'placed', own))
    googlesql.scans.clear()
    assert googlesql.refusal(unchanged.kept_statement(source)) is None
    texts = {'source': 12, 'file': 25, 'content': 100, 'place': 7}
    of_day = sum(texts.get(name, 0) or WIDTHS[kind] for name, kind, _ in unchanged.KEPT)
    documented = PAGE.read_text('utf-8')
    assert placed[1] - placed[0] == KEPT_BYTES
    assert f'{KEPT_BYTES} bytes of each row of a file' in documented
    assert f'{of_day} bytes of each day of a file' in documented
    kept = {column for table, names in googlesql.scans if table == 'kept' for column in names}
    assert kept == {name for name, _, _ in unchanged.KEPT}  # once for who is about to read, once in the load's script


def test_a_refresh_of_events_reads_of_each_row_what_is_documented(googlesql: GoogleSql) -> None:
    text = (Path(engine.__file__).parent / 'marts/ga4_daily_summary.sql').read_text('utf-8')
    assert googlesql.refusals(usual(text)) == []
    kinds = {
        '_partition_date': 'date',
        'event_date': 'date',
        '_updated_at': 'timestamp',
        'is_new': 'bool',
        'is_gone': 'bool',
    }
    kinds |= dict.fromkeys(('events', 'pageviews', 'sessions', 'user_engagements'), 'int64')
    documented = (PAGE.read_text('utf-8')).replace(',', '')
    new = bytes_of(googlesql.scans, 'ga4_events', kinds)
    steps = bytes_of(googlesql.scans, 'session_activity', kinds) + bytes_of(googlesql.scans, 'judged', kinds)
    counted = bytes_of(googlesql.scans, 'ga4_daily_sessions', kinds)
    assert f'{new} bytes of each new event' in documented
    assert f'{steps} of each of their sessions' in documented
    assert f'{counted} of each session of the days touched' in documented


def test_a_page_reads_of_each_row_what_is_documented(googlesql: GoogleSql) -> None:
    days = Window(date(2025, 10, 1), date(2025, 10, 2))
    kinds = dict.fromkeys(('pageviews', 'sessions', 'user_engagements', 'impressions', 'clicks'), 'int64')
    kinds |= {'date': 'date', '_partition_date': 'date', 'revenue_usd': 'bignumeric'}
    values = {'start': days.start, 'end': days.end, 'limit': 8}
    values |= dict.fromkeys(('site', 'section', 'author', 'search', 'sort', 'by'), '')
    by_day, by_author = (
        gold.queries(DAILY_SUMMARY, Asked(days, by=by), *(columns(DAILY_SUMMARY, by) or ((), ())))[0]
        for by in (DAY, 'author')
    )
    documented = next(line for line in PAGE.read_text('utf-8').splitlines() if line.startswith('| the dashboard |'))
    for text, table, told in (
        (by_day, 'daily_summary', '*Overview* {} bytes of'),
        (reading.query('articles'), 'daily_summary', '*Articles* {},'),
        (by_author, 'daily_summary', '*Authors* {};'),
        (reading.query('ads'), 'gam_delivery', '*Ads* {} of'),
        (reading.query('reach'), 'daily_summary', 'all days: {} bytes a row'),
    ):
        googlesql.scans.clear()
        assert googlesql.refusals(text, values) == []
        assert told.format(bytes_of(googlesql.scans, table, kinds)) in documented


def test_the_year_on_the_page_adds_up() -> None:
    events, sessions, table = 10_000_000, 3_000_000, 12_000_000_000
    load = 850 * events + 852 * events + 174 * 6 * events
    refresh = 75 * events + 187 * sessions + 42 * 4 * sessions  # late rows touch four days
    years = {
        'here, each': 365 * (load + refresh),
        'here, a day': 365 * (4 * (850 + 852) * events + 174 * 9 * events + refresh),
        'dbt-ga4': 365 * 4 * table,
        'all of': sum(day * table for day in range(1, 366)),
    }
    lines = PAGE.read_text('utf-8').splitlines()
    for name, read in years.items():
        (line,) = (line for line in lines if line.startswith(f'| {name}'))
        terabytes = f'{read / 1e12:.1f}' if read < 1e14 else f'{read / 1e12:.0f}'
        assert line.endswith(f'| {terabytes} TB | {read / 2**40 * 6.25:,.0f} |')


PAGE = Path(__file__).parents[3] / 'docs/bigquery.md'
