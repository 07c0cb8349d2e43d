"""Every statement that goes to BigQuery is GoogleSQL, names and types included: the real analyzer says so."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.errors import LimitError
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Column, Freshness, Source, Volume
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS
from kly_mage.landing import files as landing_files
from kly_mage.warehouse.announced import Announced
from kly_mage.warehouse.bigquery import (
    account,
    at_work,
    contents,
    costs,
    earlier,
    engine,
    file_checks,
    fixed,
    forget,
    gold,
    ledger,
    look,
    persons,
    reading,
    removal,
    schema,
    shown,
    standing,
    truth,
    unchanged,
    unload,
    verify,
    waiting,
)
from kly_mage.warehouse.bigquery.account_script import Files, account_script
from kly_mage.warehouse.bigquery.account_script import columns as account_columns
from kly_mage.warehouse.bigquery.correcting import Delivered
from kly_mage.warehouse.bigquery.load import refuse
from kly_mage.warehouse.bigquery.load_script import failed_script, load_script
from kly_mage.warehouse.bigquery.staging import Staged, staged_columns
from kly_mage.warehouse.bigquery.text import here, placed, there
from kly_mage.warehouse.bigquery.together import CHANGED_BY_RUNS, OF_RUNS, corrected_days
from kly_mage.warehouse.gold import Asked, columns
from kly_mage.warehouse.request import Request
from kly_mage.warehouse.unloading import Selection
from tests.googlesql import GoogleSql, analyzer

DAYS = Window(date(2025, 10, 1), date(2025, 10, 2))
MARTS_OF_BIGQUERY = Path(engine.__file__).parent / 'marts'


@pytest.fixture(scope='module')
def schema_text() -> str:
    return schema.everything('US', 'Asia/Jakarta')


def test_two_first_commands_at_once_make_one_row_of_each_lock(schema_text: str) -> None:
    """A table comes once, whoever makes it; of two INSERTs with NOT EXISTS neither sees the row of the other."""
    assert 'insert into' not in schema_text
    locks = [text for text in schema_text.split(';\n') if text.startswith('create table') and '_lock (' in text]
    assert len(locks) == len(SOURCES) + 1
    assert all(re.search(r"\nas select ''(, cast\(null as \w+\))*$", text.rstrip(';')) for text in locks)


@pytest.fixture
def googlesql(schema_text: str) -> Iterator[GoogleSql]:
    with analyzer(schema_text) as found:
        assert found.refusals(schema_text) == []
        yield found


def test_an_archive_of_any_days_changes_fewer_partitions_than_a_job_may(schema_text: str) -> None:
    """4,000 at once: eleven years of days, 333 of months. Of other sources a command names the days that it loads."""
    by = dict(re.findall(r'exists bronze\.(\w+)_hashrow \(\n.*?\n\)\npartition by (.*?)\n', schema_text, re.DOTALL))
    assert by == {
        'cms_articles': 'date_trunc(_utc_day, month)',
        'ga4_events': '_utc_day',
        'gam_delivery': '_utc_day',
    }


def script_of(source: Source, undeclared: list[str], *, has_unread: bool = False) -> str:
    """The script of a load of two days, each with a table of its own where the source has such.

    Args:
        has_unread: whether a file is as it was, and of another one a day.
    """
    days = Window(date(2025, 10, 1), date(2025, 10, 2))
    kind = source.complete[-1] if source.complete else source.name
    files = [landing_files.table(source, f'{kind}_{day:%Y%m%d}', day, 'UTC') for day in days]
    delivered = Delivered.of(source, [file.name for file in files], files, days, 3)
    announced = Announced(source, days)
    if has_unread:
        announced.told = {
            'a.csv': {'content': 'a', 'is_read': False},
            'b.csv': {'content': 'b', 'is_read': True, 'loaded': ['2025-10-01'], 'days': ['2025-10-01', '2025-10-02']},
        }
    staged = Staged([], announced, days.start, days.end)
    known = {'known': ['stream_id'], 'delivered': delivered}
    return load_script(source, 1, staged, undeclared, **known, window=days, now=days.end, timezone='UTC')


@pytest.mark.parametrize('undeclared', [[], ['device']], ids=['declared columns', 'one more'])
@pytest.mark.parametrize('name', sorted(SOURCES))
def test_a_load_is_googlesql(googlesql: GoogleSql, schema_text: str, name: str, undeclared: list[str]) -> None:
    source = SOURCES[name]
    staged = staged_columns(source, undeclared)
    made = ', '.join(f'{column} {kind}' for column, kind, _ in staged)
    assert googlesql.refusal(f'create table staging.{name}_1 ({made})') is None
    kinds = [(column, googlesql.kind(kind)) for column, kind, _ in staged]
    googlesql.add_table('staging', f'{name}_1', kinds)
    googlesql.widen('bronze', name, [*undeclared, 'stream_id'])
    for has_unread in (False, True):
        assert googlesql.refusals(script_of(source, undeclared, has_unread=has_unread)) == []
    assert googlesql.refusal(unchanged.kept_statement(source)) is None
    assert googlesql.refusals(failed_script(source, 1)) == []


@pytest.mark.parametrize(
    'what', [{'volume': Volume(level='stop')}, {'freshness': Freshness(level='stop')}], ids=['volume', 'age']
)
def test_a_load_that_its_volume_or_age_may_stop_is_googlesql(googlesql: GoogleSql, what: dict[str, Any]) -> None:
    source = replace(SOURCES['gam_delivery'], **what)
    kinds = [(column, googlesql.kind(kind)) for column, kind, _ in staged_columns(source, [])]
    googlesql.add_table('staging', 'gam_delivery_1', kinds)
    for has_unread in (False, True):
        assert googlesql.refusals(script_of(source, [], has_unread=has_unread)) == []


def test_a_load_where_restatements_apply_is_googlesql(googlesql: GoogleSql) -> None:
    source = replace(SOURCES['gam_delivery'], restatements='apply')
    kinds = [(column, googlesql.kind(kind)) for column, kind, _ in staged_columns(source, [])]
    googlesql.add_table('staging', 'gam_delivery_1', kinds)
    script = script_of(source, [])
    assert googlesql.refusals(script) == []
    assert googlesql.refusals(script.replace("then 'restated'", 'then 1')) != []


def test_what_brings_an_earlier_project_over_is_googlesql(googlesql: GoogleSql) -> None:
    scripts = [earlier.counted_script(), earlier.noted_script({'source ga4_events': "v1 over 'all'"})]
    scripts += [earlier.days_script(source) for source in SOURCES.values() if source.holds_whole_days]
    assert [googlesql.refusals(script) for script in scripts] == [[]] * 3
    assert googlesql.refusal(earlier.MARKED) is None


@pytest.mark.parametrize('path', sorted(MARTS_OF_BIGQUERY.glob('*.sql')), ids=lambda path: path.stem)
def test_a_mart_is_googlesql(googlesql: GoogleSql, path: Path) -> None:
    assert googlesql.refusals(path.read_text('utf-8')) == []


def test_what_verify_and_rebuild_send_is_googlesql(googlesql: GoogleSql) -> None:
    columns = {name: [*schema.bronze_columns(source)] for name, source in SOURCES.items()}
    columns['ga4_events'].append('device')  # a column that files have brought
    googlesql.widen('bronze', 'ga4_events', ['device'])
    assert googlesql.refusal(verify.statement(verify.checks(columns, 'Asia/Jakarta'))) is None
    assert googlesql.refusals(truth.rebuild_script()) == []


@pytest.mark.parametrize('days', [None, DAYS], ids=['all days', 'two days'])
@pytest.mark.parametrize('name', sorted(SOURCES))
def test_an_account_of_a_source_is_googlesql(googlesql: GoogleSql, name: str, days: Window | None) -> None:
    source = SOURCES[name]
    staged = [(column, googlesql.kind(kind)) for column, kind, _ in account_columns(source)]
    googlesql.add_table('staging', f'reconcile_{name}', staged)
    files = Files(f'staging.reconcile_{name}', DAYS.start, DAYS.end, [1, 3])
    undeclared = ['device'] if source.version_columns else []  # a column that files have brought
    googlesql.widen('bronze', name, undeclared)
    for each in (source, replace(source, restatements='apply')):
        assert googlesql.refusals(account_script(each, files, undeclared, days, 'Asia/Jakarta')) == []
    asked = [file_checks.facts_statement(days), *(file_checks.days_statement(mart, days) for mart in MARTS)]
    assert [googlesql.refusal(statement) for statement in asked] == [None] * len(asked)
    assert googlesql.refusals(file_checks.keep_script(days)) == []
    assert googlesql.refusals(removal.remove_script(source)) == []


@pytest.mark.parametrize(
    'chosen', [{}, {'load_id': 7}, {'days': DAYS}, {'file': 'a.csv'}], ids=['all of it', 'a load', 'days', 'a file']
)
@pytest.mark.parametrize('name', sorted(SOURCES))
def test_what_takes_rows_out_is_googlesql(googlesql: GoogleSql, name: str, chosen: dict[str, Any]) -> None:
    table = f'staging.unload_{name}' if 'file' in chosen else None
    googlesql.add_table('staging', f'unload_{name}', [('_hashrow', googlesql.kind('string'))])
    what = Selection(SOURCES[name], **chosen)
    assert googlesql.refusals(unload.look_script(what, table)) == []
    assert googlesql.refusals(unload.unload_script(what, table, 8)) == []


def test_what_forgets_a_person_is_googlesql(googlesql: GoogleSql) -> None:
    sources = [source for source in SOURCES.values() if source.person_column]
    # One whose rows come in versions as well, none of which is declared.
    sources.append(replace(SOURCES['gam_delivery'], columns=_with_person(SOURCES['gam_delivery'])))
    values: dict[str, Any] = {'person_key': 'k', 'persons': ['p'], 'fresh_key': 'k', 'forgotten_by': 'Ani', 'source': 'x'}
    said = ('loads', 'errors', 'faults', 'files', 'reasons')
    values |= {f'{each}_{source.name}': ['1'] for each in said for source in sources}
    scripts = [forget.look_script(sources), forget.forget_script(sources), forget.KEYED, persons.asked(sources[0])]
    scripts += [f'{each};' for each in (forget.KEY, forget.ERRORS, forget.FILES, persons.PERSONS)]
    assert [googlesql.refusals(script, values) for script in scripts] == [[]] * len(scripts)
    assert googlesql.refusals(scripts[1].replace('rows_removed = known', 'rows_remove = known'), values) != []


@pytest.mark.parametrize('script', [fixed.AGREE, forget.KEYED, fixed.once("select 'timezone' as name, 'UTC' as value")])
def test_what_is_fixed_once_is_fixed_behind_a_lock(googlesql: GoogleSql, script: str) -> None:
    """Of two at once BigQuery lets both insert: it says so of INSERT, and no emulator does it."""
    steps = [step.strip() for step in script.split(';')]
    assert [step.partition(' ')[0] for step in steps] == ['begin', 'update', 'insert', 'commit', '']
    assert steps[1].startswith('update ops.daily_summary_lock set ')
    assert googlesql.refusals(script, {'value': 'x', 'fresh_key': 'k'}) == []


def _with_person(source: Source) -> tuple[Column, ...]:
    return tuple(replace(column, person=column.name == 'creative') for column in source.columns)


def test_a_column_as_bigquery_calls_its_own_is_refused_and_none_of_ours_is_called_so(googlesql: GoogleSql) -> None:
    for name in ('_FILE_name', '_partition', '_Table_1', '__root__x', '_colidentifier', '_CHANGE_TYPE'):
        assert googlesql.refusal(f'select 1 as `{name}`') == f'Invalid field name "{name}"'
        assert googlesql.refusal(f"select '{name}' as x") is None
        with pytest.raises(LimitError, match='cannot have a column'):
            refuse(Request(SOURCES['ga4_events'], DAYS, [], [], [name], 'a test'))
    # Ours leave as others, and come back as they were.
    assert (
        placed('select _partition_date, a._file_day from bronze.x', '') == 'select _local_date, a._day_of_file from bronze.x'
    )
    assert [here(there(own)) for own in ('_partition_date', '_file_day', '_file')] == [
        '_partition_date',
        '_file_day',
        '_file',
    ]


def test_every_table_of_gold_has_its_statements() -> None:
    assert {path.stem for path in MARTS_OF_BIGQUERY.glob('*.sql')} == {DAILY_SUMMARY.name, *(mart.name for mart in MARTS)}


def test_what_the_ledger_and_a_check_ask_is_googlesql(googlesql: GoogleSql) -> None:
    asked = [
        ledger.READ_AS,
        account.DELIVERIES,
        ledger.FILES_READ,
        ledger.SEEN,
        unload.SOURCE_OF,
        ledger.FIRST_WAITING,
        ledger.LOADED_AS_OWN,
        shown.LOADED_LAST,
        *(CHANGED_BY_RUNS, OF_RUNS, corrected_days(SOURCES['gam_delivery'], [1, 2])),
        look.summary_statement(),
        *map(look.counts_statement, SOURCES.values()),
    ]
    asked += [costs.NOTE, costs.BY_DAY, standing.conflicts_statement(SOURCES.values())]
    asked += [standing.LOADS, standing.FILES, standing.LAST_LOADS, standing.NEWEST_DAYS]
    asked += [standing.REJECTS, standing.ROWS, standing.OUTSIDE, standing.LATE, standing.ACCEPT, standing.ACCEPTED]
    asked += [standing.LOADED, standing.ASKED, standing.NEWEST_UNTIL]
    asked += [at_work.SIGN, at_work.BEGUN, contents.CHANGED, contents.USABLE]
    asked.append(waiting.TAKEN)
    scripts = [waiting.mark_script('ga4_events', column) for column in waiting.MARKS]
    scripts.append(waiting.accept_script('bronze.rejects', waiting.WAIT, unchanged.decided(SOURCES)))
    assert [googlesql.refusals(script) for script in scripts] == [[]] * len(scripts)
    for days in (None, Window(date(2025, 10, 1), date(2025, 10, 2))):
        asked += [waiting.rejects_statement(days), waiting.causes_statement(days), waiting.count_statement(SOURCES, days)]
        versioned = [source for source in SOURCES.values() if source.version_columns]
        asked += [waiting.conflicts_statement(source, [], days) for source in versioned]
        asked += [gold.stream_query(table, days) for table in (DAILY_SUMMARY, *MARTS)]
    googlesql.widen('bronze', 'gam_delivery', ['device'])  # a column that files have brought
    asked.append(waiting.conflicts_statement(SOURCES['gam_delivery'], ['device'], None))
    assert [googlesql.refusal(statement) for statement in asked] == [None] * len(asked)


def test_what_a_check_asks_of_the_list_of_jobs_is_googlesql(googlesql: GoogleSql) -> None:
    columns = {'creation_time': 'timestamp', 'job_id': 'string', 'parent_job_id': 'string'}
    columns |= {'total_bytes_processed': 'int64', 'total_bytes_billed': 'int64'}
    jobs = [(name, googlesql.kind(kind)) for name, kind in columns.items()]
    googlesql.add_table('region-asia-southeast2.INFORMATION_SCHEMA', 'JOBS', jobs)
    statement = look.billed_statement('asia-southeast2')
    assert googlesql.refusal(statement) is None
    assert 'total_bytes_build' in (googlesql.refusal(statement.replace('bytes_billed', 'bytes_build')) or '')


def test_what_show_asks_is_googlesql(googlesql: GoogleSql) -> None:
    days = Window(date(2025, 10, 1), date(2025, 10, 31))
    for table, by, article in product((DAILY_SUMMARY, *MARTS), (None, 'day', 'article', 'site'), (None, '7')):
        if found := columns(table, by):
            lines, totals, _ = gold.queries(table, Asked(days, article, by, None, 8), *found)
            assert [refused for text in (lines, totals) if text and (refused := googlesql.refusal(text))] == []


def test_what_a_page_asks_is_one_query_of_googlesql(googlesql: GoogleSql) -> None:
    moment = datetime(2025, 10, 1, tzinfo=UTC)
    values: dict[str, Any] = {'start': DAYS.start, 'end': DAYS.end, 'day': DAYS.start, 'limit': 8, 'load': 7}
    values |= dict.fromkeys(('article', 'site', 'section', 'author', 'search', 'sort', 'by', 'wanted', 'source'), '')
    moments = ('first', 'last', 'eventsfrom', 'eventsto', 'adsfrom', 'adsto')
    nothing = dict.fromkeys(('load', *moments))
    for path in reading.QUERIES.glob('*.sql'):
        text = path.read_text('utf-8')
        for given in (dict.fromkeys(moments, moment), *([nothing] if 'cast(@' in text else [])):
            # In parentheses stands a query, and nothing that changes something.
            assert googlesql.refusals(f'select * from (\n{text}\n)', values | given) == [], path.name


@pytest.mark.parametrize(
    ('path', 'right', 'wrong'),
    [
        ('ga4_daily_summary', 'countif(judged.is_new)', 'countif(judged.is_knew)'),
        ('gam_daily_summary', 'sum(clicks) as clicks', 'string_agg(ad_unit) as clicks'),
        ('daily_summary', 'from gold.ga4_daily_summary where', 'from gold.ga4_dayly_summary where'),
        ('daily_summary', "coalesce(nullif(article.site, ''), '(not set)') as site", 'article.publish_timestamp as site'),
    ],
)
def test_the_analyzer_refuses_a_planted_error(googlesql: GoogleSql, path: str, right: str, wrong: str) -> None:
    text = (MARTS_OF_BIGQUERY / f'{path}.sql').read_text('utf-8')
    assert right in text
    assert googlesql.refusals(text.replace(right, wrong)) != []
