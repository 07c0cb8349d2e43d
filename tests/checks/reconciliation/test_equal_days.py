"""Days of which bronze has just what the files hold are told by sums; what they leave out is found row by row, as ever."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation import read
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.model import Report
from kly_mage.common.settings import Settings
from kly_mage.rows import piles
from kly_mage.warehouse.postgres import comparison, equal_days
from tests.gold import Query
from tests.scenes import deliver_october


@pytest.fixture
def october(settings: Settings) -> Path:
    """Four days of three visitors, with equal, late and rejected rows, loaded."""
    deliver_october(settings.data_dir)
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-04', '--quiet']) == 3
    return settings.data_dir


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The days of the rows that are looked for one by one."""
    days: list[date] = []
    send = comparison.copy

    def copy(cursor: Any, frame: pl.DataFrame, table: str) -> None:
        if table.startswith('fresh ('):
            days.extend(frame['day'])
        send(cursor, frame, table)

    monkeypatch.setattr(comparison, 'copy', copy)
    return days


def told(report: Report) -> list[dict[str, Any]]:
    """All that an account says, but for when it was made."""
    lines = [asdict(line) for line in report.lines]
    for line in lines:
        line['facts'].pop('files_checked_at')
    return [*lines, *map(asdict, report.findings), *map(asdict, report.causes.values())]


def test_no_row_of_a_day_that_is_as_the_files_have_it_is_looked_for(
    october: Path, settings: Settings, sent: list[date]
) -> None:
    report = reconcile(settings, ['ga4_events'])
    assert report.accounted
    assert sent == []
    # Day 2: three visitors, one of them twice in its file, and a reject; one more visitor came with day 3.
    of_second = next(line for line in report.lines if line.day == date(2025, 10, 2))
    assert [of_second.rows[place] for place in ('read', 'bronze', 'duplicate', 'duplicate_same_file')] == [6, 4, 1, 1]
    assert (of_second.sum('pageviews', 'read'), of_second.sum('pageviews', 'bronze')) == (5, 4)
    assert of_second.late == {1: 1}


def test_rows_of_a_damaged_day_are_looked_for_and_no_others(
    october: Path, settings: Settings, query: Query, sent: list[date]
) -> None:
    query("delete from bronze.ga4_events where user_pseudo_id = 'u0' and _partition_date = '2025-10-03' returning 1")
    report = reconcile(settings, ['ga4_events'])
    assert {line.day.day: line.rows.get('lost', 0) for line in report.lines if line.day} == {1: 0, 2: 0, 3: 1, 4: 0}
    assert sent == [date(2025, 10, 3)] * 5


def test_a_row_in_place_of_another_is_found_though_the_day_has_as_many(
    october: Path, settings: Settings, query: Query, sent: list[date]
) -> None:
    query(
        'update bronze.ga4_events set _hashrow = overlay(_hashrow::text placing %s from 29)::uuid'
        " where user_pseudo_id = 'u0' and _partition_date = '2025-10-03' returning 1",
        'abcd',
    )
    report = reconcile(settings, ['ga4_events'])
    of_third = next(line for line in report.lines if line.day == date(2025, 10, 3))
    assert (of_third.rows['lost'], of_third.rows['in_no_file']) == (1, 1)
    assert set(sent) == {date(2025, 10, 3)}


@pytest.mark.parametrize('way', ['row by row', 'from disk', 'file by file'])
def test_an_account_says_the_same_whichever_way_its_days_are_compared(
    october: Path, settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # Of the first day a row is gone, of the second one is changed, into the third one was put by hand; the fourth is whole.
    query("delete from bronze.ga4_events where user_pseudo_id = 'u0' and _partition_date = '2025-10-01' returning 1")
    query(
        "update bronze.ga4_events set content_id = 'other' where user_pseudo_id = 'u1' and _partition_date = '2025-10-02'"
        ' returning 1'
    )
    query(
        'insert into bronze.ga4_events (event_timestamp, event_name, user_pseudo_id, _partition_date, _hashrow, _created_at,'
        " _updated_at, _load_id) select event_timestamp, event_name, 'by hand', _partition_date,"
        ' overlay(_hashrow::text placing %s from 29)::uuid, _created_at, _updated_at, _load_id from bronze.ga4_events'
        " where user_pseudo_id = 'u0' and _partition_date = '2025-10-03' returning 1",
        'abcd',
    )
    (october / 'ga4_events' / 'ga4_events_20251005.csv').write_text(
        'event_timestamp,event_name,user_pseudo_id,session_id,content_id\n'
        '2025-10-04T05:00:00Z,page_view,new,s1,a1\n2025-10-05T05:00:00Z,page_view,new,s1,a1\n'
        '2025-11-05T05:00:00Z,page_view,outside,s1,a1\n'
    )
    (october / 'ga4_events' / 'ga4_events_20251006.csv').write_bytes(
        b'event_timestamp,event_name,user_pseudo_id\n2025\xff,a,b\n'
    )
    by_sums = reconcile(settings)
    if way == 'row by row':
        monkeypatch.setattr(equal_days, 'agrees', lambda cursor: False)
    elif way == 'file by file':
        monkeypatch.setattr(read, 'SMALL_BYTES', 0)
    else:
        monkeypatch.setattr(piles, '_HELD_ROWS', 4)
        monkeypatch.setattr(piles, '_GIVEN_ROWS', 4)
    otherwise = reconcile(settings)
    assert told(otherwise) == told(by_sums)
    rows = by_sums.total('ga4_events').rows
    assert [rows[place] for place in ('lost', 'changed', 'in_no_file', 'not_loaded', 'outside')] == [1, 1, 1, 2, 1]
