"""Reconciliation, whichever warehouse it is: each row of the files in its place, to the cent, what is damaged by name."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact
from tests.warehouse.both import *  # noqa: F403 -- fixtures

FIRST = ('--start', '2025-10-01', '--end', '2025-10-01')


@pytest.mark.slow_on_bigquery
def test_each_row_of_the_files_has_its_place_and_the_page_says_it(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('8', 'Eight'), article('9', published=''))
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u1', session='2'), event('u2', content=''), event('u1'))
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '0.000000000001'), ad('side', '-2.5'), ad('side', 'x'))
    assert backfill() == 3
    deliver(settings, 'cms_articles_20251002.csv', article('7', 'Edited'))
    deliver(
        settings, 'ga4_events_20251002.csv', event('u1', name='user_engagement'), event('u3'), event('u3', day='2025-10-02')
    )
    deliver(settings, 'gam_delivery_20251002.csv', ad('top', '9'), ad('top', '9'), ad('top', '8'), ad('new', '1'))
    assert backfill('2025-10-01', '2025-10-02') == 3
    told = said(capsys)
    assert told['verdict'] == (
        # 0.000000000001 - 2.5 + 1 count; 9 + 8 wait; the files hold 0.000000000001 - 2.5 + 9 + 9 + 8 + 1 = 24.5.
        'every cent accounted for; -1.499999999999 USD count, 17.00 USD (69.4 %) in 2 rows wait for a decision,'
        ' more than 1 % of 1 day'
    )
    assert places(told, 'cms_articles') == {'read': 4, 'bronze': 4, 'stored': 4}
    assert places(told, 'ga4_events') == {'read': 7, 'bronze': 6, 'duplicate': 1, 'duplicate_same_file': 1, 'stored': 6}
    assert places(told, 'gam_delivery') == {
        **{'read': 7, 'bronze': 3, 'stored': 3, 'rejected': 1},
        **{'duplicate': 1, 'duplicate_same_file': 1, 'conflict': 2, 'conflict_same_file': 1},
    }
    money = told['sources']['gam_delivery']['total']['sums']['revenue_usd']
    assert {place: Decimal(money[place]) for place in ('read', 'conflict', 'duplicate', 'gold')} == {
        'read': Decimal('24.500000000001'),
        **{'conflict': 17, 'duplicate': 9, 'gold': Decimal('-1.499999999999')},
    }
    assert [finding['text'] for finding in told['findings']] == [
        'ga4_events: 2 rows came late: 2 by 1 day',
        'ga4_events: 1 row without content, (not set) in gold',
        'ga4_events: 2 articles and days with events and no ad, 2 pageviews',
        'gam_delivery: 1 row rejected (1 not a finite decimal of at most 18 digits before and 12 after the point), 0.00 USD'
        ' readable in them',
        'gam_delivery: 1 row restated in a later file; the first version counts. All conflicts hold 17.00 USD, '
        '+16.999999999998 USD against what counts',
        'gam_delivery: 1 row with the key of another row of the same file: no restatement. No column of the file tells them'
        ' apart, only their numbers',
        'gam_delivery: 1 row came late: 1 by 1 day',
        'gam_delivery: 1 row with negative revenue, -2.50 USD',
    ]
    # A day by itself: its rows, wherever they stand, and articles without a day; the row of the second is not of it.
    told = said(capsys, *FIRST)
    assert places(told, 'cms_articles') == {'read': 4, 'bronze': 4, 'stored': 4}
    assert places(told, 'ga4_events') == {
        **{'read': 6, 'bronze': 5, 'duplicate': 1, 'duplicate_same_file': 1, 'stored': 5},
    }
    kept = 'rows_read, rows_in_bronze, rows_in_files, rows_duplicate, rows_rejected, pageviews_in_bronze, pageviews_in_gold'
    assert query(f"select {kept} from gold.reconciliation where source = 'ga4_events' order by day") == [
        (6, 5, 6, 1, 0, 4, 4),
        (1, 1, 1, 0, 0, 1, 1),
    ]
    page = tmp_path / 'page.html'
    assert main(['reconcile', '--html', str(page)]) == 3
    assert 'every cent accounted for' in page.read_text('utf-8')


@pytest.mark.slow
def test_what_was_changed_by_hand_or_never_loaded_is_named(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', *(ad(name) for name in ('changed', 'moved', 'lost', 'kept')))
    deliver(settings, 'gam_delivery_20251002.csv', ad('gone', day='2025-10-02'))
    assert ads('2025-10-01', '2025-10-02') == 0
    query("update bronze.gam_delivery set revenue_usd = 5 where ad_unit = 'changed'")
    query("update bronze.gam_delivery set _partition_date = date '2025-10-02' where ad_unit = 'moved'")
    query("delete from bronze.gam_delivery where ad_unit = 'lost'")
    (settings.data_dir / 'gam_delivery/gam_delivery_20251002.csv').unlink()
    deliver(
        settings, 'gam_delivery_20251003.csv', ad('late', '3'), ad('late', day='2025-10-03'), ad('old', day='2025-08-02')
    )
    told = said(capsys, '--source', 'gam_delivery')
    assert [finding['text'] for finding in told['findings'] if finding['wrong']] == [
        'gam_delivery/gam_delivery_20251002.csv was loaded and is not there any more',
        'gam_delivery 2025-10-03: never loaded, 1 row, 1.00 USD',
        'gam_delivery 2025-10-01: came after the day was loaded, 1 row, 3.00 USD',
        'gam_delivery/gam_delivery_20251003.csv, line 4: 1 row dated 2025-08-02, outside the days this file may hold; no '
        'load takes them',
        'gam_delivery 2025-10-01: 2 rows were changed in bronze after they were loaded (the first: '
        'gam_delivery/gam_delivery_20251001.csv, line 2)',
        'gam_delivery 2025-10-01: 1 row was deleted from bronze after it was loaded (gam_delivery/gam_delivery_20251001.csv,'
        ' line 4)',
        'gam_delivery 2025-10-02: 1 row of bronze in no file, 1.00 USD; their file is gone',
    ]
    # Of the files 3 + 1 were not loaded and 1 is outside; what the mart has counted of rows that were changed it still has.
    verdict = 'not accounted for: 5.00 USD of the files is not in gold, 1.00 USD in bronze is in no file'
    assert told['verdict'] == verdict
    # A day by itself: the row that stands under another day now is found by the load that brought it.
    changed = [
        each['text'] for each in said(capsys, '--source', 'gam_delivery', *FIRST)['findings'] if each['kind'] == 'changed'
    ]
    assert changed == [
        'gam_delivery 2025-10-01: 2 rows were changed in bronze after they were loaded (the first: '
        'gam_delivery/gam_delivery_20251001.csv, line 2)'
    ]
    # Its file is there again, the others are put right, and what no load takes is delivered no more.
    deliver(settings, 'gam_delivery_20251002.csv', ad('gone', day='2025-10-02'))
    deliver(settings, 'gam_delivery_20251003.csv', ad('late', '3'), ad('late', day='2025-10-03'))
    capsys.readouterr()
    assert main(['repair', '--source', 'gam_delivery', '--quiet']) == 0
    # changed, moved, lost, kept and gone bring 1 each, late 3 + 1.
    assert capsys.readouterr().out == 'every cent accounted for\n'
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(9,)]
    assert query('select sum(rows_new), sum(rows_removed) from ops.loads') == [(10, 3)]
    assert main(['verify']) == 0


@pytest.mark.slow
def test_what_somebody_has_accepted_waits_no_more_and_days_that_are_missing_are_loaded(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('top'), ad('top', '9'), ad('bad', 'x'), 'when,' + ad()[26:])
    assert ads() == 3
    for what, count in (('rejects', '2 rejects'), ('conflicts', '1 conflict')):
        assert main([what, *FIRST]) == 3
        assert main([what, '--accept', 'known', '--by', 'Ana', *FIRST]) == 0
        assert f'{count} accepted by Ana: known' in capsys.readouterr().out
        assert main([what]) == 0
    # Nobody has to look at them again: not who loads, and not who adds up.
    assert ads('2025-10-01', None, '--reread') == 0
    counts = 'rows_rejected, rejects_accepted, rows_conflicting, conflicts_accepted'
    assert query(f'select {counts} from ops.loads order by load_id') == [(2, 0, 1, 0), (2, 2, 1, 1)]
    capsys.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery', '--quiet']) == 0
    assert capsys.readouterr().out == 'every cent accounted for\n'
    # Of three days the last one waits and the second has no file.
    deliver(settings, 'gam_delivery_20251003.csv', ad(day='2025-10-03'), ad('late'))
    assert main(['backfill', '--missing', '--pipeline', 'ads_revenue', '--quiet']) == 3
    days = 'select start_day, end_day, rows_new from ops.loads order by load_id desc limit 1'
    assert query(days) == [(date(2025, 10, 2), date(2025, 10, 3), 1)]
    # The late row is of a day that is loaded, so no load has asked for it.
    assert places(said(capsys, '--source', 'gam_delivery'), 'gam_delivery') == {
        **{'read': 6, 'bronze': 2, 'stored': 2, 'not_loaded': 1, 'rejected': 2, 'conflict': 1, 'conflict_same_file': 1},
    }
    assert ads() == 0
    said(capsys, '--source', 'gam_delivery')
    main(['status', '--source', 'gam_delivery', '--json'])
    assert json.loads(capsys.readouterr().out)['sources']['gam_delivery']['late'] == {'2': 1}


@pytest.mark.slow
def test_what_was_loaded_by_mistake_goes_without_a_trace_in_gold_and_comes_back(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('7'))
    deliver(settings, 'ga4_events_20251001.csv', event(), event('u2'))
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1.5'), ad('a', '2'), ad('b', 'x'))
    assert backfill() == 3
    before = left(query)
    wrong = deliver(
        settings,
        'gam_delivery_20251002.csv',
        *(ad('other', '100', day='2025-10-02'), ad('new', '7'), ad('a', '9'), ad('c', 'x', day='2025-10-02')),
    )
    assert ads('2025-10-01', '2025-10-02') == 3
    (number,) = query("select max(load_id) from ops.loads where source = 'gam_delivery'")[0]
    after = left(query)
    capsys.readouterr()
    assert main(['unload', '--load', str(number), '--dry-run']) == 0
    assert capsys.readouterr() == ('2 rows would go; --dry-run takes nothing out\n', GONE)
    assert left(query) == after
    assert main(['unload', '--load', str(number)]) == 0
    again = '  python -m kly_mage backfill --start 2025-10-01 --end 2025-10-02 loads it again\n'
    assert capsys.readouterr() == ('2 rows taken out of bronze and gold\n', GONE + again)
    assert left(query) == before
    noted = 'status, rows_new, rows_removed, started_by'
    assert query(f"select {noted} from ops.loads where source = 'gam_delivery' order by load_id")[1:] == [
        ('withdrawn', 2, 2, 'command line'),
        ('unload', None, 2, f'unload --load {number}')
        if settings.warehouse == 'bigquery'
        else ('unload', 0, 2, f'unload --load {number}'),
    ]
    assert main(['verify']) == 0
    capsys.readouterr()
    assert main(['status', '--source', 'gam_delivery', '--json']) == 3
    told = json.loads(capsys.readouterr().out)['sources']['gam_delivery']['days']
    assert [day['state'] for day in told] == ['not loaded', 'not loaded']
    assert main(['unload', '--load', str(number)]) == 2
    # The rows of a file, those of days, all of a source that any load takes: they come back from the files.
    assert ads('2025-10-01', '2025-10-02') == 3
    assert left(query) == after
    assert main(['unload', '--file', f'gam_delivery/{wrong.name}']) == 0
    assert query('select ad_unit from bronze.gam_delivery') == []  # it holds a version of `a` as well
    assert main(['unload', '--start', '2025-10-01', '--end', '2025-10-01', '--source', 'ga4_events']) == 0
    assert main(['unload', '--source', 'cms_articles']) == 0
    assert query('select count(*) from gold.daily_summary where pageviews > 0 or title is not null') == [(0,)]
    capsys.readouterr()
    assert main(['status', '--json']) == 3
    told = json.loads(capsys.readouterr().out)['sources']
    states = {name: [day['state'] for day in of_source['days']] for name, of_source in told.items()}
    assert states == {
        'cms_articles': ['not loaded', 'missing file'],
        'ga4_events': ['not loaded', 'missing file'],
        'gam_delivery': ['not loaded', 'not loaded'],
    }
    assert main(['verify']) == 0
    assert backfill('2025-10-01', '2025-10-02') == 3
    assert left(query) == after
    assert_gold_is_exact(query, settings.data_dir, ratios=settings.warehouse == 'postgres')
    assert main(['verify']) == 0


GONE = 'gam_delivery: 2 rows, 1 conflict, 1 reject\n'


def left(query: Query) -> list[Any]:
    """Bronze, what waits, and gold."""
    asked = ['select user_pseudo_id, _partition_date from bronze.ga4_events', 'select title from bronze.cms_articles']
    asked += ['select ad_unit, revenue_usd from bronze.gam_delivery', 'select line, file from bronze.rejects']
    asked += ['select revenue_usd from bronze.gam_delivery_conflicts', 'select content_id, title from gold.articles']
    asked += ['select date, content_id, title, pageviews, sessions, impressions, revenue_usd from gold.daily_summary']
    return [sorted(query(each), key=str) for each in asked]


def places(told: dict[str, Any], source: str) -> dict[str, int]:
    """The rows of a source by place, where there are some."""
    return {place: rows for place, rows in told['sources'][source]['total']['rows'].items() if rows}


def said(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """What ``reconcile --json`` says."""
    capsys.readouterr()
    main(['reconcile', '--json', *options])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found
