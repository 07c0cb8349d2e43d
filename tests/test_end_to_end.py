"""The sample and the real export through the command line, against the oracle."""

import shutil
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared.ga4_events import GA4_EVENTS
from tests.conftest import REAL_DATA
from tests.ga4_export import events, write_parquet
from tests.gold import Query, assert_gold_is_exact, gold


def test_the_sample_in_one_range_and_again(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KLY_DATA_DIR', str(REPOSITORY / 'data'))
    command = ['backfill', '--start', '2025-10-01', '--end', '2025-10-31', '--quiet']
    assert main(command) == 3  # the sample holds rejects and conflicts on purpose
    assert_gold_is_exact(query, REPOSITORY / 'data')
    before = gold(query)
    assert main(command) == 3
    assert gold(query) == before
    assert query('select sum(rows_new) from ops.loads where load_id > 3') == [(0,)]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason='the real GA4 export is not beside this checkout')
@pytest.mark.parametrize('steps', ['range', 'day by day'])
def test_the_real_export(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: str
) -> None:
    landing = tmp_path / 'real'
    shutil.copytree(REAL_DATA / 'ga4_events', landing / 'ga4_events')
    (landing / 'cms_articles').mkdir()
    (landing / 'gam_delivery').mkdir()
    monkeypatch.setenv('KLY_DATA_DIR', str(landing))
    monkeypatch.setenv('KLY_TIMEZONE', 'UTC')
    days = [f'2020-11-{day:02}' for day in range(1, 31)]
    for start, end in [(days[0], days[-1])] if steps == 'range' else [(day, day) for day in days]:
        main(['backfill', '--start', start, '--end', end, '--quiet', '--pipeline', 'articles_performance'])
    assert query('select count(*) from bronze.ga4_events') == [(8301,)]
    assert_gold_is_exact(query, landing, 'UTC')


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason='the real GA4 export is not beside this checkout')
@pytest.mark.parametrize('form', ['parquet', 'ndjson.gz'])
def test_the_real_export_as_bigquery_writes_it(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    landing, flat = tmp_path / 'real', tmp_path / 'flat'
    for source in ('cms_articles', 'gam_delivery', 'ga4_events'):
        (landing / source).mkdir(parents=True)
    shutil.copytree(REAL_DATA / 'ga4_events', flat / 'ga4_events')
    for path in (REAL_DATA / 'ga4_export').iterdir():
        if form == 'ndjson.gz':
            shutil.copy(path, landing / 'ga4_events')
            continue
        day, found = path.name.partition('.')[0], events(path)
        for shard, rows in enumerate((found[:100], found[100:])):
            write_parquet(landing / f'ga4_events/{day}-{shard:012}.parquet', rows)
    monkeypatch.setenv('KLY_DATA_DIR', str(landing))
    monkeypatch.setenv('KLY_TIMEZONE', 'UTC')
    monkeypatch.setenv('KLY_SETTLE_SECONDS', '0')
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'path:(.*)')
    command = ['backfill', '--start', '2020-11-01', '--end', '2020-11-30', '--quiet', '--pipeline', 'articles_performance']
    for _ in range(2):
        main(command)
        assert query("select sum(rows_new) from ops.loads where source = 'ga4_events'") == [(8301,)]
    assert query('select count(*), count(stream_id) from bronze.ga4_events') == [(8301, 8301)]
    identity = ', '.join(GA4_EVENTS.key_columns)  # docs/whole-days.md: no two of these events share it
    assert query(f'select count(distinct ({identity})) from bronze.ga4_events') == [(8301,)]
    assert_gold_is_exact(query, flat, 'UTC')
    assert main(['verify']) == 0
