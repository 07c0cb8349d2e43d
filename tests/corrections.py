"""A few days of GA4's export that are delivered, and delivered again: restated, moved, withdrawn, with new events."""

from dataclasses import replace
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from tests import oracle
from tests.gold import Query, assert_gold_is_exact, gold

DAYS = 6
EVENTS = 60
BACKFILL = (
    'backfill',
    '--pipeline',
    'articles_performance',
    '--start',
    '2025-10-01',
    '--end',
    f'2025-10-{DAYS:02}',
    '--quiet',
)
HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source'


def ads_hold_whole_days(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Declare that a file of Ad Manager holds so many days whole, for the product and for the oracle."""
    whole = replace(
        GAM_DELIVERY,
        complete=('gam_delivery',),
        whole_days=days,
        hash_columns=None,
        key_columns=GAM_DELIVERY.hash_columns or (),
    )
    monkeypatch.setitem(SOURCES, 'gam_delivery', whole)
    monkeypatch.setattr(oracle, 'WHOLE_DAYS', days)


def event(day: int, n: int, content: str | None = None, source: str = '') -> str:
    """A page view or engagement of one October day: two of a session, on articles a0, a1, a2 if no other is named."""
    name = 'page_view' if n % 3 else 'user_engagement'
    stamp = f'2025-10-{day:02}T05:{n // 60:02}:{n % 60:02}Z'
    return f'{stamp},{name},u{n // 2},s1,{content or f"a{n // 2 % 3}"},{source}'


def deliver_before(landing: Path) -> None:
    """The tables of all days, of the last one the intraday table alone; and an article."""
    for day in range(1, DAYS + 1):
        _write(landing, 'events_intraday' if day == DAYS else 'events', day, [event(day, n) for n in range(EVENTS)])
    path = landing / 'cms_articles' / 'cms_articles.csv'
    path.write_text('content_id,site,title,author,section,publish_timestamp\na1,s,t,a,n,2025-09-01\n', 'utf-8')


def deliver_after(landing: Path) -> None:
    """The tables of all days once more, of the last one the daily table beside the intraday one.

    Of the 60 events of a day 10 have a traffic source now, 6 another article (with 3 whole sessions), 4 are gone (with 2
    sessions), and 5 are new.
    """
    for day in range(1, DAYS + 1):
        rows = [event(day, n, source='google') for n in range(10)]
        rows += [event(day, n, 'moved') for n in range(10, 16)]
        rows += [event(day, n) for n in range(20, EVENTS + 5)]
        _write(landing, 'events', day, rows)


def assert_all_agree(settings: Settings, query: Query) -> None:
    """After both deliveries are loaded: gold is exact, each correction was written down once, and whoever asks agrees."""
    assert_gold_is_exact(query, settings.data_dir)
    assert query('select why, sign, count(*) from bronze.ga4_events_corrections group by 1, 2 order by 1') == [
        ('superseded', -1, DAYS * 16),
        ('withdrawn', -1, DAYS * 4),
    ]
    places = [
        'duplicate',
        'new',
        'already_loaded',
        'superseded',
        'rejected',
        'conflicting',
        'outside',
        'forgotten',
        'unchanged',
    ]
    sums = ' + '.join(f'rows_{place}' for place in places)
    assert query(f"select count(*) from ops.loads where status = 'done' and rows_read <> {sums}") == [(0,)]
    assert query("select count(*) from ops.loads where status <> 'done' and rows_new > 0") == [(0,)]
    report = verify(settings)
    assert report is not None
    assert report.differences == []
    before = gold(query)
    rebuild(settings)
    assert gold(query) == before
    assert reconcile(settings).accounted
    assert main(['repair', '--quiet']) == 0
    assert gold(query) == before


def _write(landing: Path, kind: str, day: int, rows: list[str]) -> None:
    path = landing / 'ga4_events' / f'{kind}_202510{day:02}.csv'
    path.write_text('\n'.join([HEADER, *rows, '']), 'utf-8')
