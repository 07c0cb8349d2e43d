"""Which of two versions is the newer one is in the names of their files: not in which of them lay there when."""

import os
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from tests import oracle
from tests.delivery import ad, article, backfill, deliver
from tests.gold import Query, assert_gold_is_exact, gold

FILES = {
    'gam_delivery_20251001_a.csv': [ad('top', '1'), ad('side', '5'), ad('side', '6')],
    'gam_delivery_20251001_b.csv': [ad('top', '2'), ad('side', '7'), ad('side', '5')],
    'gam_delivery_20251002.csv': [ad('top', '2')],
    'cms_articles_20251001_a.csv': [*(article(str(n)) for n in range(7)), article('7', 'As it was')],  # longer than b
    'cms_articles_20251001_b.csv': [article('7', 'Edited'), article('7', 'Edited once more'), article('7', 'Edited')],
    'cms_articles_20250930.csv': [article('7', 'Before'), article('7', 'Edited once more')],
}


@pytest.fixture
def applying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    monkeypatch.setattr(oracle, 'NEWEST_COUNTS', True)


def load_one_by_one(settings: Settings, names: list[str]) -> None:
    for name in names:
        deliver(settings, name, *FILES[name])
        assert backfill('2025-10-01', '2025-10-02', '--quiet') in (0, 3)


@pytest.mark.usefixtures('applying')
@pytest.mark.parametrize('order', ['forwards', 'backwards', 'b first', 'at once'])
def test_the_order_of_loads_does_not_say_which_version_is_the_latest(
    settings: Settings, query: Query, capsys: Any, order: str
) -> None:
    names = sorted(FILES)
    if order == 'backwards':
        names.reverse()
    elif order == 'b first':
        names.sort(key=lambda name: (not name.endswith('_b.csv'), name))
    elif order == 'at once':
        for name in names[1:]:
            deliver(settings, name, *FILES[name])
        names = names[:1]
    load_one_by_one(settings, names)
    # Of the top ad the 2 of b, of the side ad the first in b, the 7.
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(9),)]
    assert query("select title from gold.articles where content_id = '7'") == [('Edited',)]
    assert_gold_is_exact(query, settings.data_dir)
    before = gold(query)
    capsys.readouterr()
    assert main(['reconcile']) in (0, 3)
    assert 'every cent accounted for' in capsys.readouterr().out
    for command in (['verify'], ['rebuild'], ['repair', '--quiet'], ['migrate'], ['verify']):
        assert main(command) in (0, 3), command
        assert gold(query) == before, command
    assert query("select count(*) from ops.loads where rows_removed > 0 or started_by = 'repair'") == [(0,)]


def test_a_longer_file_of_articles_is_no_newer_one(settings: Settings, query: Query) -> None:
    for name in ('cms_articles_20251001_b.csv', 'cms_articles_20251001_a.csv'):
        deliver(settings, name, *FILES[name])
        assert backfill('2025-10-20', None, '--quiet') == 3  # a file of articles is read once, whatever day is asked for
    assert query("select title from gold.articles where content_id = '7'") == [('Edited',)]
    assert_gold_is_exact(query, settings.data_dir)


@pytest.mark.usefixtures('applying')
def test_the_rows_of_an_undated_file_are_of_one_moment_however_many_there_are(settings: Settings, query: Query) -> None:
    path = deliver(settings, 'gam_delivery.csv', ad('top', '1'), ad('top', '2'), ad('top', '3'))
    # Three microseconds before a full minute: line by line they would go beyond it.
    os.utime(path, ns=(0, 1_759_305_659_999_997_000))
    assert backfill('2025-10-01', None, '--quiet') == 3
    # Two rows of one file with one key: the first counts.
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(1),)]
    assert query('select count(*) from bronze.gam_delivery_corrections') == [(0,)]


def test_an_older_file_of_the_same_day_takes_back_nothing_when_the_newer_one_is_taken_out(
    settings: Settings, query: Query, applying: None
) -> None:
    load_one_by_one(settings, ['gam_delivery_20251001_a.csv', 'gam_delivery_20251001_b.csv'])
    (load_id,) = query("select max(load_id) from ops.loads where source = 'gam_delivery'")[0]
    assert main(['unload', '--load', str(load_id)]) == 0
    # What a brought counts again: the 1 and the first of the side ad, the 5.
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(6),)]
    assert backfill('2025-10-01', '2025-10-02', '--quiet') in (0, 3)
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(9),)]
    assert main(['verify']) == 0


@pytest.mark.usefixtures('applying')
def test_what_makes_two_ads_the_same_may_change_between_the_files_of_a_day(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_one_by_one(settings, ['gam_delivery_20251001_b.csv', 'gam_delivery_20251001_a.csv'])
    for columns in (('served_at', 'content_id'), GAM_DELIVERY.hash_columns):
        source = replace(GAM_DELIVERY, restatements='apply', hash_columns=columns)
        monkeypatch.setitem(SOURCES, 'gam_delivery', source)
        monkeypatch.setattr(oracle, 'GAM_KEY', source.hash_columns)
        monkeypatch.setattr(oracle, 'GAM_NUMBERS', tuple(column.name for column in source.value_columns))
        assert main(['migrate']) == 0
        # One key: the first row of b, the 2. Two: as they were, 2 and 7.
        assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [
            (Decimal(2 if columns[1] == 'content_id' else 9),)
        ]
        assert backfill('2025-10-01', '2025-10-02', '--quiet') in (0, 3)
        assert_gold_is_exact(query, settings.data_dir)
        assert main(['verify']) == 0


def test_the_narrow_registry_of_events_has_no_place(settings: Settings, query: Query) -> None:
    assert main(['migrate']) == 0
    columns = query(
        'select attname from pg_attribute'
        " where attrelid = 'bronze.ga4_events_hashrow'::regclass and attnum > 0 and not attisdropped order by attnum"
    )
    assert columns == [('_hashrow',), ('_updated_at',)]
