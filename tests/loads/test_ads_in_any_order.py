"""Random programs over Ad Manager's files, each of which holds some days whole: all ends in the last truth of each day.

The truth is the oracle's: of a local day the rows of the newest file that holds it whole, of later files that bring late
rows, and of files without a day.
"""

import pytest

from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres.server import server
from tests.corrections import ads_hold_whole_days
from tests.gold import Query, assert_gold_is_exact
from tests.loads.test_deliveries_in_any_order import DAYS, Program, Row, run_program
from tests.scenes import run_days

pytestmark = pytest.mark.one_version

WHOLE_DAYS = (1, 3, 5)  # by the number of the program: less and more than rows may be late


class AdsProgram(Program):
    """The same for files of Ad Manager."""

    source, mart, pipeline = 'gam_delivery', 'gam_daily_summary', 'ads_revenue'
    steps = (*('deliver',) * 8, *('run',) * 6, 'load', 'refresh', 'crash', 'rebuild', 'unload', 'repair')
    fewest, most, begins = 12, 18, True
    header = 'served_at,ad_unit,line_item,content_id,impressions,clicks,revenue_usd'

    def row(self, day: int) -> Row:
        """An ad row of a few: the same one comes again, with other numbers, of another article or day."""
        pick = self.random.choice
        at = max(day - pick((0, 0, 1, 2, 3)), 1)
        whole = SOURCES['gam_delivery'].whole_days or 1
        if not any(0 <= of - at < whole for of in (day, *(of for of, kind, _ in self.files.values() if kind == 'whole'))):
            at = day  # of a day that no file holds whole, a file that is replaced takes no rows away: repair does
        amount = pick(('0.1', '0.10', '-1', '3.000001'))
        return (
            f'2025-10-{at:02}T1{pick(range(3))}:00:00+07:00',
            '/top',
            'l',
            pick(('a', 'b', '')),
            pick('012'),
            '0',
            amount,
        )

    def deliver(self) -> str:
        if self.random.random() < 0.15:  # of no day: it only adds
            name, rows = f'gam_delivery_extra{len(self.told)}.csv', [self.row(DAYS) for _ in range(2)]
            self.write(name, 0, 'extra', rows)
            return f'deliver {name}: {rows}'
        day, parts = self.random.randint(1, DAYS), self.random.randint(1, 2)
        rows = [self.row(day) for _ in range(self.random.randint(0, 4))]
        before = [row for of, kind, found in self.files.values() if kind == 'whole' and of <= day for row in found]
        for row in before:
            chance = self.random.random()
            if chance < 0.7:
                rows.append(row if chance < 0.5 else (*row[:4], str(self.random.randrange(3)), *row[5:]))
        self.withdraw(day, 'whole')
        for part in range(parts):
            self.write(f'gam_delivery_202510{day:02}-{part}.csv', day, 'whole', rows[part::parts])
        return f'deliver the ads of {day} in {parts}: {rows}'

    def assert_gold_is_true(self) -> None:
        assert_gold_is_exact(self.query, self.settings.data_dir)


def run_programs(seeds: range, settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        ads_hold_whole_days(monkeypatch, WHOLE_DAYS[seed % len(WHOLE_DAYS)])
        run_program(AdsProgram(seed, server(settings), query, monkeypatch), seed)


def test_whole_days_of_ads_in_any_order_end_in_the_last_truth_of_each_day(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    ads_hold_whole_days(monkeypatch, 1)
    run_days(1, 1, 'ads_revenue')
    run_programs(range(9), settings, query, monkeypatch)


@pytest.mark.slow
def test_many_more_programs(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    ads_hold_whole_days(monkeypatch, 1)
    run_days(1, 1, 'ads_revenue')
    run_programs(range(1000, 1250), settings, query, monkeypatch)
