"""GA4's tables loaded where they stand: the gold of their files, corrected when Google writes a table anew."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from kly_mage.__main__ import main
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Rule
from kly_mage.declared.ga4_events import GA4_EVENTS, IDENTITY
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.fetch.bigquery import Dataset, Remote
from kly_mage.landing.files import files_for
from kly_mage.loads import steps
from kly_mage.warehouse.bigquery import ga4_tables
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.engine import BigQuery
from kly_mage.warehouse.bigquery.staging import Staged, staged_columns
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.request import Request
from tests.conftest import REAL_DATA
from tests.ga4_dataset import fill
from tests.ga4_export import Event, events
from tests.googlesql import analyzer
from tests.oracle import expected
from tests.warehouse.bigquery.test_ga4_select import PLACES, READ

DAYS = [f'202011{day:02}' for day in range(1, 5)]


@pytest.fixture
def dataset(settings: Settings, address: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The project, whose data set is read in place; its tables were last changed when they are made."""
    project = settings.bigquery_project or ''
    monkeypatch.setenv('KLY_GA4_DATASET', f'{project}.analytics_1')
    monkeypatch.setenv('BIGQUERY_STORAGE_EMULATOR_HOST', address.storage)
    # The emulator says at every look that a table was changed just now.
    table = Dataset.table
    changed = datetime(2025, 11, 1, tzinfo=UTC)

    def settled(self: Dataset, name: str) -> Remote | None:
        found = table(self, name)
        return found and Remote(name, changed, found.bytes, found.rows, False, found.fields)

    monkeypatch.setattr(Dataset, 'table', settled)
    return project


def viewed(n: int, article: str) -> Event:
    """A page view of a user of its own, at noon in Jakarta."""
    params = [
        {'key': 'ga_session_id', 'value': {'int_value': '1'}},
        {'key': 'content_id', 'value': {'string_value': article}},
    ]
    moment = int(datetime(2025, 10, 1, 5, 0, n, tzinfo=UTC).timestamp() * 1_000_000)
    own = {'user_pseudo_id': f'u{n}', 'event_name': 'page_view', 'event_timestamp': str(moment), 'event_date': '20251001'}
    return own | {'event_params': params, 'batch_event_index': str(n)}


def backfill(start: str, end: str) -> int:
    return main(['backfill', '--start', start, '--end', end, '--quiet', '--pipeline', 'articles_performance'])


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason='the real GA4 export is not beside this checkout')
@pytest.mark.usefixtures('without_tables')  # its days are those of another zone
def test_four_real_days_are_the_gold_of_their_files_and_again_nothing_new(
    dataset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flat = tmp_path / 'flat/ga4_events'
    for folder in (flat, tmp_path / 'flat/cms_articles', tmp_path / 'flat/gam_delivery'):
        folder.mkdir(parents=True)
    found = 0
    for day in DAYS:
        shutil.copy(next((REAL_DATA / 'ga4_events').glob(f'*{day}*')), flat)
        rows = events(REAL_DATA / f'ga4_export/events_{day}.ndjson.gz')
        fill(dataset, f'events_{day}', rows)
        found += len(rows)
    monkeypatch.setenv('KLY_TIMEZONE', 'UTC')
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'path:(.*)')
    assert backfill('2020-11-01', '2020-11-04') == 3  # there are no articles
    client = BigQuery(load_settings()).client

    def query(text: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in client.run(text, what='test')]

    of_gold = 'select event_date, content_id, pageviews, sessions, user_engagements from gold.ga4_daily_summary'
    truth = expected(flat.parent, 'UTC').ga4_daily_summary
    wanted = sorted(tuple(row.values()) for row in truth)
    bigquery = sorted(query(of_gold))
    assert bigquery == wanted
    assert query('select count(*), count(distinct _hashrow) from bronze.ga4_events') == [(found, found)]
    backfill('2020-11-01', '2020-11-04')
    assert query(
        "select rows_read, rows_new, rows_already_loaded from ops.loads where source = 'ga4_events' order by load_id"
    ) == [
        (found, found, 0),
        (0, 0, 0),  # no table has changed
    ]


class Tables:
    """A data set with a table of each of these days, and one of another kind."""

    project, name = 'shop', 'analytics_1'
    modified = datetime(2025, 11, 1, tzinfo=UTC)

    def __init__(self, full_name: str) -> None:
        assert full_name == 'shop.analytics_1'

    def tables(self) -> list[str]:
        return [
            *('events_20251001', 'events_intraday_20251001', 'events_fresh_20251001', 'events_intraday_20251002'),
            *('events_20251003', 'pseudonymous_users_20251001', 'events_20251001_copy', 'events_29991231'),
        ]

    def table(self, name: str) -> Remote | None:
        return Remote(name, self.modified, 1_000, 12, False, PLACES)


def staged(monkeypatch: pytest.MonkeyPatch, loaded: dict[str, datetime], read_for: int = 2) -> tuple[list[str], Staged]:
    """What a load of the first two days sends, and knows then."""
    sent = list[str]()

    class Sent:
        def run(self, text: str, values: Any = None, *, what: str) -> list[Any]:
            sent.append(text)
            return []

    monkeypatch.setattr(ga4_tables, 'Dataset', Tables)
    before = Window(date(2025, 9, 20), date(2025, 10, read_for))
    monkeypatch.setattr(ga4_tables, 'read_as', lambda client, source: [(name, at, before) for name, at in loaded.items()])
    settings = replace(load_settings(), ga4_dataset='shop.analytics_1', data_dir=Path('/nowhere'))
    there = ga4_tables.in_place(settings, GA4_EVENTS)
    assert there is not None
    days = Window(date(2025, 10, 1), date(2025, 10, 2))
    request = Request(GA4_EVENTS, days, files_for(there.files, days, 3), [], there.undeclared, 'test')
    request, found = ga4_tables.stage(settings, Sent(), request, 'staging.t')  # type: ignore[arg-type]
    assert [file.name for file in request.files] == list(found.states)
    return sent, found


def test_a_day_is_read_from_its_newest_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, script), found = staged(monkeypatch, {})
    assert list(found.states) == ['events_20251001', 'events_intraday_20251002', 'events_20251003']
    assert found.left_out == {}
    assert script.count('`shop`.`analytics_1`.`events_20251001`') == 1
    assert 'events_fresh' not in script


def test_a_table_that_loads_have_taken_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = dict.fromkeys(('events_20251001', 'events_20251003'), Tables.modified)
    (_, script), found = staged(monkeypatch, loaded)
    assert list(found.states) == ['events_intraday_20251002']
    assert 'events_20251001' not in script
    # Of the second day's table, rows of the first and second are asked for: by UTC of a day more on each side.
    assert (found.first, found.last) == (date(2025, 9, 30), date(2025, 10, 3))
    # The table of the third may hold rows of the second, which no load was asked for then.
    _, found = staged(monkeypatch, loaded, read_for=1)
    assert list(found.states) == ['events_intraday_20251002', 'events_20251003']


def test_where_rows_may_be_taken_back_the_tables_beside_are_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written anew, or another table of its day: rows that it lacks may stand in the tables after it."""
    taken = {'events_20251003': Tables.modified, 'events_intraday_20251002': Tables.modified}
    for before in ({'events_20251001': datetime(2025, 10, 20, 8, tzinfo=UTC)}, {'events_fresh_20251001': Tables.modified}):
        _, found = staged(monkeypatch, taken | before)
        assert list(found.states) == found.deliveries == ['events_20251001', 'events_intraday_20251002', 'events_20251003']


@pytest.mark.slow
def test_a_day_whose_table_is_written_anew_counts_as_it_is_now(
    dataset: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, changed = Dataset.table, dict[str, datetime]()

    def written(self: Dataset, name: str) -> Remote | None:
        found = table(self, name)
        return found and Remote(name, changed[name], found.bytes, found.rows, False, found.fields)

    def write(name: str, hour: int, rows: list[Event]) -> None:
        fill(dataset, name, rows)
        changed[name] = datetime(2025, 10, 2, hour, tzinfo=UTC)

    def ask(text: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in BigQuery(load_settings()).client.run(text, what='test')]

    counts = 'rows_read, rows_new, rows_already_loaded, rows_replaced, rows_withdrawn, rows_returned'
    last = f"select {counts} from ops.loads where source = 'ga4_events' order by load_id desc limit 1"
    monkeypatch.setattr(Dataset, 'table', written)
    article = settings.data_dir / 'cms_articles/cms_articles.csv'
    article.write_text('content_id,site,title,author,section,publish_timestamp\n7,s,t,a,n,2025-09-01\n', 'utf-8')
    write('events_intraday_20251001', 1, [viewed(1, '7'), viewed(2, '7'), viewed(3, '8')])
    assert backfill('2025-10-01', '2025-10-01') == 0
    views = 'select content_id, pageviews, sessions from gold.ga4_daily_summary order by 1'
    assert ask(views) == [('7', 2, 2), ('8', 1, 1)]
    # The daily table: 1 as before, 2 is of article 8, 3 is gone, 4 is new.
    write('events_20251001', 2, [viewed(1, '7'), viewed(2, '8'), viewed(4, '7')])
    assert backfill('2025-10-01', '2025-10-01') == 3
    assert ask(last) == [(3, 2, 1, 1, 1, 0)]
    assert ask(views) == [('7', 2, 2), ('8', 1, 1)]
    # Written anew: 3 is back, 1 and 4 are gone.
    write('events_20251001', 3, [viewed(2, '8'), viewed(3, '8')])
    assert backfill('2025-10-01', '2025-10-01') == 3
    assert ask(last) == [(2, 0, 2, 0, 2, 1)]
    assert ask(views) == [('8', 2, 2)]
    backfill('2025-10-01', '2025-10-01')
    assert ask(last) == [(0, 0, 0, 0, 0, 0)]  # no table has changed
    assert main(['verify']) == 0
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'param:article')
    write('events_20251001', 4, [viewed(2, '8')])
    assert backfill('2025-10-01', '2025-10-01') == 2


def test_a_person_is_left_out_of_tables_though_he_is_forgotten_while_their_rows_are_staged(
    dataset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said, client = list[str](), BigQuery(load_settings()).client
    # Twice, and one without a name; and another person.
    fill(dataset, 'events_20251001', [viewed(1, '7'), viewed(1, '7'), viewed(1, '7') | {'event_name': ''}, viewed(2, '7')])
    client.run('create table staging.ga4_events_7 (a string); create table staging.reconcile_8 (a string)', what='test')
    run = Client.run

    def forgetting(self: Client, text: str, *given: Any, what: str, **further: Any) -> Any:
        if what == 'load' and not said:
            said.append('')
            capsys.readouterr()
            assert main(['forget', '--user', 'u1', '--by', 'Ani']) == 0
            said[0] = capsys.readouterr().err
            assert not client.has('staging.ga4_events_7')  # of a load that is no more; that of this one is needed
            assert client.has('staging.reconcile_8')
        return run(self, text, *given, what=what, **further)

    monkeypatch.setattr(Client, 'run', forgetting)
    assert backfill('2025-10-01', '2025-10-01') == 3  # there are no articles
    *_, export, kept = said[0].splitlines()
    assert f"{dataset}.analytics_1 are Google's export" in export
    assert '7 days of time travel' in kept

    def ask(text: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in client.run(text, what='test')]

    counts = 'rows_read, rows_new, rows_forgotten, rows_rejected, rows_duplicate'
    assert ask(f"select {counts} from ops.loads where source = 'ga4_events'") == [(4, 1, 3, 0, 0)]
    assert ask('select user_pseudo_id from bronze.ga4_events') == [('u2',)]
    assert ask('select count(*) from bronze.rejects') == [(0,)]
    capsys.readouterr()
    assert main(['reconcile', '--json', '--source', 'ga4_events']) == 0
    rows = json.loads(capsys.readouterr().out)['sources']['ga4_events']['total']['rows']
    assert {place: rows[place] for place in ('read', 'bronze', 'forgotten')} == {'read': 4, 'bronze': 1, 'forgotten': 3}


def test_rules_are_held_where_the_rows_stand(
    dataset: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(text: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in BigQuery(load_settings()).client.run(text, what='test')]

    def declare(level: Literal['warn', 'stop'], broken: str = "event_name <> 'page_view'") -> None:
        rules = (*GA4_EVENTS.rules, Rule('events are views', broken, level))
        monkeypatch.setitem(SOURCES, 'ga4_events', replace(GA4_EVENTS, rules=rules))

    article = settings.data_dir / 'cms_articles/cms_articles.csv'
    published = ''.join(f'{n},s,t,a,n,2025-10-01T12:00:0{n}+07:00\n' for n in (1, 2, 3))
    article.write_text(f'content_id,site,title,author,section,publish_timestamp\n{published}', 'utf-8')
    # Of article 1 a second before it is published, of 2 and 3 when they are; one is no view and has a name nobody knows.
    early, odd = viewed(0, '1'), viewed(3, '3') | {'event_name': 'pageview'}
    fill(dataset, 'events_20251001', [early, viewed(2, '2'), odd])
    declare('stop')
    assert backfill('2025-10-01', '2025-10-01') == 1
    assert 'ga4_events: 1 row breaks "events are views"; nothing of this load was written' in capsys.readouterr().err
    assert ask('select count(*) from bronze.ga4_events') == [(0,)]
    declare('warn', 'event_name = "pageview"')
    assert backfill('2025-10-01', '2025-10-01') == 2
    assert 'the rule "events are views" quotes a name or has a backslash' in capsys.readouterr().err
    declare('warn')
    assert backfill('2025-10-01', '2025-10-01') == 0
    assert ask('select rule, rows_broken from ops.load_rules order by rule') == [
        ('an article is published before its events', 1),
        ('an event has a name GA4 knows', 1),
        ('events are views', 1),
    ]


def test_what_stages_the_rows_is_googlesql(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, script), _ = staged(monkeypatch, {})
    with analyzer('') as googlesql:
        googlesql.add_nested('', 'events', READ)
        text = re.sub('`shop`.`analytics_1`.`[a-z_0-9]+`', 'events', script)
        kinds = [(name, googlesql.kind(kind)) for name, kind, _ in staged_columns(GA4_EVENTS, list(IDENTITY))]
        googlesql.add_table('staging', 't', kinds)
        assert googlesql.refusals(text) == []
        assert len(googlesql.refusals(text.replace('staging.t ', 'staging.u '))) == 3


def test_files_of_events_beside_the_data_set_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ga4_tables, 'Dataset', Tables)
    settings = replace(load_settings(), ga4_dataset='shop.analytics_1', data_dir=tmp_path)
    (tmp_path / 'ga4_events').mkdir()
    there = ga4_tables.in_place(settings, GA4_EVENTS)
    assert there is not None
    assert ga4_tables.in_place(settings, GAM_DELIVERY) is None
    (tmp_path / 'ga4_events/ga4_events_20251001.csv').touch()
    with pytest.raises(UsageError, match='KLY_GA4_DATASET says that ga4_events come from BigQuery'):
        ga4_tables.in_place(settings, GA4_EVENTS)


def test_in_mage_blocks_hand_on_no_rows_of_tables_and_the_exporter_loads_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, there = list[Request](), ga4_tables.InPlace([], list(IDENTITY))

    def load(self: BigQuery, request: Request) -> dict[str, Any]:
        asked.append(request)
        done = {'load_id': 1, 'source': 'ga4_events', 'days': str(request.window), 'left_out': {}, 'files_changed': 0}
        done |= Counts(rows_read=7, rows_new=7).summary()
        return done | {'far_off': [], 'stale': None, 'stale_days': [], 'final_days': []}

    monkeypatch.setenv('KLY_WAREHOUSE', 'bigquery')
    monkeypatch.setattr(BigQuery, 'in_place', lambda self, source: there)
    monkeypatch.setattr(BigQuery, 'load_in_place', load)
    monkeypatch.setattr(steps.summary, 'missing_days', lambda *given: [])
    kwargs = {'run_date': '2025-10-01', 'pipeline_uuid': 'articles_performance'}
    rows = steps.read_days('ga4_events', kwargs)
    hashed = steps.hash_rows(rows, 'ga4_events')
    assert (len(rows), len(hashed)) == (0, 0)
    assert {'_file', '_line'} <= set(rows.columns)
    assert {'_hashrow', '_reject'} <= set(hashed.columns)
    done = steps.export_new_rows(hashed, 'ga4_events', kwargs)
    assert [request.undeclared for request in asked] == [list(IDENTITY)]
    assert 'ga4_events 2025-10-01' in done['line']
    assert 'the rows stay in their tables' in capsys.readouterr().out
