"""What a mart's block says of its refresh."""

import re

from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.refreshes import last_refresh
from tests.scenes import deliver, run_days

AT = r'refreshed at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC'


def ad(day: int, article: str) -> str:
    return f'2025-10-{day:02}T05:00:00Z,/top,l,c,{article},10,1,0.5'


def told(settings: Settings, mart: str) -> str:
    line = last_refresh(settings, mart)
    assert line is not None
    return re.sub(AT, 'refreshed', line)


def test_the_rows_that_the_last_refresh_wrote_are_told_with_their_days(settings: Settings) -> None:
    for day in (1, 2):
        deliver(settings.data_dir, f'gam_delivery_2025100{day}.csv', ad(day, 'a'), ad(day, 'b'))
    run_days(1, 2, 'ads_revenue')
    all_rows = 'gold.gam_daily_summary: 4 rows, refreshed, which changed 4 of 2025-10-01 to 2025-10-02'
    assert told(settings, 'gam_daily_summary') == all_rows
    deliver(settings.data_dir, 'gam_delivery_20251003.csv', ad(2, 'c'))  # a day late
    run_days(2, 2, 'ads_revenue')
    one_row = 'gold.gam_daily_summary: 5 rows, refreshed, which changed 1 of 2025-10-02'
    assert told(settings, 'gam_daily_summary') == one_row
    assert told(settings, 'daily_summary') == 'gold.daily_summary: 5 rows, refreshed'
    before = last_refresh(settings, 'gam_daily_summary')
    run_days(2, 2, 'ads_revenue')  # nothing new: still about the refresh before, as its time says
    assert last_refresh(settings, 'gam_daily_summary') == before


def test_of_what_is_no_mart_or_was_never_refreshed_nothing_is_told(settings: Settings) -> None:
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', ad(1, 'a'))
    run_days(1, 1, 'ads_revenue')
    assert last_refresh(settings, 'ga4_daily_summary') is None
    assert last_refresh(settings, 'export_gam_delivery') is None
