"""A few days that are delivered twice: GA4's export (restated, moved, withdrawn), and ads of which the newest row counts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.ledger import PARTS
from tests import oracle
from tests.gold import Query, assert_gold_is_exact, gold

DAYS = 6
EVENTS, ADS = 60, 40
HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source'
HEADER_OF_ADS = 'served_at,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd'
KEY_OF_ADS = ('served_at', 'ad_unit', 'line_item', 'creative')  # so a row may move to another article


@dataclass(frozen=True)
class Scene:
    """What is delivered and delivered again.

    Attributes:
        source: its name.
        pipeline: the one that loads it.
        corrects: module and name of the method in which a load corrects what counts.
        declares: what is declared otherwise than it is, by source.
        before: writes the first deliveries into a landing zone.
        after: writes the second ones.
        log: what loads write down of it: why, sign, rows.
    """

    source: str
    pipeline: str
    corrects: tuple[str, str]
    declares: dict[str, Source]
    before: Callable[[Path], None]
    after: Callable[[Path], None]
    log: list[tuple[str, int, int]]

    @property
    def backfill(self) -> list[str]:
        """The command that loads all days."""
        days = ['--start', '2025-10-01', '--end', f'2025-10-{DAYS:02}']
        return ['backfill', '--pipeline', self.pipeline, *days, '--quiet']

    def declare(self) -> None:
        """Declare it so, in this process."""
        SOURCES.update(self.declares)

    def begin(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first deliveries are loaded, the second ones are there."""
        for name, source in self.declares.items():
            monkeypatch.setitem(SOURCES, name, source)
        monkeypatch.setattr(oracle, 'NEWEST_COUNTS', bool(self.declares))
        monkeypatch.setattr(oracle, 'GAM_KEY', KEY_OF_ADS if self.declares else oracle.GAM_KEY)
        self.before(settings.data_dir)
        assert main(self.backfill) == 0
        self.after(settings.data_dir)


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


def _events(landing: Path) -> None:
    """The tables of all days, of the last one the intraday table alone; and an article."""
    for day in range(1, DAYS + 1):
        _write(landing, 'events_intraday' if day == DAYS else 'events', day, [event(day, n) for n in range(EVENTS)])
    path = landing / 'cms_articles' / 'cms_articles.csv'
    path.write_text('content_id,site,title,author,section,publish_timestamp\na1,s,t,a,n,2025-09-01\n', 'utf-8')


def _events_again(landing: Path) -> None:
    """The tables of all days once more, of the last one the daily table beside the intraday one.

    Of the 60 events of a day 10 have a traffic source now, 6 another article (with 3 whole sessions), 4 are gone (with 2
    sessions), and 5 are new.
    """
    for day in range(1, DAYS + 1):
        rows = [event(day, n, source='google') for n in range(10)]
        rows += [event(day, n, 'moved') for n in range(10, 16)]
        rows += [event(day, n) for n in range(20, EVENTS + 5)]
        _write(landing, 'events', day, rows)


def _ad(day: int, n: int, impressions: int = 10, content: str | None = None) -> str:
    return f'2025-10-{day:02}T05:00:{n:02}Z,/top,l{n},c,{content or f"a{n % 3}"},{impressions},{n % 2},{impressions}.25'


def _ads(landing: Path) -> None:
    """A file a day."""
    for day in range(1, DAYS + 1):
        _write(landing, 'gam_delivery', day, [_ad(day, n) for n in range(ADS)])


def _ads_again(landing: Path) -> None:
    """A second file of each day: of its 40 rows 10 have other numbers, 4 another article, 5 come as they were; 3 are new.

    It restates a row of the day before, too, and one row is there twice, with two amounts: the first of them counts.
    """
    for day in range(1, DAYS + 1):
        rows = [_ad(day, n, 12 + n) for n in range(10)]
        rows += [_ad(day, n, content='moved') for n in range(10, 14)]
        rows += [_ad(day, n) for n in range(14, 19)]
        rows += [_ad(day, n) for n in range(ADS, ADS + 3)]
        rows += [_ad(day - 1, 30, 7)] if day > 1 else []
        rows += [_ad(day, 0, 99)]
        _write(landing, 'gam_delivery', day, rows, '_again')


def assert_all_agree(scene: Scene, settings: Settings, query: Query) -> None:
    """After both deliveries are loaded: gold is exact, each correction was written down once, and whoever asks agrees."""
    assert_gold_is_exact(query, settings.data_dir)
    log = f'select why, sign, count(*) from bronze.{scene.source}_corrections group by 1, 2 order by 1'
    assert query(log) == scene.log
    sums = ' + '.join(f'rows_{place}' for place in (*PARTS, 'outside'))
    assert query(f"select count(*) from ops.loads where status = 'done' and rows_read <> {sums}") == [(0,)]
    assert query("select count(*) from ops.loads where status <> 'done' and rows_new > 0") == [(0,)]
    report = verify(settings)
    assert report is not None
    assert report.differences == []
    before = gold(query)
    rebuild(settings)
    assert gold(query) == before
    assert reconcile(settings).accounted
    assert main(['repair', '--quiet']) in (0, 3)  # 3: rows that wait for a decision
    assert gold(query) == before
    assert query(log) == scene.log


def _write(landing: Path, kind: str, day: int, rows: list[str], ending: str = '') -> None:
    of_ads = kind == 'gam_delivery'
    path = landing / ('gam_delivery' if of_ads else 'ga4_events') / f'{kind}_202510{day:02}{ending}.csv'
    path.write_text('\n'.join([HEADER_OF_ADS if of_ads else HEADER, *rows, '']), 'utf-8')


SCENES = {
    'events': Scene(
        'ga4_events',
        'articles_performance',
        ('kly_mage.warehouse.postgres.deliveries', 'Deliveries.settle'),
        {},
        _events,
        _events_again,
        [('superseded', -1, DAYS * 16), ('withdrawn', -1, DAYS * 4)],
    ),
    'ads': Scene(
        'gam_delivery',
        'ads_revenue',
        ('kly_mage.warehouse.postgres.conflicts', 'Versions.restate'),
        {'gam_delivery': replace(GAM_DELIVERY, hash_columns=KEY_OF_ADS, restatements='apply')},
        _ads,
        _ads_again,
        [('restated', 1, DAYS * 15 - 1), ('superseded', -1, DAYS * 15 - 1)],  # 10 + 4, and one of the day before
    ),
}
