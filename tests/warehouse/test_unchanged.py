"""Files that have not changed are not read again, whichever warehouse it is, and nothing is lost by it."""

import json
from datetime import date
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from tests.delivery import HEADERS, ad, ads, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.reading import *  # noqa: F403 -- fixtures
from tests.reading import in_bronze, last, taken
from tests.warehouse.both import *  # noqa: F403 -- fixtures

FILE = 'gam_delivery_20251001.csv'


def whole_day(settings: Settings, day: int, *rows: str) -> str:
    """A table of GA4's export of one October day; gives its name."""
    path = settings.data_dir / f'ga4_events/events_2025100{day}.csv'
    path.write_text('\n'.join([HEADERS['ga4_events'], *rows, '']), 'utf-8')
    return path.name


def unload(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(['unload', '--source', 'gam_delivery', '--start', '2025-10-01', '--end', '2025-10-01']) == 0


def decide(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(['rejects', '--accept', 'as it is', '--by', 'Ani']) == 0


def test_a_second_load_reads_no_file_and_says_the_same_of_every_row(
    settings: Settings, query: Query, read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    outside = ad('o', '5', day='2025-09-20')
    deliver(settings, FILE, ad('a', '1.5'), ad('a', '1.5'), ad('b', '2'), ad('c', 'x'), outside, 'no day,,,,,1,1,1')
    deliver(settings, 'gam_delivery_20251002.csv', ad('d', '4', day='2025-10-02'), ad('late', '8'))
    assert ads('2025-10-01', '2025-10-02') == 3
    assert taken(read) == [FILE, 'gam_delivery_20251002.csv']
    first = json_of(capsys, '2025-10-01', '2025-10-02', '--reread')
    taken(read)
    again = json_of(capsys, '2025-10-01', '2025-10-02')
    assert taken(read) == []
    # a, b, d and late, of which the a is there twice; c cannot be used, nor the row without a day; one is outside.
    parts = ('unchanged', 'already_loaded', 'new', 'duplicate', 'rejected', 'outside', 'read', 'distinct')
    assert last(query, *parts) == (4, 0, 0, 1, 2, 1, 8, 4)
    moved = ('already_loaded', 'unchanged')
    assert {name: n for name, n in first['rows'].items() if name not in moved} == {
        name: n for name, n in again['rows'].items() if name not in moved
    }
    assert [first[name] for name in ('money_read', 'needs_a_look', 'missing')] == [
        again[name] for name in ('money_read', 'needs_a_look', 'missing')
    ]
    by_day = 'select day, rows_read, rows_rejected, rows_duplicate from ops.load_days where load_id = {} order by day'
    assert query(by_day.format(first['load_id'])) == query(by_day.format(again['load_id']))
    amount = 'rows' if settings.warehouse == 'postgres' else 'rows_outside'
    met = f'select file, day, {amount}, money from ops.load_outside where load_id = {{}}'
    assert query(met.format(first['load_id'])) == query(met.format(again['load_id']))
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')
    assert main(['reconcile', '--source', 'gam_delivery']) == 3  # as before: the rows that cannot be used, and that outside


def json_of(capsys: pytest.CaptureFixture[str], *days: str) -> dict[str, Any]:
    """What a load says for programs, without its number."""
    start, end, *options = days
    capsys.readouterr()
    ads(start, end, '--json', *options)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)['ranges'][0]['loads'][0]
    return found


def test_a_file_with_conflicts_is_read_until_it_has_none(settings: Settings, query: Query, read: list[str]) -> None:
    deliver(settings, FILE, ad('a', '1'), ad('a', '2'))
    assert ads() == 3
    taken(read)
    assert ads() == 3
    assert taken(read) == [FILE]
    assert last(query, 'conflicting', 'already_loaded') == (1, 1)


def test_days_of_an_undated_file_are_taken_one_by_one_and_days_without_rows_cost_no_reading(
    settings: Settings, query: Query, read: list[str]
) -> None:
    deliver(settings, 'gam_delivery_a.csv', ad('a'), ad('b', day='2025-10-02'), ad('c', day='2025-10-04'), ad('d', 'x'))
    assert ads('2025-10-01') == 3
    assert taken(read) == ['gam_delivery_a.csv']
    ads('2025-10-03')
    assert taken(read) == []
    assert last(query, 'read') == (0,)
    ads('2025-10-01', '2025-10-02')
    assert taken(read) == ['gam_delivery_a.csv']
    assert last(query, 'new', 'unchanged', 'already_loaded', 'rejected', 'read') == (1, 1, 0, 1, 3)
    ads('2025-10-01', '2025-10-04')
    assert last(query, 'new', 'unchanged', 'already_loaded', 'rejected', 'read') == (1, 2, 0, 1, 4)
    taken(read)
    ads('2025-10-01', '2025-10-31')
    assert taken(read) == []
    assert last(query, 'new', 'unchanged', 'already_loaded', 'rejected', 'read') == (0, 3, 0, 1, 4)
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')


def test_an_exporter_whose_loader_counted_on_rows_that_are_gone_meanwhile_reads_them(
    settings: Settings, query: Query
) -> None:
    """In Mage minutes lie between the two."""
    asked = {'start_date': date(2025, 10, 1), 'end_date': date(2025, 10, 1)}
    deliver(settings, FILE, ad('a'))
    assert ads() == 0
    rows = hash_rows(read_days('gam_delivery', asked), 'gam_delivery')
    unload(settings, pytest.MonkeyPatch())
    assert export_new_rows(rows, 'gam_delivery', asked)['rows_new'] == 1
    assert in_bronze(query) == 1


def test_in_mage_an_unchanged_file_is_not_read_and_both_blocks_say_so(
    settings: Settings, read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {'start_date': date(2025, 10, 1), 'end_date': date(2025, 10, 1)}
    deliver(settings, FILE, ad('a'), ad('a'), ad('b'))
    export_new_rows(hash_rows(read_days('gam_delivery', asked), 'gam_delivery'), 'gam_delivery', asked)
    capsys.readouterr()
    rows = read_days('gam_delivery', asked)
    assert '1 file is unchanged since the last load, and not read again' in capsys.readouterr().out
    assert rows['ad_unit'].tolist() == ['a', 'a', 'b']  # seen in the editor all the same
    taken(read)
    done = export_new_rows(hash_rows(rows, 'gam_delivery'), 'gam_delivery', asked)
    assert taken(read) == []
    assert '2 already loaded (file unchanged), 1 duplicate' in done['line']
    assert done['rows_read'] == 3


def test_rows_that_a_table_loses_are_looked_for_in_the_tables_of_other_days_too(
    settings: Settings, query: Query, read: list[str]
) -> None:
    days = ('2025-10-02', '2025-10-03', '--pipeline', 'articles_performance')
    of_both = event('u2', day='2025-10-02')
    whole_day(settings, 3, of_both, event('u3', day='2025-10-03'))
    backfill(*days)
    whole_day(settings, 2, of_both)
    backfill(*days)
    taken(read)
    whole_day(settings, 3, event('u3', day='2025-10-03', content='8'))
    backfill(*days)
    assert taken(read) == ['events_20251002.csv', 'events_20251003.csv']
    assert query('select why, count(*) from bronze.ga4_events_corrections group by why') == [('superseded', 1)]
    assert query('select event_date, pageviews from gold.ga4_daily_summary order by event_date') == [
        (date(2025, 10, 2), 1),
        (date(2025, 10, 3), 1),
    ]
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')


def test_what_somebody_decides_about_or_takes_out_is_read_again(settings: Settings, query: Query, read: list[str]) -> None:
    deliver(settings, FILE, ad('a'), ad('c', 'x'))
    assert ads() == 3
    assert main(['rejects', '--accept', 'as it is', '--by', 'Ani']) == 0
    taken(read)
    assert ads() == 0
    assert taken(read) == [FILE]
    assert ads() == 0
    assert taken(read) == []
    assert main(['unload', '--source', 'gam_delivery', '--start', '2025-10-01', '--end', '2025-10-01']) == 0
    ads()
    assert taken(read) == [FILE]
    assert query('select count(*) from bronze.gam_delivery') == [(1,)]
