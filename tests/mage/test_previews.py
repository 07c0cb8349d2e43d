"""The previews of the marts: the rows of the days that were loaded last, whatever the mart has built before."""

from datetime import date

import pytest

from kly_mage.common.settings import PROJECT, Settings
from tests.delivery import ad, ads, deliver
from tests.gold import Query

# What Mage puts into the text for a run, and nothing in the editor.
RUN = '{{ pipeline_run_id }}'


@pytest.mark.parametrize('name', ['gam_daily_summary', 'daily_summary'])
def test_a_preview_shows_the_days_that_were_loaded_last_also_if_they_brought_nothing_new(
    settings: Settings, query: Query, name: str
) -> None:
    for day in (1, 2, 3):
        deliver(settings, f'gam_delivery_2025100{day}.csv', ad(day=f'2025-10-0{day}'))
        assert ads(f'2025-10-0{day}') == 0
    text = (PROJECT / 'data_loaders' / f'preview_{name}.sql').read_text('utf-8')
    assert text.count(RUN) == 1

    def shown(run: str = '') -> list[date]:
        return sorted({row[0] for row in query(text.replace(RUN, run))})

    assert shown() == [date(2025, 10, 3)]
    assert ads('2025-10-01') == 0
    assert shown() == [date(2025, 10, 1)]
    assert ads('2025-10-01', '2025-10-02') == 0
    assert shown() == [date(2025, 10, 1), date(2025, 10, 2)]
    # A backfill's days run side by side: each run shows its own.
    query("update ops.loads set pipeline_run = '7' where start_day = '2025-10-03'")
    assert shown('7') == [date(2025, 10, 3)]
    assert shown('8') == [date(2025, 10, 1), date(2025, 10, 2)]
