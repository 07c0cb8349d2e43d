"""Two ads that differ only in a column that nobody has declared are two versions of one row, and none of them vanishes."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Column, Source
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from tests import oracle
from tests.delivery import HEADERS, ad, ads, backfill, deliver
from tests.gold import Query, assert_gold_is_exact, gold

DEVICE = f'{HEADERS["gam_delivery"]},device'
FURTHER = (
    'select _line, revenue_usd, _undeclared_values::text from bronze.gam_delivery_conflicts order by _delivered_at, _line'
)
COUNTS = (
    'select rows_read, rows_new, rows_duplicate, rows_already_loaded, rows_conflicting from ops.loads'
    " where source = 'gam_delivery' and status = 'done' order by load_id desc limit 1"
)


def declared(monkeypatch: pytest.MonkeyPatch, *columns: Column, **changes: Any) -> Source:
    source = replace(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, *columns), **changes)
    monkeypatch.setitem(SOURCES, source.name, source)
    monkeypatch.setitem(oracle.COLUMNS, source.name, {column.name: column.kind for column in source.columns})
    monkeypatch.setattr(oracle, 'GAM_KEY', source.hash_columns)
    monkeypatch.setattr(oracle, 'GAM_NUMBERS', tuple(column.name for column in source.value_columns))
    monkeypatch.setattr(oracle, 'NEWEST_COUNTS', source.restatements == 'apply')
    return source


def assert_all_agree(settings: Settings, capsys: Any) -> str:
    """verify finds nothing, reconcile places every cent; gives what it says."""
    assert main(['verify']) == 0
    capsys.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery']) in (0, 3)
    told: str = capsys.readouterr().out
    assert 'every cent accounted for' in told
    return told


@pytest.mark.parametrize('columns', [GAM_DELIVERY.hash_columns, GAM_DELIVERY.names], ids=['some', 'all declared'])
def test_what_only_an_undeclared_column_tells_apart_is_a_conflict(
    settings: Settings, query: Query, capsys: Any, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    assert main(['migrate']) == 0
    declared(monkeypatch, hash_columns=columns)
    assert main(['migrate']) == 0  # the mart's block wants the tables of restatements to have numbers
    rows = [f'{ad()},mobile', f'{ad()},desktop', f'{ad()},mobile', f'{ad()},', f'{ad()},""', f'{ad("side")},']
    deliver(settings, 'gam_delivery_20251001.csv', *rows, header=DEVICE)
    assert ads() == 3
    # The first mobile row and the side ad are new, the second mobile one is equal; desktop, none and "" are other rows.
    assert query(COUNTS) == [(6, 2, 1, 0, 3)]
    further = [(3, Decimal(1), '{"device":"desktop"}'), (5, Decimal(1), '{"device":null}'), (6, Decimal(1), '{"device":""}')]
    assert query(FURTHER) == further
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(2),)]
    assert '2.00 USD count, 3.00 USD' in assert_all_agree(settings, capsys)
    assert ads() == 3
    assert query(COUNTS) == [(6, 0, 1, 2, 3)]
    assert query(FURTHER) == further
    assert_gold_is_exact(query, settings.data_dir)


def test_the_list_of_conflicts_names_the_column_and_both_values(settings: Settings, capsys: Any) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', f'{ad()},mobile,x', f'{ad()},desktop,x', header=f'{DEVICE},other')
    assert ads() == 3
    capsys.readouterr()
    assert main(['conflicts']) == 3
    told = capsys.readouterr().out
    assert [line.split()[-3:] for line in told.splitlines() if 'desktop' in line] == [['device', 'desktop', 'mobile']]
    assert 'other' not in told
    assert main(['conflicts', '--accept', 'two devices', '--by', 'Ani']) == 0
    assert ads() == 0


def test_columns_that_are_added_empty_make_no_other_row(settings: Settings, query: Query, capsys: Any) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b'))
    assert ads() == 0
    deliver(settings, 'gam_delivery_20251002.csv', f'{ad("a")},', f'{ad("b")},tv', header=DEVICE)
    assert ads() == 3
    # a is the same; b says what it did not say before, so it is another version: nobody knows that it is the same delivery.
    assert query(COUNTS) == [(4, 0, 0, 1, 1)]  # and two rows of the first file, which was not read again
    assert_all_agree(settings, capsys)


def test_where_restatements_apply_a_column_that_is_filled_later_changes_no_number(
    settings: Settings, query: Query, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(monkeypatch, restatements='apply')
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b'))
    deliver(
        settings, 'gam_delivery_20251002.csv', f'{ad("a")},tv', f'{ad("b", "3")},tv', f'{ad("b", "4")},pc', header=DEVICE
    )
    for _ in range(2):
        assert ads() == 3
        # Of a the same 1; of b the first row of the newest file, the 3. The 4 waits: two rows of one file are a question.
        assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(4),)]
        assert '4.00 USD count, 4.00 USD' in assert_all_agree(settings, capsys)
    (last,) = query("select max(load_id) from ops.loads where source = 'gam_delivery' and rows_new > 0")[0]
    assert main(['unload', '--load', str(last)]) == 0
    assert query('select count(*) from bronze.gam_delivery_conflicts') == [(0,)]
    assert ads() == 3
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(Decimal(4),)]
    assert_all_agree(settings, capsys)


def test_an_undeclared_column_changed_by_hand_is_found_and_repaired(settings: Settings, query: Query, capsys: Any) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', f'{ad()},mobile', f'{ad()},desktop', header=DEVICE)
    assert ads() == 3
    query("update bronze.gam_delivery set device = 'desktop' returning 1")
    assert main(['verify']) == 1
    assert 'the undeclared columns of the row (load 1) are not what they were' in capsys.readouterr().out
    assert main(['repair', '--quiet']) in (0, 3)
    assert query('select device from bronze.gam_delivery') == [('mobile',)]
    assert_all_agree(settings, capsys)


@pytest.mark.parametrize('restatements', ['keep', 'apply'])
def test_a_column_that_is_declared_and_undeclared_again_takes_its_conflicts_along(
    settings: Settings, query: Query, capsys: Any, monkeypatch: pytest.MonkeyPatch, restatements: str
) -> None:
    device = Column('device', 'text', 'What showed the ad.')
    slot = Column('slot', 'count', 'Which of the places on the page.')
    header = f'{DEVICE},slot'
    rows = [f'{ad()},mobile,1', f'{ad()},desktop,1', f'{ad()},desktop,1.0', f'{ad()},,2', f'{ad("side")},mobile,']
    declared(monkeypatch, restatements=restatements)
    deliver(settings, 'gam_delivery_20251001.csv', *rows, header=header)
    deliver(settings, 'gam_delivery_20251002.csv', f'{ad(revenue="5")},tv,3', f'{ad("side")},mobile,', header=header)
    assert ads() == 3
    steps: list[tuple[tuple[Column, ...], tuple[str, ...], int]] = [
        ((device,), (), 4),  # desktop twice, none, tv
        ((device, slot), (), 3),  # slot 1 and 1.0 are one
        ((device, slot), ('device',), 0),
        ((slot,), (), 3),
        ((), (), 4),  # and two again
    ]
    for columns, further_key, conflicts in steps:
        declared(
            monkeypatch,
            *columns,
            hash_columns=(*(GAM_DELIVERY.hash_columns or ()), *further_key),
            restatements=restatements,
        )
        assert main(['migrate']) == 0, columns
        told = f'{[column.name for column in columns]}, {further_key}'
        assert main(['verify']) == 0, told
        assert_gold_is_exact(query, settings.data_dir)
        before = gold(query)
        assert ads() in (0, 3)
        assert gold(query) == before, told
        assert query('select count(*) from bronze.gam_delivery_conflicts') == [(conflicts,)], told
        assert_all_agree(settings, capsys)


def test_a_database_of_before_gets_back_what_it_took_for_equal(settings: Settings, query: Query, capsys: Any) -> None:
    rows = [f'{ad()},mobile', f'{ad()},desktop', f'{ad(revenue="2")},mobile', f'{ad("side")},']
    deliver(settings, 'gam_delivery_20251001.csv', *rows, header=DEVICE)
    assert ads() == 3
    tables = ('gam_delivery', 'gam_delivery_hashrow', 'gam_delivery_corrections', 'gam_delivery_conflicts')
    query(
        'delete from bronze.gam_delivery_conflicts where revenue_usd = 1;'
        'alter table bronze.gam_delivery_conflicts drop column _undeclared_values;'
        + ''.join(f'alter table bronze.{name} drop column _undeclared cascade;' for name in tables)
        + 'alter table bronze.gam_delivery_conflicts drop column counted__undeclared;'
        + "update ops.declarations set fingerprint = 'another' returning 1"
    )
    assert main(['migrate']) == 0
    assert main(['verify']) == 0
    assert ads() == 3
    assert query(FURTHER) == [
        (3, Decimal(1), '{"device":"desktop"}'),
        (4, Decimal(2), '{"device":"mobile"}'),  # as the row in bronze says, which was the likeliest
    ]
    assert_all_agree(settings, capsys)
    assert backfill('2025-10-01', None, '--quiet') == 3
    assert_gold_is_exact(query, settings.data_dir)


def test_conflicts_are_listed_where_all_that_is_declared_makes_a_row_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Then versions differ in undeclared columns alone."""
    deliver(settings, 'gam_delivery_20251001.csv', f'{ad()},mobile', f'{ad()},desktop', header=DEVICE)
    assert ads() == 3
    declared(monkeypatch, hash_columns=GAM_DELIVERY.names)
    assert main(['migrate']) == 0
    capsys.readouterr()
    assert main(['conflicts']) == 3
    assert 'desktop' in capsys.readouterr().out
