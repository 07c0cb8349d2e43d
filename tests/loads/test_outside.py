"""Rows of days that their file may not hold: no load takes them, and whoever loads the file is told at once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from tests.delivery import ad, ads, deliver, event
from tests.gold import assert_gold_is_exact

Query = Callable[..., list[tuple[Any, ...]]]
OUTCOME = 'select rows_read, rows_new, rows_rejected, rows_outside from ops.loads order by load_id desc limit 1'


def utc_day(settings: Settings, day: int) -> Path:
    """An hour of ads a row, a dollar each, of a day of UTC: the last seven are of the next day in Jakarta."""
    hours = [f'2025-10-{day:02}T{hour:02}:00:00Z,top,line,creative,7,10,0,1' for hour in range(24)]
    return deliver(settings, f'gam_delivery_202510{day:02}.csv', *hours)


def declare(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(SOURCES['gam_delivery'], **changes))


def revenue(query: Query) -> list[tuple[Any, ...]]:
    return query('select served_date, sum(revenue_usd) from gold.gam_daily_summary group by 1 order by 1')


def test_the_load_of_a_file_cut_in_another_zone_names_the_rows_it_leaves_and_ends_with_3(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    utc_day(settings, 1)
    assert ads() == 3
    told = capsys.readouterr()
    assert told.out.endswith('24 read, 17 distinct, 17 new, 0 already loaded, 0 rejected, 0 conflicting, 7 outside\n')
    assert 'gam_delivery/gam_delivery_20251001.csv: 7 rows of 2025-10-02, 7 of money' in told.err
    assert query('select file, day, rows, money from ops.load_outside') == [
        ('gam_delivery/gam_delivery_20251001.csv', date(2025, 10, 2), 7, Decimal(7))
    ]
    assert_gold_is_exact(query, settings.data_dir)


def test_status_names_them_until_the_file_holds_them_no_more(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    path = utc_day(settings, 1)
    ads()
    capsys.readouterr()
    assert main(['status', '--source', 'gam_delivery']) == 3
    told = capsys.readouterr().out
    assert '2025-10-01: rows outside' in told
    assert 'gam_delivery_20251001.csv: 7 rows of 2025-10-02' in told
    path.write_text('\n'.join(path.read_text('utf-8').splitlines()[:-7]) + '\n', 'utf-8')
    ads()
    assert main(['status', '--source', 'gam_delivery']) == 0


def test_a_source_that_says_in_which_zone_its_files_are_cut_loses_none_of_their_rows(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, file_timezone='UTC', late_days=0)
    for day in (1, 2):
        utc_day(settings, day)
    ads('2025-10-01', '2025-10-03')
    assert query('select sum(rows_outside) from ops.loads') == [(0,)]
    assert revenue(query) == [(date(2025, 10, 1), 17), (date(2025, 10, 2), 24), (date(2025, 10, 3), 7)]


@pytest.mark.parametrize('order', [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_days_of_such_a_source_may_be_loaded_one_by_one_in_any_order(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    declare(monkeypatch, file_timezone='UTC', late_days=0)
    for day in (1, 2):
        utc_day(settings, day)
    for day in order:
        ads(f'2025-10-{day:02}')
    assert revenue(query) == [(date(2025, 10, 1), 17), (date(2025, 10, 2), 24), (date(2025, 10, 3), 7)]


def test_early_and_late_rows_are_taken_as_far_as_the_source_says(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, early_days=1, late_days=5)
    days = ['2025-10-04', '2025-10-05', '2025-10-10', '2025-10-11', '2025-10-12']
    deliver(settings, 'gam_delivery_20251010.csv', *(ad(day=day) for day in days))
    ads('2025-10-01', '2025-10-12')
    assert query('select distinct served_date::text from gold.gam_daily_summary order by 1') == [(d,) for d in days[1:-1]]
    assert query('select day::text, rows from ops.load_outside order by 1') == [('2025-10-04', 1), ('2025-10-12', 1)]


def test_a_row_of_another_loads_day_is_not_outside_and_one_outside_is_counted_by_the_load_of_its_files_day(
    settings: Settings, query: Query
) -> None:
    deliver(settings, 'gam_delivery_20251003.csv', ad(day='2025-10-02'), ad(day='2025-10-03'), ad(day='2025-09-01'))
    ads('2025-10-02')
    assert query(OUTCOME) == [(1, 1, 0, 0)]
    ads('2025-10-03')
    assert query(OUTCOME) == [(2, 1, 0, 1)]


def test_a_row_that_cannot_be_used_either_is_outside_and_no_reject(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_20251003.csv', ad(day='2025-10-03'), ad(day='2025-09-01', clicks='many'))
    assert ads('2025-10-03') == 3
    assert query(OUTCOME) == [(2, 1, 0, 1)]
    assert query('select count(*) from bronze.rejects') == [(0,)]


def test_an_undated_file_and_one_of_articles_may_hold_any_days(settings: Settings, query: Query) -> None:
    deliver(settings, 'gam_delivery_all.csv', ad(day='2025-10-03'), ad(day='2025-09-01'))
    ads('2025-10-03')
    assert query(OUTCOME) == [(1, 1, 0, 0)]


def test_a_row_that_is_equal_to_one_outside_counts_where_its_own_file_brings_it(settings: Settings, query: Query) -> None:
    """In Mage a load is one frame: equal rows of two files meet, and the one outside must not stand for the other."""
    deliver(settings, 'ga4_events_20251001.csv', event(day='2025-10-02'))
    deliver(settings, 'ga4_events_20251002.csv', event(day='2025-10-02'))
    asked = {'start_date': date(2025, 10, 1), 'end_date': date(2025, 10, 2)}
    outcome = export_new_rows(hash_rows(read_days('ga4_events', asked), 'ga4_events'), 'ga4_events', asked)
    assert (outcome['rows_read'], outcome['rows_new'], outcome['rows_outside']) == (2, 1, 1)
    assert query('select count(*) from bronze.ga4_events') == [(1,)]


@pytest.mark.parametrize('restatements', ['keep', 'apply'])
@pytest.mark.parametrize('change', ['late days', 'early days', 'zone'])
def test_a_source_whose_files_may_hold_less_than_they_did_is_said_and_repair_makes_gold_what_they_say_now(
    settings: Settings,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    restatements: str,
) -> None:
    """The other way round, the rows come in again."""
    wide: dict[str, dict[str, Any]] = {
        'late days': {'late_days': 3},
        'early days': {'early_days': 1},
        'zone': {'file_timezone': 'UTC'},
    }
    narrow: dict[str, dict[str, Any]] = {'late days': {'late_days': 0}, 'early days': {}, 'zone': {}}
    monkeypatch.setenv('KLY_CONFLICT_LIMIT', '100')
    other = {'late days': '2025-10-02', 'early days': '2025-10-04', 'zone': '2025-10-04'}[change]
    stamp = f'{other}T05:00:00+07:00'  # late on the day before, in UTC
    odd = [f'{stamp},{unit},line,creative,7,10,0,{usd}' for unit, usd in (('a', 1), ('a', 2), ('b', 4))]
    deliver(settings, 'gam_delivery_20251003.csv', *odd, ad('a', '8', day='2025-10-03'), ad('c', '16', day='2025-10-03'))
    for day in ('02', '04'):
        deliver(settings, f'gam_delivery_202510{day}.csv', ad('d', '32', day=f'2025-10-{day}'))

    def put(declared: dict[str, Any]) -> int:
        declare(monkeypatch, early_days=0, late_days=None, file_timezone=None, restatements=restatements)
        declare(monkeypatch, **declared)
        assert main(['migrate']) == 0
        return ads('2025-10-02', '2025-10-04')

    def counted() -> int:
        return int(sum(usd for _, usd in revenue(query)))

    put(wide[change])
    assert counted() == {'keep': 93, 'apply': 93}[restatements]  # 1 + 4 + 8 + 16 + 32 + 32; of two in one file the first
    assert put(narrow[change]) == 3  # three rows outside
    capsys.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery']) == 3
    assert 'of bronze in no file, 5.00 USD; its file may not hold its day any more' in capsys.readouterr().out
    assert main(['repair', '--source', 'gam_delivery', '--quiet']) == 3  # they are outside still
    assert counted() == 88
    assert main(['verify']) == 0
    assert query('select count(*) from bronze.gam_delivery_conflicts') == [(0,)]
    put(wide[change])
    assert counted() == 93
    assert (main(['verify']), main(['reconcile', '--quiet', '--source', 'gam_delivery'])) == (0, 0)
