"""A corrected day explained, with each place taken: of the newest delivery, and of those before it; worked out by hand."""

from decimal import Decimal
from pathlib import Path

import pytest

from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.model import EARLIER, PLACES, Line
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.server import server
from tests.corrections import ads_hold_whole_days
from tests.delivery import ad, ads, backfill
from tests.delivery import deliver as deliver_plain
from tests.gold import Query

pytestmark = pytest.mark.one_version

HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source,batch_event_index'


def event(n: int, source: str = '', name: str = 'page_view', at: str = '2025-10-01T12:00:00+07:00') -> str:
    return f'{at},{name},u{n},s1,7,{source},{n}'


def deliver(settings: Settings, name: str, *rows: str) -> Path:
    path = settings.data_dir / 'ga4_events' / name
    path.write_text('\n'.join([HEADER, *rows, '']), 'utf-8')
    return path


def rows_of(line: Line) -> dict[str, int]:
    return {place: line.rows.get(place, 0) for place in (*PLACES, *EARLIER)}


def amounts_of(line: Line, measure: str) -> dict[str, Decimal]:
    """Where there are any: places without a row have none."""
    return {place: line.sum(measure, place) for place in (*PLACES, *EARLIER) if line.sum(measure, place)}


NOTHING = dict.fromkeys((*PLACES, *EARLIER), 0)


def test_a_day_delivered_again_is_explained_in_rows_and_in_page_views(settings: Settings, query: Query) -> None:
    early = [event(1), event(2), event(3, name='user_engagement'), event(4), event(4)]
    deliver(settings, 'events_intraday_20251001.csv', *early)
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    newest = [event(1, 'google'), event(2), event(2), event(5), event(6, at='no time'), event(7, at='2025-09-01')]
    deliver(settings, 'events_20251001.csv', *newest)
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    line = reconcile(server(settings), ['ga4_events']).total('ga4_events')
    # The newest delivery: 6 = 3 that count (1, 2, 5) + 1 equal (2) + 1 rejected (6) + 1 outside (7).
    of_newest = {'bronze': 3, 'duplicate': 1, 'rejected': 1, 'outside': 1}
    # The one before it: 5 rows of the file, in whose place the newest stands. Bronze has 4 distinct ones (1, 2, 3, 4): one
    # is what the newest has as well (2), of one that has another version (1), of two nothing (3, 4).
    assert rows_of(line) == NOTHING | of_newest | {'superseded': 5} | {'replaced': 1, 'withdrawn': 2}
    assert sum(of_newest.values()) == len(newest)
    assert line.rows['read'] == len(newest) + len(early)
    assert query('select count(*) from bronze.ga4_events') == [(3 + 1 + 2,)]
    # 1, 2 and 5 count; 2 is equal; 7 is outside; of 6 nothing is known. Before: 1, 2, and 4 twice; of these 1 is replaced,
    # and 4, which counted once, is withdrawn.
    assert amounts_of(line, 'pageviews') == {
        'bronze': 3,
        'duplicate': 1,
        'outside': 1,
        'superseded': 4,
        'replaced': 1,
        'withdrawn': 1,
    }
    assert amounts_of(line, 'user_engagements') == {'superseded': 1, 'withdrawn': 1}
    assert query('select pageviews::int, user_engagements::int from gold.ga4_daily_summary') == [(3, 0)]


def test_a_day_of_ads_is_explained_in_rows_and_to_the_cent(settings: Settings, query: Query) -> None:
    rows = [ad('a', '1.10'), ad('a', '1.1'), ad('b', '2.25'), ad('b', '2.75'), ad('c', '4.5', impressions='x')]
    deliver_plain(settings, 'gam_delivery_20251001.csv', *rows, ad('d', '8.001', day='2025-09-01'), ad('e', '-0.05'))
    ads()
    line = reconcile(server(settings), ['gam_delivery']).total('gam_delivery')
    # 7 = 3 that count (a, b, e) + 1 equal (a) + 1 rejected (c) + 1 in conflict (b) + 1 outside (d).
    assert rows_of(line) == NOTHING | {'bronze': 3, 'duplicate': 1, 'rejected': 1, 'conflict': 1, 'outside': 1}
    assert amounts_of(line, 'revenue_usd') == {
        'bronze': Decimal('3.30'),  # 1.10 + 2.25 - 0.05
        'duplicate': Decimal('1.10'),
        'rejected': Decimal('4.5'),
        'conflict': Decimal('2.75'),
        'outside': Decimal('8.001'),
    }
    # 1.10 + 1.1 + 2.25 + 2.75 + 4.5 + 8.001 - 0.05
    assert line.sum('revenue_usd', 'read') == line.sum('revenue_usd', *PLACES) == Decimal('19.651')
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal('3.30'),)]


def test_a_day_of_ads_delivered_again_is_explained_to_the_cent(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    ads_hold_whole_days(monkeypatch, 2)  # and then nothing conflicts: another version is a restatement
    early = [ad('a', '1.10'), ad('b', '2.25'), ad('c', '4')]
    deliver_plain(settings, 'gam_delivery_20251001.csv', *early)
    ads()
    newest = [ad('a', '1.10'), ad('a', '1.1'), ad('b', '2.5'), ad('c', '0.5', impressions='x'), ad('e', '0.4')]
    deliver_plain(settings, 'gam_delivery_20251002.csv', *newest, ad('d', '8.001', day='2025-09-01'))
    ads('2025-10-01', '2025-10-02')
    line = reconcile(server(settings), ['gam_delivery']).total('gam_delivery')
    # The newest: 6 = 3 that count (a, b, e) + 1 equal (a) + 1 rejected (c) + 1 outside (d). Of the 3 before, a is the same.
    assert rows_of(line) == NOTHING | {
        **{'bronze': 3, 'duplicate': 1, 'rejected': 1, 'outside': 1},
        **{'superseded': 3, 'replaced': 1, 'withdrawn': 1},
    }
    assert amounts_of(line, 'revenue_usd') == {
        'bronze': Decimal('4.0'),  # 1.10 + 2.5 + 0.4
        'duplicate': Decimal('1.10'),
        'rejected': Decimal('0.5'),
        'outside': Decimal('8.001'),
        'superseded': Decimal('7.35'),  # 1.10 + 2.25 + 4
        'replaced': Decimal('2.25'),
        'withdrawn': Decimal(4),
    }
    assert line.sum('revenue_usd', 'read') == line.sum('revenue_usd', *PLACES) == Decimal('20.951')
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal('4.0'),)]
