"""GA4's tables loaded where they stand: the gold of their files, and nothing that BigQuery could not take back."""

import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.common.window import Window
from kly_mage.declared.ga4_events import GA4_EVENTS, IDENTITY
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.fetch.bigquery import Dataset, Remote
from kly_mage.landing.files import files_for
from kly_mage.loads import steps
from kly_mage.warehouse.bigquery import ga4_tables
from kly_mage.warehouse.bigquery.engine import BigQuery
from kly_mage.warehouse.bigquery.staging import Staged, staged_columns
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.request import Request
from tests.conftest import REAL_DATA
from tests.ga4_dataset import fill
from tests.ga4_export import events
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


def backfill(start: str, end: str) -> int:
    return main(['backfill', '--start', start, '--end', end, '--quiet', '--pipeline', 'articles_performance'])


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason='the real GA4 export is not beside this checkout')
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


def staged(
    monkeypatch: pytest.MonkeyPatch, now: str, loaded: dict[str, datetime], read_for: int = 2
) -> tuple[list[str], Staged]:
    """What a load of the first two days sends, and knows then."""
    sent = list[str]()

    class Sent:
        def run(self, text: str, values: Any = None, *, what: str) -> list[Any]:
            sent.append(text)
            return []

    monkeypatch.setattr(ga4_tables, 'Dataset', Tables)
    monkeypatch.setattr(ga4_tables, 'today', lambda timezone: date.fromisoformat(now))
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
    (_, script), found = staged(monkeypatch, '2025-11-05', {})
    assert list(found.states) == ['events_20251001', 'events_intraday_20251002', 'events_20251003']
    assert found.left_out == {}
    assert script.count('`shop`.`analytics_1`.`events_20251001`') == 1
    assert 'events_fresh' not in script


def test_a_table_that_loads_have_taken_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = dict.fromkeys(('events_20251001', 'events_20251003'), Tables.modified)
    (_, script), found = staged(monkeypatch, '2025-11-05', loaded)
    assert list(found.states) == ['events_intraday_20251002']
    assert 'events_20251001' not in script
    # Of the second day's table, rows of the first and second are asked for: by UTC of a day more on each side.
    assert (found.first, found.last) == (date(2025, 9, 30), date(2025, 10, 3))
    # The table of the third may hold rows of the second, which no load was asked for then.
    _, found = staged(monkeypatch, '2025-11-05', loaded, read_for=1)
    assert list(found.states) == ['events_intraday_20251002', 'events_20251003']


def test_a_table_that_may_be_written_again_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = staged(monkeypatch, '2025-10-05', {})
    # The day after the third day behind the first of October is the fifth. The third's is not asked for, and not told.
    assert list(found.states) == ['events_20251001']
    assert found.left_out == {
        'events_intraday_20251002': 'it may be written again until 2025-10-05; BigQuery takes back no rows yet, so it is '
        'loaded when Google does not write it again'
    }


def test_a_table_that_was_written_again_after_it_was_loaded_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, same = staged(monkeypatch, '2025-11-05', {'events_20251001': Tables.modified})
    assert same.left_out == {}
    _, other = staged(monkeypatch, '2025-11-05', {'events_20251001': datetime(2025, 10, 20, 8, tzinfo=UTC)})
    assert other.left_out == {
        'events_20251001': 'it was written again at 2025-11-01 00:00 UTC, and loaded as of 2025-10-20 08:00, which counts; '
        'BigQuery takes back no rows yet'
    }


def test_a_day_that_is_loaded_from_another_table_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = staged(monkeypatch, '2025-11-05', {'events_fresh_20251001': Tables.modified})
    assert found.left_out == {
        'events_20251001': 'its day is loaded from events_fresh_20251001, which counts; BigQuery takes back no rows yet'
    }


def test_what_stages_the_rows_is_googlesql(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, script), _ = staged(monkeypatch, '2025-11-05', {})
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
