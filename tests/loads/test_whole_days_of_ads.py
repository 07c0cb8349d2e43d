"""A report of Ad Manager that holds its last days whole takes the place of those before it, where that is declared."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from kly_mage.__main__ import main
from kly_mage.checks import status
from kly_mage.checks.verify import verify
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from kly_mage.warehouse.postgres.reading import ask
from kly_mage.warehouse.postgres.reading import query as question
from kly_mage.warehouse.postgres.server import server
from tests.corrections import ads_hold_whole_days
from tests.delivery import ads, deliver
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import refresh

GOLD = (
    'select extract(day from served_date)::int, content_id, impressions, revenue_usd::text from gold.gam_daily_summary'
    ' order by 1, 2'
)
COUNTS = 'rows_read, rows_new, rows_already_loaded, rows_superseded, rows_replaced, rows_withdrawn'


def row(day: int, line_item: str, content: str, impressions: int, revenue: str) -> str:
    return f'2025-10-0{day}T12:00:00+07:00,/top,{line_item},c,{content},{impressions},0,{revenue}'


def test_a_report_of_the_last_three_days_takes_the_place_of_those_before_it(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ads_hold_whole_days(monkeypatch, 3)

    def last() -> tuple[int, ...]:
        return query(f'select {COUNTS} from ops.loads order by load_id desc limit 1')[0]

    deliver(
        settings,
        'gam_delivery_20251002.csv',
        row(1, 'l1', 'a', 10, '1.00'),
        row(1, 'l2', 'b', 5, '0.50'),
        row(2, 'l1', 'a', 20, '2.00'),
    )
    assert ads('2025-10-01', '2025-10-02', '--quiet') == 0  # no file of the 1st is missing: this one holds it
    assert query(GOLD) == [(1, 'a', 10, '1'), (1, 'b', 5, '0.5'), (2, 'a', 20, '2')]
    # Whole are the 2nd to the 4th: one row has other numbers, one is new; of the 1st it brings a late row.
    deliver(
        settings,
        'gam_delivery_20251004.csv',
        row(1, 'l9', 'a', 1, '0.10'),
        row(2, 'l1', 'a', 21, '2.10'),
        row(2, 'l3', 'c', 3, '0.30'),
        row(3, 'l1', 'a', 30, '3.00'),
    )
    assert ads('2025-10-01', '2025-10-04', '--quiet') == 3  # a year later these days had been final
    second = [(2, 'a', 21, '2.1'), (2, 'c', 3, '0.3'), (3, 'a', 30, '3')]
    assert query(GOLD) == [(1, 'a', 11, '1.1'), (1, 'b', 5, '0.5'), *second]
    assert last() == (7, 4, 2, 1, 1, 0)  # the 2nd of the older file is superseded, and replaced in bronze
    # The report of the 3rd comes late: newer than the first for the 1st, older than the second for all else.
    deliver(settings, 'gam_delivery_20251003.csv', row(1, 'l1', 'a', 12, '1.20'), row(2, 'l1', 'a', 99, '9.90'))
    assert ads('2025-10-01', '2025-10-04', '--quiet') == 3  # article b has lost its only row
    assert query(GOLD) == [(1, 'a', 13, '1.3'), *second]  # 12 and the late 1
    assert last() == (9, 1, 4, 4, 1, 1)
    assert_gold_is_exact(query, settings.data_dir)
    assert query(
        "select content_id, before, after from gold.restatements where measure = 'revenue_usd' and day = '2025-10-01'"
        ' order by 1'
    ) == [('a', Decimal('1.1'), Decimal('1.3')), ('b', Decimal('0.5'), Decimal(0))]
    settings = server(settings)
    assert verify(settings).differences == []
    capsys.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery', '--quiet']) == 0
    assert capsys.readouterr().out == 'every cent accounted for\n'
    days = {'start': date(2025, 10, 1), 'end': date(2025, 10, 4)}  # as the page of ads asks
    span = ask(settings, question('span'), days | {'source': 'gam_delivery', 'article': ''})
    brought = dict(zip(span.columns, span.rows[0], strict=True))
    by_line_item = ask(settings, question('ads'), days | brought | {'by': 'line_item', 'article': ''}).rows
    assert [(name, rows, revenue) for name, rows, *_, revenue, _, _ in by_line_item] == [
        ('l1', 3, Decimal('6.3')),  # 1.20 + 2.10 + 3.00
        ('l3', 1, Decimal('0.3')),
        ('l9', 1, Decimal('0.1')),
    ]
    assert [
        (load, day.day, revenue) for _, load, day, _, _, revenue in ask(settings, question('corrections_gam'), days).rows
    ] == [
        (3, 1, Decimal('-0.3')),  # 1.20 in place of 1.00 + 0.50
        (2, 2, Decimal('0.1')),  # 2.10 in place of 2.00
    ]
    (of_ads,) = status.status(settings, [SOURCES['gam_delivery']], Window(date(2025, 10, 1), date(2025, 10, 4)))
    assert [day.state for day in of_ads.days] == ['loaded', 'loaded', 'loaded', 'empty day']


def test_the_blocks_of_mage_correct_alike(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    ads_hold_whole_days(monkeypatch, 2)
    days = {'start_date': '2025-10-01', 'end_date': '2025-10-02'}
    deliver(settings, 'gam_delivery_20251001.csv', row(1, 'l1', 'a', 10, '1.00'), row(1, 'l2', 'b', 5, '0.50'))
    for wanted in ([(1, 'a', 10, '1'), (1, 'b', 5, '0.5')], [(1, 'a', 11, '1.1'), (2, 'b', 6, '0.6')]):
        done = export_new_rows(hash_rows(read_days('gam_delivery', days), 'gam_delivery'), 'gam_delivery', days)
        refresh('gam_daily_summary')
        refresh('daily_summary')
        assert query(GOLD) == wanted
        deliver(settings, 'gam_delivery_20251002.csv', row(1, 'l1', 'a', 11, '1.10'), row(2, 'l2', 'b', 6, '0.60'))
    assert '2 superseded, 1 of bronze replaced, 1 of bronze withdrawn; needs a look' in str(done['line'])
    assert query('select distinct _file from bronze.gam_delivery_hashrow order by 1') == [
        ('gam_delivery/gam_delivery_20251001.csv',),
        ('gam_delivery/gam_delivery_20251002.csv',),
    ]
    assert verify(server(settings)).differences == []


def test_what_holds_whole_days_is_hashed_over_all_columns() -> None:
    with pytest.raises(ValueError, match='gam_delivery: with complete, let key_columns name what hash_columns does'):
        replace(GAM_DELIVERY, complete=('gam_delivery',))
    with pytest.raises(ValueError, match='whole_days is at least 1, of the files that complete names'):
        replace(GAM_DELIVERY, whole_days=7)
    whole = replace(GAM_DELIVERY, hash_columns=None, complete=('gam_delivery',), whole_days=7)
    with pytest.raises(ValueError, match='files whose day is one of another zone hold no local day whole'):
        replace(whole, file_timezone='UTC')
    assert (whole.late(3), whole.late(9)) == (6, 9)  # the 7 days of a file are its own and 6 before
