"""The sample landing zone: written the same every time, counted right, and read alike by two unrelated readers."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.oracle import COLUMNS, GAM_KEY, Expected, Row, accepted_rows, expected

DATA = Path(__file__).resolve().parent.parent / 'data'
SOURCES = ('cms_articles', 'ga4_events', 'gam_delivery')


def generate(*options: str, hash_seed: str = '0') -> subprocess.CompletedProcess[str]:
    """Run the generator as a user does."""
    return subprocess.run(
        [sys.executable, str(DATA / 'generate.py'), *options],
        env={**os.environ, 'PYTHONHASHSEED': hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope='module')
def planted() -> dict[str, Any]:
    """What the generator says it wrote."""
    counts: dict[str, Any] = json.loads((DATA / 'planted.json').read_text())
    return counts


@pytest.fixture(scope='module')
def found() -> Expected:
    """What the oracle finds in the files."""
    return expected(DATA)


def landing_files(folder: Path) -> dict[str, bytes]:
    """Every file the generator writes, by its path."""
    paths = [folder / 'planted.json', *(path for source in SOURCES for path in sorted((folder / source).iterdir()))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_committed_files_are_what_the_generator_writes() -> None:
    result = generate('--check')
    assert (result.returncode, result.stderr) == (0, '')


def test_generator_writes_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name, hash_seed in (('first', '1'), ('second', '2')):
        assert generate('--out', str(tmp_path / name), hash_seed=hash_seed).returncode == 0
    assert landing_files(tmp_path / 'first') == landing_files(tmp_path / 'second')


def test_check_names_a_changed_a_missing_and_a_surplus_file(tmp_path: Path) -> None:
    copy = tmp_path / 'data'
    shutil.copytree(DATA, copy, ignore=shutil.ignore_patterns('__pycache__'))
    with (copy / 'gam_delivery' / 'gam_delivery_20251003.csv').open('a') as file:
        file.write('one,more\n')
    (copy / 'ga4_events' / 'ga4_events_20251002.csv.gz').unlink()
    (copy / 'cms_articles' / 'cms_articles_20251101.csv').write_text('content_id\n')
    result = generate('--check', '--out', str(copy))
    assert result.returncode == 1
    named = {re.sub(r'.*/', '', line) for line in result.stderr.splitlines()}
    assert named == {'gam_delivery_20251003.csv', 'ga4_events_20251002.csv.gz', 'cms_articles_20251101.csv'}


def test_sample_is_small_and_has_a_file_for_every_day() -> None:
    files = landing_files(DATA)
    assert sum(map(len, files.values())) < 10_000_000
    days = [f'202510{day:02}' for day in range(1, 32)]
    for source in SOURCES:
        assert sorted(re.findall(rf'{source}_(\d{{8}})\.csv', ' '.join(files))) == days


@pytest.mark.parametrize('source', SOURCES)
def test_every_record_is_accounted_for(source: str, planted: dict[str, Any], found: Expected) -> None:
    counts, rows = planted[source], found.rows[source]
    assert rows.read == counts['rows']
    assert rows.distinct == counts['distinct_rows']
    again = counts.get('restatements_delivered_again', 0)
    assert rows.equal == counts['equal_rows']['same_file'] + counts['equal_rows']['later_file'] + again
    assert rows.conflicting == sum(counts.get('conflicts', {}).values())
    assert rows.outside == 0
    rejects = {reason: number for (name, reason), number in found.rejects.items() if name == source}
    assert rejects == counts['rejects']
    assert rows.read == rows.distinct + rows.equal + rows.conflicting + rows.rejected


@pytest.mark.parametrize('source', ['ga4_events', 'gam_delivery'])
def test_late_rows_are_counted(source: str, planted: dict[str, Any], found: Expected) -> None:
    counts = planted[source]
    late = {int(lag.removesuffix('_days')): number for lag, number in counts['late_rows'].items()}
    assert set(late) == {1, 2, 3}
    assert found.lateness[source] == Counter({0: counts['distinct_rows'] - sum(late.values()), **late})


def test_conflicts_and_their_money_are_counted(planted: dict[str, Any], found: Expected) -> None:
    counts = planted['gam_delivery']
    money = {name: Decimal(amount) for name, amount in counts['money_usd'].items()}
    assert found.money_in_conflicts == money['conflicts']
    difference = sum(row['revenue_usd'] - row['first_revenue_usd'] for row in found.conflicts)
    assert difference == money['conflicts_minus_their_first_versions']


def total(rows: Iterable[dict[str, Any]], column: str) -> Any:
    """The sum of a column."""
    return sum(row[column] for row in rows)


def test_totals_of_gold_are_the_planted_ones(planted: dict[str, Any], found: Expected) -> None:
    gold, ga4, gam = found.daily_summary, planted['ga4_events'], planted['gam_delivery']
    assert len(found.articles) == planted['cms_articles']['articles']
    assert len(gold) == planted['daily_summary']['rows']
    assert total(gold, 'pageviews') == ga4['pageviews']
    assert total(gold, 'user_engagements') == ga4['user_engagements']
    assert total(gold, 'impressions') == gam['impressions']
    assert total(gold, 'clicks') == gam['clicks']
    assert total(gold, 'revenue_usd') == Decimal(gam['money_usd']['revenue'])
    viewed = {row['content_id'] for row in found.ga4_daily_summary}
    advertised = {row['content_id'] for row in found.gam_daily_summary}
    assert len(advertised - viewed) == planted['daily_summary']['contents_with_ads_and_no_event_all_month']
    assert len(viewed - advertised) == planted['daily_summary']['contents_with_events_and_no_ad_all_month']
    ga4_keys = {(row['event_date'], row['content_id']) for row in found.ga4_daily_summary}
    gam_keys = {(row['served_date'], row['content_id']) for row in found.gam_daily_summary}
    assert len(gam_keys - ga4_keys) == planted['daily_summary']['rows_with_ads_but_no_events']
    assert len(ga4_keys - gam_keys) == planted['daily_summary']['rows_with_events_but_no_ads']


def distinct_rows(source: str) -> list[Row]:
    """The different rows of a source, each as it was first delivered."""
    rows: dict[tuple[Any, ...], Row] = {}
    for row in accepted_rows(DATA, source, ZoneInfo('Asia/Jakarta'), 3, Expected()):
        rows.setdefault(row.identity(), row)
    return list(rows.values())


def test_irregular_events_are_counted(planted: dict[str, Any], found: Expected) -> None:
    counts = planted['ga4_events']
    rows = distinct_rows('ga4_events')
    events = [row.values for row in rows]
    known = {article['content_id'] for article in found.articles}
    assert sum(not event['content_id'] for event in events) == counts['without_content']
    assert sum(not event['user_pseudo_id'] for event in events) == counts['without_user']
    assert sum(not event['session_id'] for event in events) == counts['without_session']
    neither = sum(not event['user_pseudo_id'] and not event['session_id'] for event in events)
    assert neither == counts['without_user_and_session']
    unknown = sum(bool(event['content_id']) and event['content_id'] not in known for event in events)
    assert unknown == counts['content_unknown_to_cms']
    # Rows that only "" keeps apart from another fall together once it is taken for no value.
    assert (
        len(rows) - len({tuple(value or None for value in event.values()) for event in events})
        == (counts['rows_differing_only_by_empty_string'])
    )
    days_of_session: dict[tuple[str, str], set[Any]] = {}
    for row in rows:
        user, session = row.values['user_pseudo_id'], row.values['session_id']
        if user and session:
            days_of_session.setdefault((user, session), set()).add(row.day)
    assert len(days_of_session) == counts['sessions']
    assert sum(len(days) > 1 for days in days_of_session.values()) == counts['sessions_over_midnight']
    users_of_number = Counter(session for _, session in days_of_session)
    assert sum(users > 1 for users in users_of_number.values()) == counts['session_numbers_of_two_users']


def test_irregular_articles_are_counted(planted: dict[str, Any], found: Expected) -> None:
    counts = planted['cms_articles']
    rows = distinct_rows('cms_articles')
    versions = Counter(Counter(row.values['content_id'] for row in rows).values())
    assert versions[3] == counts['articles_edited_twice']
    assert versions[2] == counts['articles_edited_once'] + counts['articles_edited_and_taken_back']
    assert versions[1] == counts['articles'] - versions[2] - versions[3]
    published = [article['publish_timestamp'] for article in found.articles]
    assert published.count(None) == counts['articles_without_publish_timestamp']
    october = datetime(2025, 10, 1, tzinfo=ZoneInfo('Asia/Jakarta'))
    assert (
        sum(moment is not None and moment < october for moment in published) == (counts['articles_published_before_october'])
    )
    assert (
        sum(article['content_id'].startswith('0') for article in found.articles) == (counts['content_ids_with_leading_zero'])
    )
    first_event = {row['content_id']: row['event_date'] for row in reversed(found.ga4_daily_summary)}
    first_file = {row.values['content_id']: row.file_date for row in reversed(rows)}
    late = [content for content, day in first_file.items() if day and content in first_event and first_event[content] < day]
    assert len(late) == counts['articles_after_their_first_event']


def test_irregular_ad_rows_are_counted(planted: dict[str, Any], found: Expected) -> None:
    counts = planted['gam_delivery']
    conflicts = {(row['file'], row['line']) for row in found.conflicts}
    firsts = [row.values for row in distinct_rows('gam_delivery') if (row.file, row.line) not in conflicts]
    known = {article['content_id'] for article in found.articles}
    adjustments = [row['revenue_usd'] for row in firsts if row['revenue_usd'] < 0]
    assert len(adjustments) == counts['negative_revenue_rows']
    assert sum(adjustments) == Decimal(counts['money_usd']['negative_revenue'])
    assert sum(not row['content_id'] for row in firsts) == counts['without_content']
    assert (
        sum(bool(row['content_id']) and row['content_id'] not in known for row in firsts)
        == (counts['content_unknown_to_cms'])
    )
    versions = Counter(tuple(row[column] for column in GAM_KEY) for row in found.conflicts)
    assert sum(number == 2 for number in versions.values()) == counts['keys_restated_twice']


def test_readme_tells_the_planted_counts(planted: dict[str, Any]) -> None:
    lines = re.findall(r'^\| .* \| (-?[\d,.]+) \| `([\w/]+)` \|$', (DATA / 'README.md').read_text(), re.MULTILINE)
    assert len(lines) > 50
    for number, path in lines:
        counted = reduce(lambda counts, name: counts[name], path.split('/'), planted)
        assert Decimal(number.replace(',', '')) == Decimal(str(counted)), path


def query(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query in a DuckDB of its own."""
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


def read_csv(source: str, columns: str) -> str:
    """A DuckDB relation over all files of a source in the order of delivery; ragged rows are left out."""
    return f"""
        select {columns}, row_number() over () as delivered
        from read_csv(
            '{DATA}/{source}/*.csv*', all_varchar = true, union_by_name = true, header = true, delim = ',', quote = '"',
            escape = '"', nullstr = '', allow_quoted_nulls = false, ignore_errors = true, strict_mode = true
        )
    """


# Local and naive in Jakarta, NULL for what is no timestamp: the sample's three spellings and no more.
LOCAL_TIME = r"""
    case
        when {0} like '%Z' then try_cast(rtrim({0}, 'Z') as timestamp) + interval 7 hours
        else try_cast(regexp_replace({0}, '\+07:00$', '') as timestamp)
    end
"""


def test_duckdb_straight_over_the_files_finds_the_same_events(found: Expected) -> None:
    columns = ', '.join(column for column in COLUMNS['ga4_events'] if column != 'event_timestamp')
    rows = query(
        f"""
        with delivered as ({read_csv('ga4_events', f'event_timestamp, {columns}')}),
        typed as (select distinct {LOCAL_TIME.format('event_timestamp')} as local_time, {columns} from delivered)
        select
            local_time::date as event_date,
            coalesce(nullif(content_id, ''), '(not set)') as content_id,
            count(*) filter (where event_name = 'page_view') as pageviews,
            count(distinct user_pseudo_id || ' ' || session_id) filter (
                where user_pseudo_id <> '' and session_id <> ''
            ) as sessions,
            count(*) filter (where event_name = 'user_engagement') as user_engagements
        from typed
        where local_time is not null and event_name <> ''
        group by 1, 2
        order by 1, 2
        """
    )
    assert rows == [tuple(row.values()) for row in found.ga4_daily_summary]


def test_duckdb_straight_over_the_files_finds_the_same_ad_revenue(found: Expected) -> None:
    key = 'local_time, ad_unit, line_item, creative, content_id'
    rows = query(
        f"""
        with delivered as ({read_csv('gam_delivery', '*')}),
        typed as (
            select
                {LOCAL_TIME.format('served_at')} as local_time, ad_unit, line_item, creative, content_id, delivered,
                try_cast(impressions as decimal(18, 3)) as impressions,
                try_cast(clicks as decimal(18, 3)) as clicks,
                try_cast(revenue_usd as decimal(38, 12)) as revenue_usd
            from delivered
        ),
        firsts as (
            select *
            from typed
            where
                local_time is not null and ad_unit <> '' and revenue_usd is not null
                and impressions >= 0 and impressions = floor(impressions)
                and clicks >= 0 and clicks = floor(clicks)
            qualify row_number() over (partition by {key} order by delivered) = 1
        )
        select
            local_time::date as served_date,
            coalesce(nullif(content_id, ''), '(not set)') as content_id,
            sum(impressions) as impressions,
            sum(clicks) as clicks,
            sum(revenue_usd) as revenue_usd
        from firsts
        group by 1, 2
        order by 1, 2
        """
    )
    assert rows == [tuple(row.values()) for row in found.gam_daily_summary]
