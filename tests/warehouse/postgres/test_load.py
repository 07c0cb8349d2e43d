"""What becomes of every row: bronze once, or known, equal, rejected, conflicting; to the row and to the cent."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres import hash_sql, tables
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import HEADERS, ad, ads, article, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact

PARTS = 'rows_read, rows_distinct, rows_duplicate, rows_new, rows_already_loaded, rows_rejected, rows_conflicting'


def last_load(query: Query, source: str) -> tuple[Any, ...]:
    """Read, distinct, equal, new, known, rejected, conflicting."""
    return query(f'select {PARTS} from ops.loads where source = %s order by load_id desc limit 1', source)[0]


def money(query: Query, table: str, column: str = 'revenue_usd') -> Decimal:
    ((amount,),) = query(f'select coalesce(sum({column}), 0) from {table}')
    return Decimal(amount)


# --- distinct, new, known ---------------------------------------------------------------------------------------------


def test_duplicate_rows_within_a_load_count_once(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u1'), event('u2'), event('u1'))
    deliver(settings, 'ga4_events_20251001_b.csv', event('u2'), event('u3'))
    backfill()
    # 6 rows: u1 three times, u2 in both files, u3 once: 3 distinct, 3 duplicates.
    assert last_load(query, 'ga4_events') == (6, 3, 3, 3, 0, 0, 0)
    assert query('select user_pseudo_id from bronze.ga4_events order by 1') == [('u1',), ('u2',), ('u3',)]


def test_a_row_is_inserted_once_however_often_and_in_whatever_file_it_comes(settings: Settings, query: Query) -> None:
    path = deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b'))
    assert ads() == 0
    stamps = query('select ad_unit, _updated_at, _created_at, _load_id from bronze.gam_delivery order by 1')
    assert ads('2025-10-01', None, '--reread') == 0
    assert last_load(query, 'gam_delivery') == (2, 2, 0, 0, 2, 0, 0)
    path.rename(path.with_name('gam_delivery_20251002.csv'))  # all of it late, and one more
    deliver(settings, 'gam_delivery_20251003.csv.gz', ad('c'), ad('a'))
    assert ads() == 0
    # From the 2nd: a, b known; from the 3rd: c new, a known.
    assert last_load(query, 'gam_delivery')[3:5] == (1, 3)
    assert query('select ad_unit, _updated_at, _created_at, _load_id from bronze.gam_delivery order by 1')[:2] == stamps
    assert query('select count(*) from bronze.gam_delivery') == [(3,)]


def test_a_row_is_told_apart_by_what_it_says_not_by_how_it_is_spelled(settings: Settings, query: Query) -> None:
    deliver(
        settings,
        'gam_delivery_20251001.csv',
        '2025-10-01T05:00:00Z,top,line,creative,7,10,0,1',
        '2025-10-01T12:00:00+07:00,top,line,creative,7,10.0,0,1.000',
        '2025-10-01 12:00:00,top,line,creative,7,1e1,-0,1.0',
    )
    deliver(
        settings,
        'gam_delivery_20251002.csv',
        '1,10,0,2025-10-01T05:00:00.000000Z,7,creative,line,top,',
        header='revenue_usd,impressions,clicks,served_at,content_id,creative,line_item,ad_unit,new_column',
    )
    assert ads('2025-10-01', '2025-10-02') == 0
    assert last_load(query, 'gam_delivery') == (4, 1, 3, 1, 0, 0, 0)


def test_nothing_and_an_empty_text_are_two_rows(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', event(content=''), event(content='""'))
    backfill()
    assert query('select content_id from bronze.ga4_events order by 1') == [('',), (None,)]
    assert query('select content_id, pageviews from gold.ga4_daily_summary') == [('(not set)', 2)]


def test_the_registry_knows_exactly_the_rows_of_bronze_and_leads_to_them(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', *(event(f'u{number}') for number in range(20)))
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('a', '2'), ad('b'))
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('7', 'Edited'), article('8'))
    backfill()
    backfill()
    for source, rows in (('ga4_events', 20), ('gam_delivery', 2), ('cms_articles', 3)):
        assert query(
            f'select count(*), count(*) filter (where r._hashrow = b._hashrow and r._updated_at = b._updated_at)'
            f' from bronze.{source} as b full join bronze.{source}_hashrow as r using (_hashrow)'
        ) == [(rows, rows)]


@pytest.mark.parametrize('source', SOURCES)
def test_the_stored_hash_is_the_hash_of_the_stored_row(settings: Settings, query: Query, source: str) -> None:
    rows = {'ga4_events': event, 'gam_delivery': ad, 'cms_articles': article}
    deliver(settings, f'{source}_20251001.csv', rows[source]('"é\x1f\x1b=\nx"'), rows[source]('1'))
    backfill()
    with connect(settings) as connection, connection.cursor() as cursor:
        columns = tables.table_columns(cursor, SOURCES[source])
    same = f'{hash_sql.hashrow(SOURCES[source], columns)} = _hashrow'
    assert query(f'select {same}, count(*) from bronze.{source} group by 1') == [(True, 2)]


def test_rows_know_their_day_their_load_and_when_they_came(settings: Settings, query: Query) -> None:
    deliver(
        settings, 'ga4_events_20251001.csv', '2025-09-30T17:00:00Z,page_view,u1,1,7', '2025-09-30T16:59:59Z,page_view,u1,1,7'
    )
    backfill('2025-09-30', '2025-10-01')
    (first, second) = query(
        'select _partition_date::text, _load_id = (select load_id from ops.loads where source = %s),'
        ' _created_at <= clock_timestamp(), _updated_at >= _created_at from bronze.ga4_events order by 1',
        'ga4_events',
    )
    assert (first, second) == (('2025-09-30', True, True, True), ('2025-10-01', True, True, True))


# --- rejects ----------------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_used_stands_in_rejects_once_and_the_others_load(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b', 'NaN'), ad('c'), 'x,y', ad('d', clicks='-1'))
    assert ads() == 3
    assert last_load(query, 'gam_delivery') == (5, 2, 0, 2, 0, 3, 0)
    rejects = 'select file, line, column_name, value, reason, row, day::text, load_id from bronze.rejects order by line'
    before = query(rejects)
    name = 'gam_delivery/gam_delivery_20251001.csv'
    assert [row[:4] for row in before] == [(name, 3, 'revenue_usd', 'NaN'), (name, 5, None, None), (name, 6, 'clicks', '-1')]
    assert before[0][4].startswith('not a finite decimal')
    assert before[0][5] == {
        'served_at': '2025-10-01T12:00:00+07:00',
        'site': None,
        'ad_unit': 'b',
        'line_item': 'line',
        'creative': 'creative',
        'content_id': '7',
        'impressions': '10',
        'clicks': '0',
        'revenue_usd': 'NaN',
    }
    assert before[1][4:7] == ('2 fields, the header has 8', {'line': 'x,y'}, None)
    assert [row[6] for row in before] == ['2025-10-01', None, '2025-10-01']
    assert ads() == 3
    assert ads('2025-09-30', '2025-10-01') == 3
    assert query(rejects) == before
    assert last_load(query, 'gam_delivery') == (5, 2, 0, 0, 0, 3, 0)
    assert query('select rows_unchanged from ops.loads order by load_id desc limit 1') == [(2,)]
    assert ads('2025-10-01', None, '--reread') == 3
    assert query(rejects) == before
    assert last_load(query, 'gam_delivery') == (5, 2, 0, 0, 2, 3, 0)


def test_the_same_broken_line_twice_is_two_lines_to_look_at(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', 'x'), ad('a', 'x'))
    assert ads() == 3
    assert query('select line from bronze.rejects order by 1') == [(2,), (3,)]


def test_a_corrected_file_leaves_the_old_reject_and_loads_the_row(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', 'x'))
    assert ads() == 3
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2.5'))
    assert ads() == 0
    assert query('select value from bronze.rejects') == [('x',)]
    assert money(query, 'gold.gam_daily_summary') == Decimal('2.5')


# --- conflicts --------------------------------------------------------------------------------------------------------

CONFLICTS = (
    'select revenue_usd, counted_revenue_usd, _file, _line from bronze.gam_delivery_conflicts order by _delivered_at, 4'
)


def test_the_first_version_counts_and_every_other_is_kept_once_with_both_numbers(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1.00'), ad('a', '1.25'))
    assert ads() == 3
    assert last_load(query, 'gam_delivery') == (2, 2, 0, 1, 0, 0, 1)
    deliver(settings, 'gam_delivery_20251002.csv', ad('a', '0.75'), ad('a', '1.25'), ad('a', '1'))
    assert ads() == 3
    assert ads() == 3
    # 1 counts. 1.25 came first in line 3 of the 1st, 0.75 in line 2 of the 2nd.
    one, two = 'gam_delivery/gam_delivery_20251001.csv', 'gam_delivery/gam_delivery_20251002.csv'
    assert query(CONFLICTS) == [(Decimal('1.25'), 1, one, 3), (Decimal('0.75'), 1, two, 2)]
    assert query('select revenue_usd from bronze.gam_delivery') == [(1,)]
    assert query('select revenue_usd from gold.gam_daily_summary') == [(1,)]


@pytest.mark.parametrize('changed', [ad('a', impressions='11'), ad('a', clicks='1'), ad('a', '1.000000000001')])
def test_any_other_number_makes_a_version(settings: Settings, query: Query, changed: str) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'))
    deliver(settings, 'gam_delivery_20251002.csv', changed)
    assert ads() == 3
    assert query('select count(*) from bronze.gam_delivery_conflicts') == [(1,)]
    assert query('select impressions, clicks, revenue_usd from gold.gam_daily_summary') == [(10, 0, 1)]


def test_a_version_that_lacks_a_value_is_told_from_one_that_has_it(settings: Settings, query: Query) -> None:
    header = f'{HEADERS["gam_delivery"]},site'
    deliver(
        settings, 'gam_delivery_20251001.csv', f'{ad("a")},', f'{ad("a")},""', f'{ad("a")},x', f'{ad("a")},', header=header
    )
    assert ads() == 3
    assert last_load(query, 'gam_delivery') == (4, 3, 1, 1, 0, 0, 2)
    assert query('select site, counted_site from bronze.gam_delivery_conflicts order by 1') == [('', None), ('x', None)]
    assert ads() == 3
    assert query('select count(*) from bronze.gam_delivery_conflicts') == [(2,)]


# --- articles ---------------------------------------------------------------------------------------------------------


def test_the_version_delivered_last_counts_also_if_it_is_an_old_one(settings: Settings, query: Query) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('7', 'First'))
    deliver(settings, 'cms_articles_20251002.csv', article('7', 'Second'))
    backfill('2025-10-01', '2025-10-02')
    assert query('select title from gold.articles') == [('Second',)]
    deliver(settings, 'cms_articles_20251003.csv', article('7', 'First'))  # edited back
    backfill('2025-10-03')
    assert query('select title from gold.articles') == [('First',)]
    assert query('select count(*) from bronze.cms_articles') == [(2,)]


def test_an_article_of_years_ago_comes_with_any_load(settings: Settings, query: Query) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('7', published='2014-02-03'), article('8', published=''))
    backfill('2025-10-20')
    assert query('select content_id from gold.articles order by 1') == [('7',), ('8',)]


# --- the three invariants ---------------------------------------------------------------------------------------------


def small_month(settings: Settings) -> None:
    """Three days of ads and events with everything that may happen to a row."""
    # 1 October, ads: a 1.10 and again; b -0.40, a correction; NaN; c 0.30 and, in the same file, c 0.35.
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1.10'), ad('a', '1.1'), ad('b', '-0.40'), ad('n', 'NaN'))
    deliver(settings, 'gam_delivery_20251001_2.csv', ad('c', '0.30'), ad('c', '0.35'))
    # 2 October: d 2; late for the 1st: e 0.01, and a restated to 1.20; a row without revenue.
    late = (ad('e', '0.01'), ad('a', '1.20'), ad('x', ''))
    deliver(settings, 'gam_delivery_20251002.csv.gz', ad('d', '2', day='2025-10-02'), *late)
    # 3 October: the restatement of a again, and back to 1.10.
    deliver(settings, 'gam_delivery_20251003.csv', ad('a', '1.20'), ad('a', '1.10'))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u1'), event('u1', 'scroll'), event('', session='1'))
    deliver(
        settings, 'ga4_events_20251002.csv', event('u2'), event('u1', 'user_engagement'), event('u1', day='2025-10-02'), 'x'
    )
    deliver(settings, 'ga4_events_20251003.csv', event('u1'), event('u3', content='9', day='2025-10-03'))
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('', 'No id'))


ORDERS = {
    'in one range': [('2025-10-01', '2025-10-03')],
    'day by day': [('2025-10-01', None), ('2025-10-02', None), ('2025-10-03', None)],
    'backwards': [('2025-10-03', None), ('2025-10-02', None), ('2025-10-01', None)],
    'overlapping and again': [('2025-10-02', '2025-10-03'), ('2025-10-01', '2025-10-02'), ('2025-10-01', '2025-10-03')],
}


@pytest.mark.parametrize('order', ORDERS)
def test_every_row_and_every_cent_is_somewhere(settings: Settings, query: Query, order: str) -> None:
    small_month(settings)
    for start, end in ORDERS[order]:
        backfill(start, end)
    assert_gold_is_exact(query, settings.data_dir)
    # Gold: a 1.10 + b -0.40 + c 0.30 + e 0.01 = 1.01 on the 1st, d 2 on the 2nd.
    found = query('select served_date::text, revenue_usd::text, impressions from gold.gam_daily_summary order by 1')
    assert found == [('2025-10-01', '1.01', 40), ('2025-10-02', '2', 10)]
    # Conflicts: c 0.35 and a 1.20, each once. Rejects: NaN and a row without revenue, so no cent.
    assert money(query, 'bronze.gam_delivery_conflicts') == Decimal('1.55')
    assert query("select count(*) from bronze.rejects where source = 'gam_delivery'") == [(2,)]
    # Events of the 1st on article 7: page views of u1, of nobody, of u2; engagements 1; sessions of u1 and u2.
    assert query(
        'select event_date::text, content_id, pageviews, sessions, user_engagements'
        ' from gold.ga4_daily_summary order by 1, 2'
    ) == [('2025-10-01', '7', 3, 2, 1), ('2025-10-02', '7', 1, 1, 0), ('2025-10-03', '9', 1, 1, 0)]


def test_days_that_grow_with_every_delivery_add_up(settings: Settings, query: Query, tmp_path: Path) -> None:
    """Old + new in both marts: late rows come to days that were counted before."""
    small_month(settings)
    away = tmp_path / 'not delivered yet'
    settings.data_dir.rename(away)
    for day in ('20251001', '20251002', '20251003'):
        for path in away.glob(f'*/*_{day}*'):
            (settings.data_dir / path.parent.name).mkdir(parents=True, exist_ok=True)
            path.rename(settings.data_dir / path.parent.name / path.name)
        backfill('2025-10-01', '2025-10-03')
        assert_gold_is_exact(query, settings.data_dir)
    # As above: a + b + c = 1.00 on the 1st after the first delivery, 0.01 more with the second.
    assert query("select revenue_usd::text, impressions from gold.gam_daily_summary where served_date = '2025-10-01'") == [
        ('1.01', 40)
    ]
    assert query('select pageviews, sessions from gold.ga4_daily_summary order by event_date') == [(3, 2), (1, 1), (1, 1)]


@pytest.mark.parametrize('order', ORDERS)
def test_the_ledger_adds_up(settings: Settings, query: Query, order: str) -> None:
    small_month(settings)
    for start, end in ORDERS[order]:
        backfill(start, end)
    whole = 'rows_read = rows_duplicate + rows_new + rows_already_loaded + rows_rejected + rows_conflicting + rows_outside'
    whole = whole.replace('rows_new', 'rows_unchanged + rows_new')
    distinct = 'rows_distinct = rows_new + rows_already_loaded + rows_unchanged + rows_conflicting'
    assert query(f"select bool_and({whole} and {distinct} and status = 'done'), count(*) from ops.loads") == [
        (True, 3 * len(ORDERS[order]))
    ]
    # Per day the same, and rows outside are in none; rows without a readable day are in the load and in no day.
    of_day = whole.removesuffix(' + rows_outside')
    assert query(f'select bool_and({of_day}) from ops.load_days') == [(True,)]
    assert query(
        'select bool_and(of_load.rows_new = of_days.rows_new and of_load.rows_conflicting = of_days.rows_conflicting'
        ' and of_load.rows_read >= of_days.rows_read) from ops.loads as of_load inner join'
        ' (select load_id, sum(rows_new) as rows_new, sum(rows_read) as rows_read, sum(rows_conflicting) as rows_conflicting'
        " from ops.load_days group by load_id) as of_days using (load_id) where source <> 'cms_articles'"
    ) == [(True,)]
    for source in SOURCES:
        assert query(
            f'select (select sum(rows_new) from ops.loads where source = %s) = (select count(*) from bronze.{source})',
            source,
        ) == [(True,)]


def test_a_load_of_all_days_reads_every_row_once_and_all_its_money(settings: Settings, query: Query) -> None:
    small_month(settings)
    backfill('2025-10-01', '2025-10-03')
    # 12 ad rows: 2 rejected (NaN, nothing); new a, b, c, d, e; conflicting c 0.35, a 1.20 (of the 2nd);
    # the a 1.10 of line 3, the a 1.20 and the a 1.10 of the 3rd repeat rows of this load.
    read, _, equal, new, known, rejected, conflicting = last_load(query, 'gam_delivery')
    assert (read, new, rejected, equal + known + conflicting) == (12, 5, 2, 5)
    # 1.10 + 1.10 - 0.40 + 0.30 + 0.35 + 2 + 0.01 + 1.20 + 1.20 + 1.10
    assert query("select money_read from ops.loads where source = 'gam_delivery'") == [(Decimal('7.96'),)]


def test_a_load_says_which_files_it_looked_at(settings: Settings, query: Query) -> None:
    path = deliver(settings, 'gam_delivery_20251002.csv', ad('a'))
    deliver(settings, 'gam_delivery_20251005.csv', ad('b'))  # four days late: beyond what a load looks at
    assert ads() == 3  # the day's own file is missing
    ((files, started_by),) = query('select files, started_by from ops.loads')
    assert [(file['file'], file['size']) for file in files] == [
        ('gam_delivery/gam_delivery_20251002.csv', path.stat().st_size)
    ]
    assert started_by == 'command line'
    assert query('select ad_unit from bronze.gam_delivery') == [('a',)]


def test_a_load_that_fails_writes_nothing_but_its_reason(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251002.csv', ad('a'), ad('b', 'NaN'), b'\xff')
    assert ads() == 1
    counts = ('bronze.gam_delivery', 'bronze.gam_delivery_hashrow', 'bronze.rejects', 'ops.load_days', 'ops.files')
    assert [query(f'select count(*) from {table}') for table in counts] == [[(0,)]] * len(counts)
    reason = 'gam_delivery/gam_delivery_20251002.csv: line 4 is not UTF-8 (byte 1); export the file as UTF-8'
    tries = query('select status, error from ops.loads order by load_id')
    assert tries == [('failed', f'begins anew without {reason}'), ('failed', reason)]
    deliver(settings, 'gam_delivery_20251002.csv', ad('a'), ad('b', 'NaN'))
    assert ads() == 3
    assert query('select count(*) from bronze.gam_delivery') == [(1,)]
