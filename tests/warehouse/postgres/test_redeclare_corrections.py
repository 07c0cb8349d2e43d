"""Rows are hashed again while newer deliveries have corrected some of them: what counts stays what the files say."""

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import Settings
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.postgres.server import server
from tests import oracle
from tests.delivery import ad, ads, backfill
from tests.delivery import deliver as deliver_file
from tests.gold import Query, assert_gold_is_exact, gold
from tests.warehouse.postgres.test_redeclare import ORDER_ID, Declared

HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,batch_event_index,order_id'
COUNTING = 'select batch_event_index::int, order_id::text from bronze.ga4_events_counted(array[%s::date]) order by 1, 2'
CORRECTED = 'select why, count(*) from bronze.ga4_events_corrections group by 1 order by 1'


def rows(*orders: tuple[int, str]) -> list[str]:
    """Page views of one user each, by number, with an order as it is spelled."""
    return [f'2025-10-01T12:00:00+07:00,page_view,u{n},s1,{n % 2},{n},{order}' for n, order in orders]


def deliver(settings: Settings, kind: str, *orders: tuple[int, str]) -> None:
    path = settings.data_dir / f'ga4_events/{kind}_20251001.csv'
    path.write_text('\n'.join([HEADER, *rows(*orders), '']), 'utf-8')
    assert backfill('2025-10-01', None, '--pipeline', 'articles_performance') in (0, 3)


@pytest.mark.one_version
def test_what_counts_is_the_same_when_a_column_gets_a_type_and_versions_become_equal(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(settings, 'events_intraday', (1, '1'), (2, '2.0'), (3, '3'), (3, '3.0'), (6, '6'))
    deliver(settings, 'events', (1, '1.0'), (4, '4.0'), (5, '5'), (6, '6'))
    deliver(settings, 'events', (1, '1.0'), (5, '5.0'), (6, '7'))
    deliver(settings, 'events', (1, '1.0'), (4, '4.0'), (5, '5'), (6, '7'))
    assert query(COUNTING, '2025-10-01') == [(1, '1.0'), (4, '4.0'), (5, '5'), (6, '7')]
    assert query(CORRECTED) == [
        ('returned', 2),  # 4.0, and 5
        ('superseded', 4),  # 1, 5, 6, and 5.0
        ('withdrawn', 4),  # 2.0, 3, 3.0, and 4.0
    ]
    before = gold(query)
    Declared(monkeypatch)(GA4_EVENTS, columns=(*GA4_EVENTS.columns, ORDER_ID))
    assert main(['migrate']) == 0
    # 1 and 1.0 are one row that counts, so are 5 and 5.0; 3 and 3.0 are one that does not.
    assert query('select count(*) from bronze.ga4_events') == [(7,)]
    assert query(COUNTING, '2025-10-01') == [(1, '1'), (4, '4'), (5, '5'), (6, '7')]
    assert_all_agree(settings, query, before)
    assert query(CORRECTED) == [
        ('returned', 1),  # 4
        ('superseded', 1),  # 6
        ('withdrawn', 3),  # 2, 3 and 4
    ]
    backfill('2025-10-01', None, '--pipeline', 'articles_performance', '--reread')
    assert_all_agree(settings, query, before)
    assert query(CORRECTED) == [('returned', 1), ('superseded', 1), ('withdrawn', 3)]
    deliver(settings, 'events', (1, '1.0'), (3, '3'), (5, '5'))
    assert query(COUNTING, '2025-10-01') == [(1, '1'), (3, '3'), (5, '5')]
    assert_all_agree(settings, query, gold(query))


@pytest.mark.one_version
def test_files_that_hold_no_days_whole_any_more_let_all_rows_count_once_somebody_says_so(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'events_intraday', (1, '1'), (2, '2'))
    deliver(settings, 'events', (1, '1.0'), (3, '3'))
    assert query(COUNTING, '2025-10-01') == [(1, '1.0'), (3, '3')]
    before = gold(query)
    Declared(monkeypatch)(GA4_EVENTS, complete=())
    capsys.readouterr()
    assert backfill('2025-10-01', None, '--quiet') == 1
    assert (
        'its declaration says no more that files hold days whole: the rows stored have to follow' in capsys.readouterr().err
    )
    assert gold(query) == before
    assert main(['migrate']) == 0
    assert query('select batch_event_index::int, order_id from bronze.ga4_events_counted(array[%s::date]) order by 1, 2',
                 '2025-10-01') == [(1, '1'), (1, '1.0'), (2, '2'), (3, '3')]  # fmt: skip
    assert query('select sum(pageviews) from gold.ga4_daily_summary') == [(4,)]
    assert main(['verify']) == 0
    assert backfill('2025-10-01', None, '--quiet') in (0, 3)
    assert query('select sum(pageviews) from gold.ga4_daily_summary') == [(4,)]
    Declared(monkeypatch)(GA4_EVENTS)
    assert backfill('2025-10-01', None, '--quiet') in (0, 1, 3)
    assert main(['migrate']) == 0  # back to a declaration of before
    assert backfill('2025-10-01', None, '--quiet') in (0, 3)
    assert_all_agree(settings, query, before)


@pytest.mark.one_version
def test_what_counts_is_the_same_when_the_text_of_the_hash_is_another_version(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    Declared(monkeypatch)(GAM_DELIVERY, restatements='apply')
    monkeypatch.setattr(oracle, 'NEWEST_COUNTS', True)
    deliver(settings, 'events', (1, '1'), (2, '2'), (3, '3'))
    deliver(settings, 'events', (1, '1'), (2, '22'))
    for day, revenue in enumerate(('1', '2', '1', '5'), start=1):
        deliver_file(settings, f'gam_delivery_2025100{day}.csv', ad('top', revenue), ad('side', '7'))
        assert ads() in (0, 3)
    before, changes = gold(query), query('select * from gold.changes order by 1, 2, 3, 4, 5')
    tables = [
        f'{source}{suffix}'
        for source, suffixes in {
            'ga4_events': ('', '_hashrow', '_corrections'),
            'gam_delivery': ('', '_hashrow', '_corrections', '_conflicts'),
        }.items()
        for suffix in suffixes
    ]
    # As if they had been hashed by another rule: the day in front, other digits behind it.
    query(
        ''.join(
            f'update bronze.{table} set _hashrow = (left(_hashrow::text, 8) || left(md5(_hashrow::text), 24))::uuid;'
            for table in tables
        )
        + "update ops.declarations set fingerprint = 'of the code before';"
        + "update ops.hash_rules set version = 'v0' returning 1"
    )
    assert backfill('2025-10-01', None, '--quiet') == 1  # refused until
    assert main(['migrate']) == 0
    assert gold(query) == before
    assert query('select * from gold.changes order by 1, 2, 3, 4, 5') == changes
    assert query(COUNTING, '2025-10-01') == [(1, '1'), (2, '22')]
    assert query(CORRECTED) == [('superseded', 1), ('withdrawn', 1)]
    assert query('select sign, revenue_usd from bronze.gam_delivery_corrections order by _load_id, 1') == [
        *[(-1, 1), (1, 2)],
        *[(-1, 2), (1, 1)],
        *[(-1, 1), (1, 5)],
    ]
    assert_all_agree(settings, query, before)
    assert ads() in (0, 3)
    assert query('select sum(rows_new) from ops.loads where load_id > 6') == [(0,)]
    assert_all_agree(settings, query, before)


def assert_all_agree(settings: Settings, query: Query, before: object) -> None:
    """Gold is as before, and the oracle's; whoever asks agrees."""
    assert gold(query) == before
    assert_gold_is_exact(query, settings.data_dir)
    assert verify(server(settings)).differences == []
    rebuild(server(settings))
    assert gold(query) == before
    report = reconcile(server(settings), ['ga4_events'])
    assert [each.text for each in report.findings if each.wrong and each.kind != 'no file'] == []
