"""A declaration that changes under a loaded database: carried through exactly, or refused with the command that does it."""

import random
from dataclasses import replace
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.verify import verify
from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Column, Source
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.transaction import Transaction
from tests import oracle, scenes
from tests.corrections import ads_hold_whole_days
from tests.delivery import HEADERS, ad, ads, deliver, event
from tests.gold import Query, assert_gold_is_exact, gold
from tests.remedies import obey

AD_COLUMNS = 'served_at,site,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd'
COUNTS = (
    'rows_read = rows_new + rows_unchanged + rows_duplicate + rows_already_loaded + rows_rejected + rows_conflicting'
    ' + rows_superseded'
)


class Declared:
    """Declares a source otherwise, for the product and for the oracle."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, source: Source, **changes: Any) -> None:
        source = replace(source, **changes)
        self.monkeypatch.setitem(SOURCES, source.name, source)
        kinds = {column.name: column.kind for column in source.columns}
        self.monkeypatch.setitem(oracle.COLUMNS, source.name, kinds)
        if source.name == 'gam_delivery':
            self.monkeypatch.setattr(oracle, 'GAM_KEY', source.hash_columns)
            self.monkeypatch.setattr(oracle, 'GAM_NUMBERS', tuple(column.name for column in source.value_columns))


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declared:
    return Declared(monkeypatch)


def key_with(*names: str) -> tuple[str, ...]:
    return (*(GAM_DELIVERY.hash_columns or ()), *names)


def key_without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in GAM_DELIVERY.hash_columns or () if name not in names)


def deliver_ads(settings: Settings, seed: int) -> None:
    """Four days of ad rows that share most of their key: equal and late ones, several versions in and across files."""
    chance = random.Random(seed)
    for day in range(1, 5):
        rows = []
        for _ in range(40):
            of_day = max(1, day - chance.choice([0, 0, 0, 1, 2]))
            values = [
                f'2025-10-0{of_day}T05:00:00Z',
                chance.choice(['a.com', 'b.com', '']),
                '/top',
                chance.choice(['l1', 'l2']),
                chance.choice(['c1', 'c2', '']),
                chance.choice(['7', '8', '']),
                str(chance.randrange(3)),
                '0',
                chance.choice(['0.1', '0.10', '2', '-1']),
            ]
            rows.append(','.join(values))
        deliver(settings, f'gam_delivery_2025100{day}.csv', *rows, header=AD_COLUMNS)


def assert_nothing_is_new(query: Query, settings: Settings) -> None:
    """Loading all days again adds nothing, verify finds nothing, the ledger adds up, gold is the oracle's."""
    assert_gold_is_exact(query, settings.data_dir)
    before = gold(query)
    (last,) = query('select max(load_id) from ops.loads')[0]
    assert ads('2025-10-01', '2025-10-04', '--quiet') in (0, 3)
    assert query('select sum(rows_new) from ops.loads where load_id > %s', last) == [(0,)]
    assert gold(query) == before
    report = verify(settings)
    assert report is not None
    assert report.differences == report.waiting == []
    assert query(f'select count(*) from ops.loads where not {COUNTS}') == [(0,)]
    assert query(f'select count(*) from ops.load_days where not {COUNTS}') == [(0,)]


RULES = {
    'a column added': (key_with(), key_with('site')),
    'a column taken away': (key_with(), key_without('creative')),
    'one for another': (key_with(), (*key_without('content_id'), 'site')),
    'and back': (key_with('site'), key_with()),
    'everything': (key_with(), tuple(AD_COLUMNS.split(','))),
}


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('case', RULES)
def test_rows_hashed_by_another_rule_are_what_they_had_been_under_it_from_the_start(
    settings: Settings, query: Query, declare: Declared, case: str, seed: int
) -> None:
    old, new = RULES[case]
    declare(GAM_DELIVERY, hash_columns=old)
    deliver_ads(settings, seed)
    for day in range(1, 5):
        assert ads(f'2025-10-0{day}', None, '--quiet') in (0, 3)
    before = gold(query)
    declare(GAM_DELIVERY, hash_columns=new)
    assert main(['migrate']) == 0
    assert gold(query)['gam_daily_summary'] != before['gam_daily_summary']
    assert_nothing_is_new(query, settings)
    further = {tuple(row.values()) for row in conflicts(settings)}
    names = (*GAM_DELIVERY.names, *(f'counted_{column.name}' for column in SOURCES['gam_delivery'].value_columns))
    if SOURCES['gam_delivery'].value_columns:
        assert set(query(f'select {", ".join(names)} from bronze.gam_delivery_conflicts')) == further


@pytest.mark.parametrize('columns', [tuple(AD_COLUMNS.split(',')), None], ids=['named', 'all'])
def test_rows_may_be_hashed_over_all_their_columns_and_need_hold_no_whole_days_from_the_start(
    settings: Settings, query: Query, declare: Declared, columns: tuple[str, ...] | None
) -> None:
    declare(GA4_EVENTS, complete=())
    declare(GAM_DELIVERY, hash_columns=columns)
    declare.monkeypatch.setattr(oracle, 'GAM_KEY', tuple(AD_COLUMNS.split(',')))
    deliver_ads(settings, 0)
    deliver(settings, 'ga4_events_20251001.csv', event('u1'), event('u2'))
    for day in range(1, 5):
        scenes.run_days(day)
    assert_nothing_is_new(query, settings)
    (told,) = query("select sum(revenue_in_conflicts) from gold.reconciliation where source = 'gam_delivery'")
    assert told == (None,)
    assert main(['reconcile', '--source', 'gam_delivery', '--quiet']) == 0


@pytest.mark.parametrize('restatements', ['keep', 'apply'])
def test_ads_that_turn_to_whole_days_count_as_before_until_their_files_are_read_again_and_so_on_the_way_back(
    settings: Settings, query: Query, declare: Declared, monkeypatch: pytest.MonkeyPatch, restatements: str
) -> None:
    declare(GAM_DELIVERY, restatements=restatements)
    deliver_ads(settings, 1)
    for path in sorted((settings.data_dir / 'gam_delivery').iterdir())[1:]:  # versions differ in what is not declared, too
        header, *rows = path.read_text('utf-8').splitlines()
        said = [f'{row},{["", "x", "y"][n % 3]}' for n, row in enumerate(rows)]
        path.write_text('\n'.join([f'{header},campaign', *said, '']), 'utf-8')
    for day in range(1, 5):
        assert ads(f'2025-10-0{day}', None, '--quiet') in (0, 3)
    before = gold(query)
    ads_hold_whole_days(monkeypatch, 2)
    assert main(['migrate']) == 0
    assert gold(query) == before
    assert_all_is_well(settings)
    assert query('select count(*) from bronze.gam_delivery where _file_day is distinct from _partition_date') == [(0,)]
    assert ads('2025-10-01', '2025-10-04', '--quiet') in (0, 3)
    assert gold(query) != before
    assert_gold_is_exact(query, settings.data_dir)
    assert_all_is_well(settings)
    assert query('select distinct why from bronze.gam_delivery_corrections order by 1') == [
        ('returned',),
        ('superseded',),
        ('withdrawn',),
    ]
    monkeypatch.setattr(oracle, 'WHOLE_DAYS', None)
    declare(GAM_DELIVERY)
    assert main(['migrate']) == 0
    assert_nothing_is_new(query, settings)
    assert query('select count(*) from bronze.gam_delivery_corrections') == [(0,)]


def assert_all_is_well(settings: Settings) -> None:
    report = verify(settings)
    assert report is not None
    assert report.differences == report.waiting == []


def conflicts(settings: Settings) -> list[dict[str, Any]]:
    """The further versions, as the oracle has them, in the columns of the conflicts table."""
    source = SOURCES['gam_delivery']
    found = []
    for row in oracle.expected(settings.data_dir).conflicts:
        counted = {f'counted_{column.name}': row[f'first_{column.name}'] for column in source.value_columns}
        found.append({name: row[name] for name in source.names} | counted)
    return found


@pytest.mark.parametrize('case', ['a column added', 'a column taken away', 'one for another'])
def test_where_restatements_apply_the_newest_version_of_each_new_row_counts(
    settings: Settings, query: Query, declare: Declared, case: str
) -> None:
    old, new = RULES[case]
    declare(GAM_DELIVERY, hash_columns=old, restatements='apply')
    header = 'served_at,site,ad_unit,creative,impressions,clicks,revenue_usd'
    versions = [('a', 'c1', 1), ('b', 'c1', 2), ('a', 'c2', 4), ('b', 'c1', 8), ('a', 'c1', 16), ('b', 'c2', 32)]
    for day, (site, creative, revenue) in enumerate(versions, start=1):
        row = f'2025-10-01T05:00:00Z,{site},/top,{creative},1,0,{revenue}'
        deliver(settings, f'gam_delivery_202510{day:02}.csv', row, header=header)
        ads('2025-10-01', None, '--quiet')
    ads('2025-10-01', None, '--quiet')
    newest: dict[tuple[str, ...], int] = {}
    for site, creative, revenue in versions[:4]:  # the others are of more than KLY_LATE_DAYS later
        newest[tuple(value for name, value in (('site', site), ('creative', creative)) if name in new)] = revenue
    declare(GAM_DELIVERY, hash_columns=new, restatements='apply')
    assert main(['migrate']) == 0
    revenue_of = 'select sum(revenue_usd) from gold.gam_daily_summary'
    assert query(revenue_of) == [(sum(newest.values()),)]
    assert ads('2025-10-01', None, '--quiet') in (0, 3)
    assert query(revenue_of) == [(sum(newest.values()),)]
    assert query('select count(*) from bronze.gam_delivery') == [(len(newest),)]
    assert main(['verify']) == 0


def test_rows_of_two_sources_are_hashed_again_by_one_command(
    settings: Settings, query: Query, declare: Declared, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'ga4_events_20251001.csv', f'{event()},1.0', header=f'{HEADERS["ga4_events"]},order_id')
    ads_of_sites = [f'{ad(revenue="1")},a.com', f'{ad(revenue="2")},b.com']
    deliver(settings, 'gam_delivery_20251001.csv', *ads_of_sites, header=f'{HEADERS["gam_delivery"]},site')
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-01']) == 3
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, ORDER_ID))
    declare(GAM_DELIVERY, hash_columns=key_with('site'))
    capsys.readouterr()
    assert main(['migrate']) == 0
    assert capsys.readouterr().out.count('hashed over') == 2
    # The second row of one key is one of its own now, 1 and 2.
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(3,)]
    assert_nothing_is_new(query, settings)


def test_a_load_under_another_rule_is_refused_with_the_command_that_hashes_again(
    settings: Settings, query: Query, declare: Declared, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='2'))
    assert ads() == 0
    declare(GAM_DELIVERY, hash_columns=key_with('site'))
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='2') + ',a.com', header=f'{HEADERS["gam_delivery"]},site')
    for command in (['backfill', '--start', '2025-10-01', '--end', '2025-10-01'], ['verify'], ['reconcile']):
        capsys.readouterr()
        assert main(command) == 1
        told = capsys.readouterr().err.splitlines()[-1]
        assert 'hashed over ad_unit, content_id, creative, line_item, served_at, its declaration says' in told
        assert told.endswith('python -m kly_mage migrate')
    assert query('select sum(revenue_usd), count(*) from bronze.gam_delivery') == [(2, 1)]
    assert obey(told) == 0
    assert main(['verify']) == 0


def test_a_load_that_was_open_while_the_rule_changed_writes_nothing(
    settings: Settings, query: Query, declare: Declared
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='2'))
    assert ads() == 0
    deliver(settings, 'gam_delivery_20251002.csv', ad('late', revenue='3'))
    request, frames = scenes.load_request(settings, 'gam_delivery', 1)
    declare(GAM_DELIVERY, hash_columns=key_with('site'))
    assert main(['migrate']) == 0
    declare(GAM_DELIVERY)
    refused = pytest.raises(WarehouseError, match=r'hashed over .*, site, its declaration says .* kly_mage migrate')
    with refused, connect(settings) as connection, connection.cursor() as cursor:
        Transaction(cursor, request.source, 1, request.window).insert(frames[0])
    assert query('select sum(revenue_usd) from bronze.gam_delivery') == [(2,)]


# --- columns ----------------------------------------------------------------------------------------------------------

ORDER_ID = Column('order_id', 'count', 'The order.')


def test_the_advice_of_the_readme_adds_no_revenue(settings: Settings, query: Query, declare: Declared, capsys: Any) -> None:
    """Two deliveries that share the hash, told apart by a column nobody had declared: it is declared, and in the hash."""
    header = f'{HEADERS["gam_delivery"]},order_id'
    rows = [f'{ad(revenue=revenue)},{order}' for order, revenue in ((1, '1'), (2, '2'), (3, '1'))]
    deliver(settings, 'gam_delivery_20251001.csv', *rows, header=header)
    deliver(settings, 'gam_delivery_20251002.csv', f'{ad(revenue="4", day="2025-10-02")},7', header=header)
    assert ads('2025-10-01', '2025-10-02') == 3
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(5,)]  # 1 and 4; 2 and the other 1 wait
    declare(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, ORDER_ID), hash_columns=key_with('order_id'))
    assert ads('2025-10-01', '2025-10-02') == 1
    assert main(['migrate']) == 0
    assert '2 conflicts are rows of their own now' in capsys.readouterr().out
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(1 + 2 + 1 + 4,)]
    assert ads('2025-10-01', '2025-10-02') == 0
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(1 + 2 + 1 + 4,)]
    assert_nothing_is_new(query, settings)


@pytest.mark.parametrize('source', [GA4_EVENTS, GAM_DELIVERY], ids=lambda source: source.name)
def test_a_column_that_is_declared_later_is_cast_where_it_stands(
    settings: Settings, query: Query, declare: Declared, source: Source
) -> None:
    make = event if source is GA4_EVENTS else lambda user: ad(user)
    rows = [f'{make(f"u{n}")},{text}' for n, text in enumerate(('1', '2.0', '3e0', '', '""'))]
    deliver(settings, f'{source.name}_20251001.csv', *rows, header=f'{HEADERS[source.name]},order_id')
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-01']) == 3
    before = gold(query)
    declare(source, columns=(*source.columns, ORDER_ID))
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-01']) == 1
    assert main(['migrate']) == 0
    order_ids = f'select order_id from bronze.{source.name} order by 1'
    assert query(order_ids) == [(1,), (2,), (3,), (None,), (None,)]
    assert gold(query) == before
    assert main(['verify']) == 0
    deliver(settings, f'{source.name}_20251002.csv', f'{make("u9")},8', header=f'{HEADERS[source.name]},order_id')
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-02']) == 3
    assert query(order_ids) == [(1,), (2,), (3,), (8,), (None,), (None,)]
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0


def test_rows_that_a_cast_makes_equal_count_once(settings: Settings, query: Query, declare: Declared) -> None:
    rows = [f'{event()},{text}' for text in ('1', '1.0', '2')]
    deliver(settings, 'ga4_events_20251001.csv', *rows, header=f'{HEADERS["ga4_events"]},order_id')
    run = ['backfill', '--start', '2025-10-01', '--end', '2025-10-01', '--pipeline', 'articles_performance']
    assert main(run) == 3
    assert query('select pageviews from gold.ga4_daily_summary') == [(3,)]
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, ORDER_ID))
    assert main(['migrate']) == 0
    assert query('select pageviews, sessions from gold.ga4_daily_summary') == [(2, 1)]
    assert query('select rows_new, rows_duplicate, rows_distinct from ops.loads where rows_read > 0') == [(2, 1, 2)]
    assert main(run) == 3
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0


def test_a_column_that_cannot_be_cast_names_the_rows(
    settings: Settings, query: Query, declare: Declared, capsys: pytest.CaptureFixture[str]
) -> None:
    header = f'{HEADERS["gam_delivery"]},order_id'
    rows = [f'{ad(f"u{n}")},{text}' for n, text in enumerate(('1', 'A-17', '-2', '1.5', 'x', ''))]
    deliver(settings, 'gam_delivery_20251001.csv', *rows, header=header)
    assert ads() == 0
    declare(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, ORDER_ID))
    before = query('table bronze.gam_delivery')
    capsys.readouterr()
    assert main(['migrate']) == 1
    told = capsys.readouterr().err
    assert 'bronze.gam_delivery.order_id cannot be cast to count: 4 rows hold something else' in told
    assert "first '-2' (load 1, day 2025-10-01, gam_delivery/gam_delivery_20251001.csv)" in told
    assert told.count('\n') == 1
    assert query('table bronze.gam_delivery') == before
    declare(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, Column('order_id', 'text', 'The order.')))
    assert ads() == 0  # as text there is nothing to cast
    assert main(['verify']) == 0
    # Or, as it says: the files corrected, repaired under the declaration of before, and cast then.
    declare(GAM_DELIVERY, columns=GAM_DELIVERY.columns)
    assert main(['migrate']) == 0  # going back is said
    deliver(settings, 'gam_delivery_20251001.csv', *(f'{ad(f"u{n}")},{n}' for n in range(6)), header=header)
    obey(told)
    declare(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, ORDER_ID))
    assert main(['migrate']) == 0
    assert query('select order_id from bronze.gam_delivery order by 1') == [(n,) for n in range(6)]


def test_a_value_column_that_is_declared_later_lets_loads_go_on(settings: Settings, query: Query, declare: Declared) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='1'), ad(revenue='2'))
    assert ads() == 3
    declare(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, Column('viewable', 'count', 'Impressions in view.')))
    header = f'{HEADERS["gam_delivery"]},viewable'
    deliver(settings, 'gam_delivery_20251002.csv', f'{ad(day="2025-10-02")},8', f'{ad(day="2025-10-02")},9', header=header)
    assert ads('2025-10-01', '2025-10-02') == 3
    assert query('select viewable, revenue_usd from bronze.gam_delivery order by 1') == [(8, 1), (None, 1)]
    further = 'select viewable, counted_viewable, revenue_usd from bronze.gam_delivery_conflicts order by 1'
    assert query(further) == [(9, 8, 1), (None, None, 2)]
    assert query('select viewable from bronze.gam_delivery_hashrow order by 1') == [(8,), (None,)]
    assert_nothing_is_new(query, settings)


def test_rows_from_before_a_value_column_are_completed_once_and_contradict_nothing(
    settings: Settings, query: Query, declare: Declared, capsys: pytest.CaptureFixture[str]
) -> None:
    old = deliver(settings, 'gam_delivery_20251001_a.csv', ad('a'), ad('a', revenue='2'), ad('b'))
    assert ads() == 3
    declare(GAM_DELIVERY, columns=(*GAM_DELIVERY.columns, Column('viewable', 'count', 'Impressions in view.')))
    header = f'{HEADERS["gam_delivery"]},viewable'
    rows = [f'{ad("a")},5', f'{ad("a", revenue="2")},6', f'{ad("b")},', f'{ad("b")},7', f'{ad("b")},8']
    deliver(settings, 'gam_delivery_20251002.csv', *rows, header=header)
    for _ in range(2):
        assert ads() == 3
        # a and b were completed, and a's other version; of b, 7 came before 8.
        assert query('select viewable from bronze.gam_delivery_hashrow order by 1') == [(5,), (7,)]
        further = 'select revenue_usd, viewable from bronze.gam_delivery_conflicts order by 1, 2'
        assert query(further) == [(1, 8), (2, 6)]
        assert query('select sign, viewable, why from bronze.gam_delivery_corrections order by 1, 2') == [
            (-1, None, 'completed'),
            (-1, None, 'completed'),
            (1, 5, 'completed'),
            (1, 7, 'completed'),
        ]
        assert query('select viewable from bronze.gam_delivery') == [(None,), (None,)]  # as they were loaded
    for _ in range(2):  # with the file of before, and where the fuller one is all there is
        capsys.readouterr()
        main(['reconcile', '--source', 'gam_delivery'])
        told = capsys.readouterr().out
        assert '2.00 USD count, 3.00 USD' in told  # a and b; the version of a for 2.00, and b with 8
        assert 'not accounted for' not in told
        assert main(['verify']) == 0
        old.unlink(missing_ok=True)


def test_a_column_declared_for_a_source_hashed_over_all_of_them_changes_no_hash(
    settings: Settings, query: Query, declare: Declared
) -> None:
    run = ['backfill', '--start', '2025-10-01', '--end', '2025-10-02', '--pipeline', 'articles_performance']
    deliver(settings, 'ga4_events_20251001.csv', event())
    assert main(run) == 3
    before = query('select _hashrow, _updated_at from bronze.ga4_events')
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, Column('engaged_ms', 'count', 'Milliseconds of attention.')))
    deliver(
        settings,
        'ga4_events_20251002.csv',
        f'{event()},',
        f'{event("u2")},700',
        header=f'{HEADERS["ga4_events"]},engaged_ms',
    )
    assert main(run) == 3
    assert query('select _hashrow, _updated_at from bronze.ga4_events where engaged_ms is null') == before
    assert query('select pageviews from gold.ga4_daily_summary') == [(2,)]
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0


@pytest.mark.parametrize('again', [None, 'text'])
def test_a_type_is_not_taken_back_because_spellings_were_not_kept(
    settings: Settings, query: Query, declare: Declared, capsys: pytest.CaptureFixture[str], again: str | None
) -> None:
    """1 and 1.0 are one value of a count and two texts: rows of the files would not be recognised."""
    header = f'{HEADERS["ga4_events"]},order_id'
    deliver(settings, 'ga4_events_20251001.csv', f'{event("u1")},1', f'{event("u2")},1.0', header=header)
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, ORDER_ID))
    run = ['backfill', '--start', '2025-10-01', '--end', '2025-10-01', '--pipeline', 'articles_performance']
    assert main(run) in (0, 3)
    before = gold(query)
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, *([Column('order_id', 'text', 'The order.')] if again else [])))
    for command in (run, ['migrate']):
        capsys.readouterr()
        assert main(command) == 1
        assert 'ga4_events' in capsys.readouterr().err
    assert main(['migrate']) == 1
    assert 'bronze.ga4_events.order_id was bigint and is to be text' in capsys.readouterr().err
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, ORDER_ID))
    assert main(run) in (0, 3)
    assert (gold(query), main(['verify'])) == (before, 0)


def test_a_column_may_be_optional_and_required_again(
    settings: Settings, query: Query, declare: Declared, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optional, rows without it come in; required, they are rejects again, and repair takes them out of gold."""
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('', '2'), ad('b', '4'))
    total = 'select sum(revenue_usd) from gold.gam_daily_summary'
    assert ads() == 3
    assert query(total) == [(5,)]
    optional = tuple(
        replace(column, required=False) if column.name == 'ad_unit' else column for column in GAM_DELIVERY.columns
    )
    declare(GAM_DELIVERY, columns=optional)
    assert main(['rejects', '--retry', '--source', 'gam_delivery']) == 0
    assert query(total) == [(7,)]
    assert (main(['verify']), main(['reconcile', '--quiet', '--source', 'gam_delivery'])) == (0, 0)
    declare(GAM_DELIVERY, columns=GAM_DELIVERY.columns)
    assert (ads(), main(['migrate'])) == (1, 0)  # going back is said
    assert ads() == 3
    assert query('select rows_rejected from ops.loads order by load_id desc limit 1') == [(1,)]
    capsys.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery']) == 3
    assert '1 row of bronze in no file, 2.00 USD; a file or the declaration has changed since' in capsys.readouterr().out
    assert main(['repair', '--quiet', '--source', 'gam_delivery']) == 0
    assert query(total) == [(5,)]
    assert (main(['verify']), main(['reconcile', '--quiet', '--source', 'gam_delivery'])) == (0, 0)


def test_two_sources_may_be_declared_otherwise_at_once(settings: Settings, query: Query, declare: Declared) -> None:
    header = f'{HEADERS["ga4_events"]},order_id'
    deliver(settings, 'ga4_events_20251001.csv', f'{event("u1")},1', f'{event("u1")},1.0', header=header)
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('a', '2', impressions='20'))
    run = ['backfill', '--start', '2025-10-01', '--end', '2025-10-01']
    assert main(run) == 3
    declare(GA4_EVENTS, columns=(*GA4_EVENTS.columns, ORDER_ID))
    declare(GAM_DELIVERY, hash_columns=GAM_DELIVERY.names)
    assert main(['migrate']) == 0
    assert query('select pageviews from gold.ga4_daily_summary') == [(1,)]
    assert query('select revenue_usd from gold.gam_daily_summary') == [(3,)]
    assert main(run) == 3
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
