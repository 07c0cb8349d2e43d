"""Both pipelines on BigQuery's emulator: the same rows in gold as the oracle works out, whatever happens on the way."""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.announced import Announced
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.correcting import Delivered
from kly_mage.warehouse.bigquery.engine import BigQuery
from kly_mage.warehouse.bigquery.load_script import load_script
from kly_mage.warehouse.bigquery.staging import Staged
from kly_mage.warehouse.choice import warehouse
from tests.corrections import ads_hold_whole_days
from tests.delivery import HEADERS, ad, ads, deliver
from tests.gold import Query
from tests.gold import assert_gold_is_exact as of_gold

assert_gold_is_exact = partial(of_gold, ratios=False)  # the emulator divides with doubles


@pytest.mark.slow
def test_a_load_that_ends_between_its_jobs_leaves_nothing_half_done(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its client is gone while BigQuery goes on: what the ledger says of it is what has become of it."""
    deliver(settings, 'gam_delivery_20251001.csv', f'{ad("top")},x', header=f'{HEADERS["gam_delivery"]},further')
    run = Client.run

    def dying(at: str, is_done: bool, error: BaseException) -> Any:
        def ask(self: Client, text: str, values: Any = None, *, what: str, **given: Any) -> Any:
            told = run(self, text, values, what=what, **given) if what != at or is_done else []
            if what == at:
                raise error
            return told

        return ask

    def counts() -> tuple[int, int, str]:
        (rows,) = query('select count(*) from bronze.gam_delivery')
        (summed,) = query('select count(*) from gold.gam_daily_summary')
        states = query('select status from ops.loads order by load_id')
        return rows[0], summed[0], ' '.join(state for (state,) in states)

    refused, gone = WarehouseError('gone'), KeyboardInterrupt()
    for *moment, code, left in (
        ('columns', True, gone, 130, (0, 0, 'failed')),
        ('load', False, refused, 1, (0, 0, 'failed failed')),
        ('load', True, gone, 130, (1, 0, 'failed failed done')),
        ('refresh', False, refused, 1, (1, 0, 'failed failed done done')),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Client, 'run', dying(*moment))
            assert ads() == code
        assert counts() == left
    assert ads() == 0
    assert query('select revenue_usd, further from bronze.gam_delivery') == [(Decimal(1), 'x')]
    assert_gold_is_exact(query, settings.data_dir)
    # A script that comes after its load was called failed does nothing.
    (failed, *_) = (number for (number,) in query("select load_id from ops.loads where status = 'failed'"))
    days = {
        'start': date(2025, 10, 1),
        'end': date(2025, 10, 1),
        'started_by': 'test',
        'pipeline_run': None,
        'reasons': '{}',
    }
    files = {each: [''] for each in ('file_names', 'file_sizes', 'file_times', 'read', 'found', 'left_out')}
    nothing, day = Delivered({}, {}), Window(date(2025, 10, 1), date(2025, 10, 1))
    late = load_script(
        GAM_DELIVERY,
        failed,
        Staged([], Announced(GAM_DELIVERY, day)),
        [],
        known=[],
        delivered=nothing,
        window=day,
        now=day.end,
        timezone='UTC',
    )
    assert BigQuery(settings).client.run(late, days | files, what='test') == []


def served(day: int, line_item: str, content: str, impressions: int, revenue: str) -> str:
    return f'2025-10-0{day}T12:00:00+07:00,/top,{line_item},c,{content},{impressions},0,{revenue}'


@pytest.mark.usefixtures('without_tables')  # those of another declaration are refused
def test_the_page_of_ads_says_what_reports_that_hold_whole_days_have_corrected(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ads_hold_whole_days(monkeypatch, 3)
    first = served(1, 'l1', 'a', 10, '1.00'), served(1, 'l2', 'b', 5, '0.50'), served(2, 'l1', 'a', 20, '2.00')
    second = served(1, 'l9', 'a', 1, '0.10'), served(2, 'l1', 'a', 21, '2.10'), served(2, 'l3', 'c', 3, '0.30')
    # The third comes late: newer than the first for the 1st, older than the second for all else.
    third = served(1, 'l1', 'a', 12, '1.20'), served(2, 'l1', 'a', 99, '9.90')
    for day, rows in ((2, first), (4, (*second, served(3, 'l1', 'a', 30, '3.00'))), (3, third)):
        deliver(settings, f'gam_delivery_2025100{day}.csv', *rows)
        ads('2025-10-01', '2025-10-04', '--quiet')
    reader, days = warehouse(settings).reader(), {'start': date(2025, 10, 1), 'end': date(2025, 10, 4)}
    by_line_item = reader.query('ads', days | {'by': 'line_item'}).rows
    assert [(name, rows, revenue) for name, rows, *_, revenue, _, _ in by_line_item] == [
        ('l1', 3, Decimal('6.3')),  # 1.20 + 2.10 + 3.00
        ('l3', 1, Decimal('0.3')),
        ('l9', 1, Decimal('0.1')),
    ]
    corrected = reader.query('corrections_gam', days).rows
    assert [(day.day, impressions, revenue) for _, _, day, impressions, _, revenue in corrected] == [
        (1, -3, Decimal('-0.3')),  # 12 and 1.20 in place of 10 and 5, 1.00 and 0.50
        (2, 1, Decimal('0.1')),  # 21 and 2.10 in place of 20 and 2.00
    ]
