"""Of a day of GA4's export counts what its newest delivery holds: filled in, withdrawn, delivered again, in any order."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads import unload
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from kly_mage.warehouse.postgres import deliveries
from kly_mage.warehouse.postgres.deliveries import Deliveries
from kly_mage.warehouse.postgres.finality_view import final_on
from kly_mage.warehouse.postgres.reading import ask
from kly_mage.warehouse.postgres.reading import query as query_of_a_page
from kly_mage.warehouse.postgres.server import server
from tests.clock import lasting_day
from tests.delivery import backfill
from tests.gold import Query, gold
from tests.remedies import obey
from tests.scenes import Background, OpenLoad, refresh, wait_until_blocked
from tests.scenes import load as load_only

HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source,batch_event_index'
GOLD = 'select event_date::text, content_id, pageviews, sessions, user_engagements from gold.ga4_daily_summary order by 1, 2'


def event(
    n: int, content: str = '7', source: str = '', user: str = 'u1', name: str = 'page_view', day: str = '2025-10-01'
) -> str:
    return f'{day}T12:00:{n:02}+07:00,{name},{user},s1,{content},{source},{n}'


def deliver(settings: Settings, name: str, *rows: str) -> Path:
    path = settings.data_dir / 'ga4_events' / name
    path.write_text('\n'.join([HEADER, *rows, '']), 'utf-8')
    return path


def load(start: str = '2025-10-01', end: str | None = None) -> int:
    return backfill(start, end, '--pipeline', 'articles_performance')


def last(query: Query, *names: str) -> tuple[int, ...]:
    columns = ', '.join(f'rows_{name}' for name in names)
    return query(f"select {columns} from ops.loads where source = 'ga4_events' order by load_id desc limit 1")[0]


@pytest.fixture(autouse=True)
def article(settings: Settings) -> None:
    """A file of articles without a day: no load lacks one."""
    path = settings.data_dir / 'cms_articles/cms_articles.csv'
    path.write_text('content_id,site,title,author,section,publish_timestamp\n7,s,t,a,n,2025-09-01\n', 'utf-8')


def assert_all_agree(settings: Settings, query: Query) -> None:
    settings = server(settings)
    assert verify(settings).differences == []
    before = gold(query)
    rebuild(settings)
    assert gold(query) == before
    report = reconcile(settings, ['ga4_events'])
    assert [finding.text for finding in report.findings if finding.wrong and finding.kind != 'no file'] == []


def test_an_event_filled_in_later_counts_once(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2))
    load()
    assert query(GOLD) == [('2025-10-01', '7', 2, 1, 0)]
    deliver(settings, 'events_20251001.csv', event(1, source='google'), event(2), event(3))
    load()
    assert query(GOLD) == [('2025-10-01', '7', 3, 1, 0)]
    assert last(query, 'read', 'new', 'already_loaded', 'superseded', 'replaced', 'withdrawn') == (5, 2, 1, 2, 1, 0)
    assert_all_agree(settings, query)


def test_what_the_newest_delivery_lacks_is_withdrawn_and_needs_a_look(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2, user='u2'), event(3, '8'), event(4, '9', name='x'))
    load()
    deliver(settings, 'events_20251001.csv', event(1))
    assert load() == 3
    # u2 has lost its last event on article 7; of articles 8 and 9 nothing is left, so they have no row.
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0)]
    assert query('select count(*) from gold.ga4_daily_sessions') == [(1,)]
    assert last(query, 'new', 'already_loaded', 'superseded', 'replaced', 'withdrawn') == (0, 1, 4, 0, 3)
    assert query('select count(*) from bronze.ga4_events') == [(4,)]
    line = reconcile(server(settings), ['ga4_events']).total('ga4_events')
    assert {place: line.rows.get(place) for place in ('read', 'bronze', 'superseded', 'stored', 'withdrawn')} == {
        'read': 5,
        'bronze': 1,
        'superseded': 4,
        'stored': 1,
        'withdrawn': 3,
    }
    assert line.sum('pageviews', 'withdrawn') == 2
    counted = "select rows_in_bronze, rows_superseded, rows_withdrawn from gold.reconciliation where source = 'ga4_events'"
    assert query(counted) == [(1, 4, 3)]
    assert_all_agree(settings, query)


def test_what_comes_again_counts_again_once(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_20251001.csv', event(1), event(2, user='u2'))
    load()
    for rows, views in (([event(1)], 1), ([event(1), event(2, user='u2')], 2), ([], 0), ([event(2, user='u2')], 1)):
        deliver(settings, 'events_20251001.csv', *rows)
        load()
        assert query('select coalesce(sum(pageviews), 0), coalesce(sum(sessions), 0) from gold.ga4_daily_summary') == [
            (views, views)
        ]
        assert_all_agree(settings, query)
    assert query('select sign, why, count(*) from bronze.ga4_events_corrections group by 1, 2 order by 1, 2') == [
        (-1, 'withdrawn', 3),
        (1, 'returned', 2),
    ]


def test_what_a_day_said_before_and_says_since_is_one_view(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2))
    load()
    deliver(settings, 'events_20251001.csv', event(1, '8'), event(2, source='google'), event(3, name='user_engagement'))
    load()
    deliver(settings, 'events_20251001.csv', event(1, '8'))
    load()
    told = 'select content_id, measure, before::int, after::int from gold.restatements where day = %s order by load_id, 1, 2'
    assert query(told, '2025-10-01') == [
        ('7', 'pageviews', 2, 1),  # one of them is of article 8 now; of 7 one is filled in
        ('7', 'pageviews', 1, 0),
        ('7', 'user_engagements', 1, 0),
    ]
    days = {'start': date(2025, 10, 1), 'end': date(2025, 10, 31)}
    assert [row[2:] for row in ask(server(settings), query_of_a_page('corrections'), days).rows] == [
        (date(2025, 10, 1), 0, 2, 0),  # newest first; one of article 7 and the engagement
        (date(2025, 10, 1), 2, 0, 0),
    ]
    known = (
        'select content_id, measure, amount::int from gold.as_of(('
        "  select distinct changed_at from gold.changes where source = 'ga4_events' order by 1 offset %s limit 1"
        ')) where amount <> 0 order by 1, 2'
    )
    assert query(known, 0) == [('7', 'pageviews', 2)]
    assert query(known, 1) == [('7', 'pageviews', 1), ('7', 'user_engagements', 1), ('8', 'pageviews', 1)]
    assert query(known, 2) == [('8', 'pageviews', 1)]


def test_a_day_is_provisional_until_its_horizon_and_a_correction_after_it_needs_a_look(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    today = lasting_day()
    days = [today - timedelta(days=n) for n in (3, 4)]  # the day after and three more have to pass
    for day in days:
        deliver(settings, f'events_{day:%Y%m%d}.csv', event(1, day=str(day)))
    load(str(days[1]), str(today))
    for day in days:
        deliver(settings, f'events_{day:%Y%m%d}.csv', event(1, source='google', day=str(day)))
    capsys.readouterr()
    assert load(str(days[1]), str(today)) == 3
    told = capsys.readouterr()
    assert f'days that were final are corrected: {days[1]}; gold.restatements' in told.err
    assert query('select day, state, final_on, corrected_at is not null from gold.finality order by day desc') == [
        (days[0], 'provisional', days[0] + timedelta(days=4), True),
        (days[1], 'final', days[1] + timedelta(days=4), True),
    ]
    main(['status', '--source', 'ga4_events'])
    assert f'provisional, another delivery may correct them: {days[0]}\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('day', 'final'), [('2025-10-31', '2025-11-02'), ('2025-12-01', '2026-01-02'), ('2024-02-29', '2024-03-02')]
)
def test_ads_are_final_on_the_second_of_the_next_month(query: Query, day: str, final: str) -> None:
    finality = GAM_DELIVERY.finality
    assert finality is not None
    assert finality.of(date.fromisoformat(day)) == date.fromisoformat(final)
    assert query(f'select {final_on(finality, "day")}::text from (select %s::date as day) as one', day) == [(final,)]


def test_an_event_that_moves_takes_its_session_along(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_fresh_20251002.csv', event(1), event(2, day='2025-10-02'), event(3, name='user_engagement'))
    load('2025-10-01', '2025-10-02')
    deliver(
        settings,
        'events_20251002.csv',
        event(1, '8'),
        event(2, day='2025-10-02', user='u2'),
        event(3, name='user_engagement', day='2025-10-02'),
    )
    load('2025-10-01', '2025-10-02')
    assert query(GOLD) == [('2025-10-01', '8', 1, 1, 0), ('2025-10-02', '7', 1, 2, 1)]
    assert_all_agree(settings, query)


@pytest.mark.parametrize('is_there', [True, False])
def test_a_late_intraday_file_counts_nothing(settings: Settings, query: Query, is_there: bool) -> None:
    daily = deliver(settings, 'events_20251001.csv', event(1, source='google'))
    load()
    if not is_there:
        daily.unlink()
    deliver(settings, 'events_intraday_20251001-0.csv', event(1), event(2), event(2))
    assert load() == 0
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0)]
    assert last(query, 'new', 'superseded', 'duplicate', 'withdrawn') == (0, 3, 0, 0)
    if is_there:
        assert_all_agree(settings, query)


def test_a_plain_file_beside_the_export_keeps_its_rows(settings: Settings, query: Query) -> None:
    deliver(settings, 'ga4_events_20251001.csv', event(1), event(2))
    deliver(settings, 'events_20251001.csv', event(2), event(3))
    load()
    deliver(settings, 'events_20251001.csv', event(4))
    load()
    assert query(GOLD) == [('2025-10-01', '7', 3, 1, 0)]  # 1 and 2 of the plain file, 4
    assert_all_agree(settings, query)


def test_a_delivery_as_it_was_is_not_compared(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1))
    load()
    deliver(settings, 'events_20251001.csv', event(1, source='google'))
    load()

    def compared(*args: object) -> None:
        raise AssertionError('compared')

    monkeypatch.setattr(Deliveries, '_correct', compared)
    assert load() == 0
    deliver(settings, 'events_20251001.csv', event(2))
    assert load() == 1  # the change is seen


def test_a_day_of_which_nobody_has_brought_a_row_is_not_compared(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(*args: object) -> None:
        raise AssertionError('compared')

    monkeypatch.setattr(deliveries, 'KEPT_ROWS', 0)  # as if there were so many of them that they went into a table
    with monkeypatch.context() as patched:
        patched.setattr(Deliveries, '_put_met', compared)
        deliver(settings, 'events_20251001.csv', event(1), event(2))
        assert load() == 0
        deliver(settings, 'events_20251002.csv', event(1, day='2025-10-02'))
        assert load('2025-10-02') == 0  # both days have a part of the first of October in UTC
        deliver(settings, 'events_20251001.csv', event(1))
        assert load() == 1  # what is to be corrected is
    assert load('2025-10-01', '2025-10-02') == 3
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0), ('2025-10-02', '7', 1, 1, 0)]
    assert_all_agree(settings, query)


def test_a_day_counts_only_with_all_files_of_its_delivery(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2))
    load()
    deliver(settings, 'events_20251001-0.csv', event(1, source='google'))
    (settings.data_dir / 'ga4_events/events_20251001-1.csv').write_text('event_name\npage_view\n', 'utf-8')
    assert load() == 3
    assert query(GOLD) == [('2025-10-01', '7', 2, 1, 0)]
    assert 'events_20251001-0.csv is left out, its days are incomplete: ga4_events/events_20251001-1.csv is left out' in (
        capsys.readouterr().err
    )
    deliver(settings, 'events_20251001-1.csv', event(3))
    load()
    assert query(GOLD) == [('2025-10-01', '7', 2, 1, 0)]
    assert query('select why, count(*) from bronze.ga4_events_corrections group by 1 order by 1') == [
        ('superseded', 1),
        ('withdrawn', 1),
    ]
    assert_all_agree(settings, query)


def test_unload_of_a_load_that_corrected_lets_the_delivery_before_count(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2))
    load()
    daily = deliver(settings, 'events_20251001.csv', event(1, source='google'))
    load()
    (second,) = query("select max(load_id) from ops.loads where source = 'ga4_events'")[0]
    deliver(settings, 'events_20251001.csv', event(1), event(2))
    load()
    with pytest.raises(UsageError, match=r'load \d+ has corrected what load \d+ did: .* first') as refused:
        unload.of_load(server(settings), second)
    assert obey(str(refused.value)) == 0
    assert query("select max(load_id) from ops.loads where status = 'withdrawn'") == [(second + 2,)]  # articles between
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0)]
    unload.of_load(server(settings), second)
    assert query(GOLD) == [('2025-10-01', '7', 2, 1, 0)]
    daily.unlink()
    load()
    assert query(GOLD) == [('2025-10-01', '7', 2, 1, 0)]
    assert_all_agree(settings, query)


def test_verify_finds_corrections_changed_by_hand(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_20251001.csv', event(1), event(2))
    load()
    deliver(settings, 'events_20251001.csv', event(1))
    load()
    query("insert into bronze.ga4_events_corrections select _hashrow, -1, 'x', _partition_date, null, _updated_at, 99"
          ' from bronze.ga4_events_corrections')  # fmt: skip
    assert any('when that was so already' in line for line in verify(server(settings)).differences)
    query('delete from bronze.ga4_events_corrections')
    assert any('pageviews is 1, bronze gives 2' in line for line in verify(server(settings)).differences)


def test_repair_brings_back_what_was_taken_out_of_count_by_hand(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_20251001.csv', event(1), event(2))
    load()
    query("insert into bronze.ga4_events_corrections select _hashrow, -1, 'x', _partition_date, null, _updated_at, _load_id"
          ' from bronze.ga4_events limit 1')  # fmt: skip
    assert not reconcile(server(settings), ['ga4_events']).equal
    assert main(['repair', '--source', 'ga4_events']) == 0
    assert query(GOLD) == [('2025-10-01', '7', 2, 1, 0)]
    assert_all_agree(settings, query)


def test_the_blocks_of_mage_correct_alike(settings: Settings, query: Query) -> None:
    day = {'start_date': '2025-10-01', 'end_date': '2025-10-01'}

    def run() -> dict[str, object]:
        done = export_new_rows(hash_rows(read_days('ga4_events', day), 'ga4_events'), 'ga4_events', day)
        refresh('ga4_daily_summary')
        refresh('daily_summary')
        return done

    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2))
    run()
    deliver(settings, 'events_20251001.csv', event(1, source='google'))
    done = run()
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0)]
    assert '2 superseded, 1 of bronze replaced, 1 of bronze withdrawn; needs a look: rows are withdrawn' in str(done['line'])
    assert_all_agree(settings, query)


def test_two_loads_of_a_day_at_once_correct_it_once(settings: Settings, query: Query) -> None:
    deliver(settings, 'events_intraday_20251001.csv', event(1), event(2))
    load()
    deliver(settings, 'events_20251001.csv', event(1, source='google'))
    first = OpenLoad(server(settings), 'ga4_events', 1).is_open()
    second = Background(lambda: load_only(server(settings), 'ga4_events', 1))
    wait_until_blocked(query, second)
    behind = Background(lambda: refresh('ga4_daily_summary'))
    wait_until_blocked(query, behind, 2)
    assert first.commit()['rows_replaced'] == 1
    assert second.result()['rows_replaced'] == 0
    behind.result()
    refresh('ga4_daily_summary')
    refresh('daily_summary')
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0)]
    assert_all_agree(settings, query)


def test_who_is_forgotten_is_gone_from_all_deliveries_and_the_next_one_corrects_exactly(
    settings: Settings, query: Query
) -> None:
    intraday = [event(1), event(2, user='gone'), event(3, user='u2'), event(4, user='gone', content='8')]
    deliver(settings, 'events_intraday_20251001.csv', *intraday)
    load()
    deliver(settings, 'events_20251001.csv', event(1, source='google'), event(2, user='gone'), event(3, user='u2'))
    load()  # one of the two events of the person is withdrawn, one stays
    theirs = "select _hashrow from bronze.ga4_events where user_pseudo_id = 'gone'"
    assert query(f'select count(*) from bronze.ga4_events_corrections where _hashrow in ({theirs})')[0][0] > 0
    assert main(['forget', '--user', 'gone']) == 0
    assert query(theirs) == []
    of_nothing = (
        'select count(*) from bronze.ga4_events_corrections where _hashrow not in (select _hashrow from bronze.ga4_events)'
    )
    assert query(of_nothing) == [(0,)]
    assert query(GOLD) == [('2025-10-01', '7', 2, 2, 0)]
    assert_all_agree(settings, query)
    load()
    assert last(query, 'new', 'forgotten', 'withdrawn') == (0, 3, 0)  # of each delivery, as the files still hold them
    assert query(GOLD) == [('2025-10-01', '7', 2, 2, 0)]
    assert_all_agree(settings, query)
    deliver(settings, 'events_20251001.csv', event(1, source='google'), event(2, user='gone'))
    assert load() == 3
    assert last(query, 'new', 'forgotten', 'withdrawn') == (0, 3, 1)
    assert query(GOLD) == [('2025-10-01', '7', 1, 1, 0)]
    assert_all_agree(settings, query)
