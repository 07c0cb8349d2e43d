"""Rules of the declarations, whichever warehouse it is: rows that break them are counted, or stop their load."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import AgainstArticle, Freshness, Rule, Volume
from tests.clock import lasting_day
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.gold import Query
from tests.warehouse.both import *  # noqa: F403 -- fixtures

Declare = Callable[..., None]
Captured = pytest.CaptureFixture[str]
LOADS = "select status, rows_new from ops.loads where source = 'gam_delivery' order by load_id"


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Give the ads another declaration for the time of a test."""

    def change(**what: Any) -> None:
        monkeypatch.setitem(SOURCES, 'gam_delivery', replace(SOURCES['gam_delivery'], **what))

    return change


def test_rows_that_break_a_rule_are_loaded_counted_once_and_shown(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    rows = [ad('a', clicks='2', impressions='1'), ad('b', '0.5', impressions='0'), ad('c', '0.5', clicks='1')]
    deliver(settings, 'gam_delivery_20251001.csv', *rows)
    # The edition of 8 that counts is published behind the event, the one before it was not.
    deliver(settings, 'cms_articles_20251001.csv', article('7', title=''), article('8'), article('9', published=''))
    deliver(settings, 'cms_articles_20251002.csv', article('8', 'Later', published='2025-10-01T12:00:01+07:00'))
    deliver(settings, 'ga4_events_20251001.csv', event(name='pageview'), event(), event(content='8'), event(content='9'))
    assert backfill('2025-10-01', '2025-10-02') == 3
    backfill('2025-10-01', '2025-10-02')  # known rows are not counted again
    counted = [
        ('cms_articles', 'an article has a publish time', 1),
        ('cms_articles', 'an article has a title', 1),
        ('ga4_events', 'an article is published before its events', 1),
        ('ga4_events', 'an event has a name GA4 knows', 1),
        ('gam_delivery', 'clicks are at most the impressions', 1),
        ('gam_delivery', 'revenue comes with impressions', 1),
    ]
    told = 'select loads.source, rule, rows_broken from ops.load_rules as broken'
    told += ' inner join ops.loads as loads on broken.load_id = loads.load_id order by 1, 2'
    assert query(told) == counted
    assert query('select count(*) from bronze.gam_delivery') == [(3,)]
    capsys.readouterr()
    main(['status', '--json'])
    sources = json.loads(capsys.readouterr().out)['sources']
    assert {name: each['rules'] for name, each in sources.items()} == {
        name: {rule: rows for source, rule, rows in counted if source == name} for name in sources
    }
    main(['status', '--source', 'gam_delivery'])
    assert '1 row breaks the rule: clicks are at most the impressions' in capsys.readouterr().out


def test_a_rule_of_articles_compares_a_new_version_with_the_one_that_counts_behind_its_load(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Rule('an article keeps its time', AgainstArticle('publish_timestamp', '<>', 'publish_timestamp'))
    monkeypatch.setitem(SOURCES, 'cms_articles', replace(SOURCES['cms_articles'], rules=(moved,)))

    def delivered(day: int, *hours: int) -> list[int]:
        """How many new rows break it, by load, after a file with these versions."""
        rows = (article('7', published=f'2025-10-01T{hour:02}:00:00+07:00') for hour in hours)
        deliver(settings, f'cms_articles_202510{day:02}.csv', *rows)
        backfill('2025-10-01', '2025-10-09', '--pipeline', 'articles_performance')
        told = 'select sum(rows_broken) from ops.load_rules group by load_id order by load_id'
        return [int(rows) for (rows,) in query(told)]

    assert delivered(3, 1, 2) == [1]  # of two versions in one file the last counts
    assert delivered(4, 3) == [1]  # which is the newest itself
    assert delivered(2, 4) == [1, 1]  # an older file: 3 stays the newest
    assert delivered(5, 5, 1) == [1, 1, 1]  # 1 is known, and the newest again


def test_a_broken_stop_rule_fails_the_load_before_anything_can_be_seen(
    settings: Settings, query: Query, declare: Declare, capsys: Captured
) -> None:
    cheap = Rule("ads' prices: low", 'revenue_usd / impressions > 10', 'stop')  # of no impressions as well
    young = Rule('ads are young', AgainstArticle('served_at', '<', 'publish_timestamp'), 'stop')
    warns = Rule('ads are seen', 'impressions = 0')
    declare(rules=(warns, cheap, young))
    deliver(settings, 'cms_articles_20251001.csv', article('7', published='2025-10-01T12:00:00+07:00'))
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    early = ad('early').replace('T12', 'T11')
    path = deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b', '0', '0'), ad('c', '101'), ad('d', '999'), early)
    capsys.readouterr()
    assert ads('2025-10-01', None, '--quiet') == 1
    assert capsys.readouterr().err.splitlines() == [
        'error: gam_delivery: 2 rows break "ads\' prices: low"; 1 row breaks "ads are young"; nothing of this load was '
        'written. Repair the files, or let the rule warn in kly_mage/declared/gam_delivery.py'
    ]
    for table in ('bronze.gam_delivery', 'bronze.gam_delivery_hashrow', 'bronze.gam_delivery_conflicts', 'ops.load_days'):
        where = " where load_id in (select load_id from ops.loads where source = 'gam_delivery')" if 'ops' in table else ''
        assert query(f'select count(*) from {table}{where}') == [(0,)]
    assert [status for status, _ in query(LOADS)] == ['failed']
    assert main(['status', '--source', 'gam_delivery', '--json']) == 3
    days = json.loads(capsys.readouterr().out)['sources']['gam_delivery']['days']
    assert [day['state'] for day in days] == ['failed']
    path.write_text(path.read_text().replace(',101\n', ',100\n').replace(',999\n', ',0\n').replace('T11', 'T13'))
    assert ads() == 0
    assert query(LOADS)[1:] == [('done', 5)]
    assert query("select rule, rows_broken from ops.load_rules where rule = 'ads are seen'") == [('ads are seen', 1)]


def test_a_volume_that_stops_refuses_the_load_until_somebody_accepts_the_day(
    settings: Settings, query: Query, declare: Declare, capsys: Captured
) -> None:
    def day(number: int, rows: int) -> None:
        name = f'gam_delivery_202510{number:02}.csv'
        deliver(settings, name, *(ad(f'unit{n}', day=f'2025-10-{number:02}') for n in range(rows)))

    for number in range(1, 8):
        day(number, 30 + number)
    assert ads('2025-10-01', '2025-10-07') == 0
    declare(volume=Volume(level='stop'))
    day(9, 5)
    day(10, 176)
    capsys.readouterr()
    # Around the 9th are 31 to 37 and 176, in the middle 34.5; around the 10th 5 and 31 to 37, in the middle 33.5.
    assert ads('2025-10-09', '2025-10-10', '--quiet') == 1
    assert capsys.readouterr().err.splitlines() == [
        'error: gam_delivery: its volume is far off (2025-10-09: 5 rows, a day around it brings 34; 2025-10-10: 176 rows, a '
        'day around it brings 34); nothing of this load was written. Deliver the files again or, if that is right, python '
        '-m kly_mage status --accept WHY --source gam_delivery --start 2025-10-09 --end 2025-10-10'
    ]
    assert query('select count(*) from bronze.gam_delivery') == [(238,)]
    why = ['--accept', 'Nyepi: nobody is online', '--by', 'Ani', '--source', 'gam_delivery']
    assert main(['status', '--start', '2025-10-09', '--end', '2025-10-09', *why]) == 3  # it is not loaded yet
    day(10, 170)  # more than five times the middle
    assert ads('2025-10-09', '2025-10-10', '--quiet') == 1
    assert 'far off (2025-10-10: 170 rows, a day around it brings 34)' in capsys.readouterr().err
    day(10, 167)
    assert ads('2025-10-09', '2025-10-10') == 0
    assert query('select count(*) from bronze.gam_delivery') == [(238 + 5 + 167,)]


def test_freshness_that_stops_refuses_the_load_and_lets_old_days_pass(
    settings: Settings, query: Query, declare: Declare, capsys: Captured
) -> None:
    declare(freshness=Freshness(level='stop'))
    now = lasting_day(5)

    def ago(days: int) -> str:
        return str(now - timedelta(days=days))

    deliver(settings, 'gam_delivery.csv', *(ad(f'unit{back}', day=ago(back)) for back in range(4, 9)))
    assert ads(ago(4), ago(1), '--quiet') == 1
    assert capsys.readouterr().err.splitlines() == [
        f'error: gam_delivery: nothing is newer than {ago(4)}, 4 days ago; at most 2 are declared; nothing of this load was '
        f'written. Deliver newer files, load the days there are (--end {ago(4)}), or let freshness warn in '
        'kly_mage/declared/gam_delivery.py'
    ]
    assert query('select count(*) from bronze.gam_delivery') == [(0,)]
    assert ads(ago(8), ago(5)) == 0  # old days say nothing about today
    declare(freshness=Freshness())
    assert ads(ago(4), ago(1)) == 3
    assert main(['status', '--source', 'gam_delivery', '--accept', 'the site is closed', '--by', 'Ani']) == 0
    declare(freshness=Freshness(level='stop'))
    assert ads(ago(4), ago(1)) == 3  # three days lack by name all the same
    assert [status for status, _ in query(LOADS)] == ['failed', 'done', 'done', 'done']
