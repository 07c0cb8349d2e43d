"""A project whose tables an earlier version has made: the next command brings it over, and loads go on from there."""

from datetime import UTC, datetime

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.fetch.bigquery import Dataset, Remote
from kly_mage.warehouse.bigquery import earlier, engine
from kly_mage.warehouse.bigquery.schema import tables
from tests.bigquery_emulator import Address
from tests.delivery import ad, ads, deliver
from tests.ga4_dataset import fill
from tests.ga4_export import SAMPLE, events
from tests.gold import Query

# What the tables had not before there was a log of corrections; views that read them were made anew by each version.
TABLES = ['ops.deliveries', 'ops.accepted_days', 'ops.at_work', 'ops.file_days', 'ops.load_rules']
TABLES += ['bronze.ga4_events_corrections', 'bronze.gam_delivery_corrections']
PLACES = ['rows_restated', 'rows_superseded']
COLUMNS = {
    'bronze.ga4_events': ['_file_day'],
    'bronze.ga4_events_hashrow': ['_file_day', '_partition_date'],
    'bronze.gam_delivery_conflicts': ['is_restatement'],
    'ops.load_days': PLACES,
    'ops.loads': [*PLACES, 'rows_replaced', 'rows_withdrawn', 'rows_returned'],
}


def make_it_old(query: Query) -> None:
    """Take out of a project what an earlier version did not make; its rows stay."""
    query("delete from ops.settings where starts_with(name, 'schema ')")
    rule = "update ops.settings set value = regexp_replace(value, '; [a-z_0-9, ]+ hold .*$', '')"
    query(f"{rule} where name = 'source ga4_events'")
    for name in TABLES:
        query(f'drop table {name}')
    for table, columns in COLUMNS.items():
        for column in columns:
            query(f'alter table {table} drop column {column}')


@pytest.mark.slow
def test_a_project_of_before_the_log_of_corrections_is_brought_over_and_corrected_by_what_comes(
    settings: Settings,
    query: Query,
    address: Address,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project, changed = settings.bigquery_project or '', [datetime(2025, 11, 1, tzinfo=UTC)]
    monkeypatch.setenv('KLY_GA4_DATASET', f'{project}.analytics_1')
    monkeypatch.setenv('BIGQUERY_STORAGE_EMULATOR_HOST', address.storage)
    table = Dataset.table

    def settled(self: Dataset, name: str) -> Remote | None:  # the emulator says that a table was changed just now
        found = table(self, name)
        return found and Remote(name, changed[-1], found.bytes, found.rows, False, found.fields)

    monkeypatch.setattr(Dataset, 'table', settled)
    fill(project, 'events_20251001', events(SAMPLE))
    day = ['--start', '2025-10-01', '--end', '2025-10-01']
    assert main(['backfill', *day, '--pipeline', 'articles_performance']) == 3  # its rejects, and no articles
    deliver(settings, 'gam_delivery_20251001.csv', ad('top', '1'), ad('side', '2'))
    assert ads() == 0
    gold = 'select content_id, pageviews, sessions from gold.ga4_daily_summary order by 1'
    views, stored = (
        query(gold),
        query('select _hashrow, _file_day, _partition_date from bronze.ga4_events_hashrow order by 1'),
    )
    make_it_old(query)
    engine._READY.clear()
    capsys.readouterr()
    # Any command brings it over, whichever comes first; one that is killed on the way is finished by the next.
    with monkeypatch.context() as patched:
        patched.setattr(earlier, 'noted_script', lambda rules: 'select killed')
        assert main(['status']) == 1
    assert main(['verify']) == 0, capsys.readouterr().err
    assert query(gold) == views
    assert query('select _hashrow, _file_day, _partition_date from bronze.ga4_events_hashrow order by 1') == stored
    assert query('select count(*) from bronze.ga4_events where _file_day is null') == [(0,)]
    assert query('select rows_superseded + rows_restated + rows_replaced from ops.loads') == [(0,)] * 3
    known = {name: engine.BigQuery(settings).client.columns(name) for name in earlier.columns(tables('US'))}
    for name, columns in earlier.columns(tables('US')).items():
        assert {column.lower() for column in columns} <= known[name], name
    # The table is written anew without its last event: what it lacks is taken back, as on any project.
    fill(project, 'events_20251001', events(SAMPLE)[:-1])
    changed.append(datetime(2025, 11, 2, tzinfo=UTC))
    main(['backfill', *day, '--pipeline', 'articles_performance'])
    assert query("select count(*) from bronze.ga4_events_corrections where why = 'withdrawn'") == [(1,)]
    assert main(['verify']) == 0
