"""What is delivered later changes what counts, whichever warehouse it is: restated, withdrawn, returned, and told so."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.choice import warehouse
from tests import oracle
from tests.delivery import ad, ads, article, backfill, deliver
from tests.gold import Query, assert_gold_is_exact
from tests.warehouse.both import *  # noqa: F403 -- fixtures

HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source,batch_event_index'
Agree = Callable[[], None]


def event(n: int, content: str = '7', source: str = '', user: str = 'u1', name: str = 'page_view') -> str:
    return f'2025-10-01T12:00:{n:02}+07:00,{name},{user},s1,{content},{source},{n}'


def exported(settings: Settings, name: str, *rows: str) -> Path:
    path = settings.data_dir / 'ga4_events' / name
    path.write_text('\n'.join([HEADER, *rows, '']), 'utf-8')
    return path


def events() -> int:
    return backfill('2025-10-01', None, '--pipeline', 'articles_performance')


def last(query: Query, *names: str) -> tuple[Any, ...]:
    (found, *_) = query(
        f'select {", ".join(f"rows_{name}" for name in names)} from ops.loads'
        " where source <> 'cms_articles' order by load_id desc limit 1"
    )
    return found


@pytest.fixture
def agree(settings: Settings, query: Query) -> Agree:
    """Gold is what the oracle works out, verify finds nothing, every row has one place, and rebuild changes nothing."""

    def look() -> None:
        ratios = settings.warehouse == 'postgres'
        assert_gold_is_exact(query, settings.data_dir, ratios=ratios)
        report = verify(settings if settings.warehouse == 'bigquery' else warehouse(settings).reach())
        assert report
        assert report.differences == []
        placed = 'rows_new + rows_already_loaded + rows_duplicate + rows_rejected + rows_conflicting + rows_restated'
        placed += ' + rows_superseded + rows_outside + rows_unchanged'
        assert query(f'select count(*) from ops.loads where rows_read <> {placed}') == [(0,)]
        account = reconcile(
            warehouse(settings).reach(), [name for name in SOURCES if any(settings.data_dir.glob(f'{name}/*'))]
        )
        assert account.equal, [finding.text for finding in account.findings]
        for line in account.lines:
            assert line.adds_up, line
        rebuild(warehouse(settings).reach())
        assert_gold_is_exact(query, settings.data_dir, ratios=ratios)

    return look


@pytest.mark.slow_on_bigquery
def test_a_day_that_is_delivered_again_counts_as_its_newest_delivery_has_it(
    settings: Settings, query: Query, agree: Agree
) -> None:
    deliver(settings, 'cms_articles.csv', article('7'))
    exported(settings, 'events_intraday_20251001.csv', event(1), event(2), event(3, '8'), event(4, '9', user='u2', name='x'))
    events()
    assert query('select count(*) from gold.ga4_daily_summary') == [(3,)]
    # One filled in, one moved from article 8 to 7, one gone with its session and its article, one new and twice.
    exported(
        settings,
        'events_20251001.csv',
        *(
            event(1, source='google'),
            event(2),
            event(3, '7'),
            event(5, name='user_engagement'),
            event(5, name='user_engagement'),
        ),
    )
    assert events() == 3
    assert last(query, 'read', 'new', 'already_loaded', 'duplicate', 'superseded') == (9, 3, 1, 1, 4)
    assert last(query, 'replaced', 'withdrawn', 'returned') == (2, 1, 0)
    views = 'select content_id, pageviews, sessions, user_engagements from gold.ga4_daily_summary order by 1'
    assert query(views) == [('7', 3, 1, 1)]
    assert query('select why, sign, count(*) from bronze.ga4_events_corrections group by 1, 2 order by 1') == [
        ('superseded', -1, 2),
        ('withdrawn', -1, 1),
    ]
    agree()
    # Written again after days: what had gone is back, something else is gone. An older table that comes late is not taken.
    exported(settings, 'events_20251001.csv', event(2), event(4, '9', user='u2', name='x'))
    exported(settings, 'events_fresh_20251001.csv', event(6))
    events()
    assert last(query, 'new', 'already_loaded', 'superseded', 'replaced', 'withdrawn', 'returned') == (0, 2, 5, 0, 3, 1)
    assert query(views) == [('7', 1, 1, 0), ('9', 0, 1, 0)]
    agree()
    # Nothing is delivered: nothing is corrected.
    events()
    assert last(query, 'new', 'replaced', 'withdrawn', 'returned') == (0, 0, 0, 0)
    told = query(
        "select content_id, measure, before, after from gold.restatements where source = 'ga4_events'"
        ' order by load_id, content_id, measure'
    )
    assert told == [
        ('7', 'pageviews', 2, 3),  # 1 is another version, 3 has come: beside the correction
        ('8', 'pageviews', 1, 0),
        ('7', 'pageviews', 3, 1),
        ('7', 'user_engagements', 1, 0),
    ]
    days = {'start': date(2025, 10, 1), 'end': date(2025, 10, 2)}
    corrections = warehouse(settings).reader().query('corrections', days).rows
    assert [row[2:] for row in corrections] == [(days['start'], 0, 3, 1), (days['start'], 2, 1, 0)]
    first, *_ = query("select distinct changed_at from gold.changes where source = 'ga4_events' order by 1")
    moment = f"timestamp '{first[0].isoformat()}'" if settings.warehouse == 'bigquery' else f"'{first[0].isoformat()}'"
    known = f'select content_id, measure, amount from gold.as_of({moment}) where amount <> 0 order by 1'
    assert query(known) == [('7', 'pageviews', 2), ('8', 'pageviews', 1)]
    ((state, final_on, corrected),) = query(
        "select state, final_on, corrected_at from gold.finality where source = 'ga4_events'"
    )
    assert (state, final_on) == ('final', date(2025, 10, 5))
    assert corrected is not None


def test_the_newest_version_of_ads_counts_where_restatements_apply(
    settings: Settings, query: Query, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    monkeypatch.setattr(oracle, 'NEWEST_COUNTS', True)
    tiny = '0.000000000001'
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1'), ad('top', '2'), ad('side', tiny), ad('side', 'x'))
    ads()
    places = ('new', 'already_loaded', 'duplicate', 'rejected', 'conflicting', 'restated', 'superseded', 'replaced')
    assert last(query, *places) == (2, 0, 0, 1, 1, 0, 0, 0)
    # Restated; two rows of one file, of which the first counts; one new.
    deliver(settings, 'gam_delivery_20251002.csv', ad('top', '5'), ad('top', '6'), ad('side', '-2.5'), ad('new', '7'))
    ads()
    assert last(query, *places) == (1, 2, 0, 1, 2, 2, 0, 2)
    agree()
    # Taken back by a later file, and a version that has counted before is no conflict.
    deliver(settings, 'gam_delivery_20251003.csv', ad('top', '1', '12'), ad('side', tiny))
    # What another file has of `side` is a copy; the older ones of `top` and `side` are superseded once they count no more.
    for told in ((0, 3, 1, 1, 2, 2, 1, 2), (0, 4, 0, 1, 2, 0, 3, 0)):
        ads()
        assert last(query, *places) == told
        assert warehouse(settings).count_conflicts(['gam_delivery'], None) == 2  # in one file behind another
        assert query('select impressions, revenue_usd from gold.gam_daily_summary') == [(32, Decimal('8.000000000001'))]
    agree()
    signs = 'select ad_unit, why, sign, revenue_usd from bronze.gam_delivery_corrections order by _load_id, 1, 3, 4'
    assert query(signs) == [
        ('side', 'superseded', -1, Decimal(tiny)),
        ('side', 'restated', 1, Decimal('-2.5')),
        ('top', 'superseded', -1, 1),
        ('top', 'restated', 1, 5),
        ('side', 'superseded', -1, Decimal('-2.5')),
        ('side', 'restated', 1, Decimal(tiny)),
        ('top', 'superseded', -1, 5),
        ('top', 'restated', 1, 1),
    ]
    reader, days = warehouse(settings).reader(), {'start': date(2025, 10, 1), 'end': date(2025, 10, 2)}
    # The second file brought 5 for 1 and -2.5 for a tiny bit, the third the other way round, and twelve impressions for ten.
    by = Decimal('1.5') - Decimal(tiny)
    moved = [row[2:] for row in reader.query('restatements', days).rows]
    assert moved == [(days['start'], 2, 2, 0, -by), (days['start'], 2, 0, 0, by)]
    units = [('new', 1, 10, 7), ('top', 1, 12, 1), ('side', 1, 10, Decimal(tiny))]
    by_unit = reader.query('ads', days | {'by': 'ad_unit'}).rows
    assert [(name, rows, impressions, revenue) for name, rows, impressions, _, revenue, *_ in by_unit] == units
    beside = reader.query('ads_beside', days | {'article': '7'}).rows
    assert [row[:5] for row in beside] == [('line', 3, 32, 0, Decimal('8.000000000001'))]
    for of in ('', '7'):
        asked = days | {'by': 'ad_unit', 'wanted': 'top', 'article': of}
        assert reader.query('days_of_ads', asked).rows == [(days['start'], 12, 0, 1)]
    by_load = reader.query('changes', {'day': days['start'], 'article': '7'}).rows
    assert [row[-1] for row in by_load] == [1 + Decimal(tiny), 7 + by, -by]


def loaded_last(query: Query, source: str) -> int:
    """The number of the last load of a source that has ended well."""
    number: int = query(f"select max(load_id) from ops.loads where source = '{source}' and status = 'done'")[0][0]
    return number


@pytest.mark.slow
def test_a_load_of_ads_that_restated_rows_is_taken_out_and_the_versions_before_count_again(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    revenue = 'select revenue_usd from gold.gam_daily_summary'
    numbers = []
    # 1 and 3; the top ad is 5, and a new one; the top ad is 6.
    for day, rows in enumerate(([ad('top'), ad('side', '3')], [ad('top', '5'), ad('new', '7')], [ad('top', '6')]), start=1):
        deliver(settings, f'gam_delivery_2025100{day}.csv', *rows)
        ads()
        numbers.append(loaded_last(query, 'gam_delivery'))
    assert query(revenue) == [(16,)]  # 6 + 3 + 7
    capsys.readouterr()
    # The one between: its row goes; that the top ad was 5 goes as well, and the third has done both steps.
    assert main(['unload', '--load', str(numbers[1])]) == 0
    assert '1 restatement' in capsys.readouterr().err
    assert query(revenue) == [(9,)]
    assert main(['verify']) == 0
    assert main(['unload', '--load', str(numbers[2])]) == 0
    assert query(revenue) == [(4,)]  # the top ad is 1 again
    assert query('select count(*) from bronze.gam_delivery_corrections') == [(0,)]
    assert main(['verify']) == 0
    # What was taken out comes back from the files.
    ads('2025-10-01', '2025-10-03')
    assert query(revenue) == [(16,)]
    assert main(['verify']) == 0


@pytest.mark.slow
def test_a_load_of_a_day_that_corrected_it_is_taken_out_behind_the_one_that_corrected_that(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = 'select pageviews from gold.ga4_daily_summary'
    numbers = list[int]()

    def deliver_again(kind: str, rows: list[str], pageviews: int) -> None:
        exported(settings, f'events_{kind}20251001.csv', *rows)
        events()
        numbers.append(loaded_last(query, 'ga4_events'))
        assert query(views) == [(pageviews,)]

    deliver_again('intraday_', [event(1), event(2)], 2)
    deliver_again('', [event(1, source='google')], 1)
    if settings.warehouse == 'bigquery':  # between the look and the script, which are a transaction each
        from kly_mage.warehouse.bigquery import unload

        script = unload.unload_script

        def slower(*given: Any) -> str:
            deliver_again('', [event(1), event(2)], 2)
            return script(*given)

        with monkeypatch.context() as patched:
            patched.setattr(unload, 'unload_script', slower)
            assert main(['unload', '--load', str(numbers[1])]) == 2
        assert query(views) == [(2,)]
        assert main(['verify']) == 0
    else:
        deliver_again('', [event(1), event(2)], 2)
    capsys.readouterr()
    assert main(['unload', '--load', str(numbers[1])]) == 2
    refused = capsys.readouterr().err
    assert f'load {numbers[2]} has corrected what load {numbers[1]} did' in refused
    for number, left in ((numbers[2], 1), (numbers[1], 2)):
        assert main(['unload', '--load', str(number)]) == 0
        assert query(views) == [(left,)]
    assert main(['verify']) == 0
