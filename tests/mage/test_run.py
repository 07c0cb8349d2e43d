"""``mage run``: the same blocks from Mage's own command line, on an empty database and on the real export."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings, load_settings
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.embedded import stop_embedded
from kly_mage.warehouse.postgres.server import server
from tests.conftest import REAL_DATA
from tests.delivery import ad, deliver
from tests.ga4_export import SAMPLE, events, write_parquet
from tests.gold import Query, assert_gold_is_exact, gold

pytestmark = pytest.mark.mage

PIPELINES = ('articles_performance', 'ads_revenue')
MAGE = Path(sys.executable).with_name('mage')


def start(pipeline: str, home: Path, **variables: str) -> subprocess.Popen[str]:
    """``mage run kly_mage PIPELINE``, with these runtime variables."""
    command = [str(MAGE), 'run', 'kly_mage', pipeline]
    if variables:
        command += ['--runtime-vars', json.dumps(variables)]
    environment = os.environ | {'MAGE_DATA_DIR': str(home / 'mage'), 'HOME': str(home)}
    environment.pop('PYTHONWARNINGS', None)
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(*runs: subprocess.Popen[str]) -> list[str]:
    """Wait for all; gives what they said."""
    said = [run.communicate(timeout=300)[0] for run in runs]
    for run, text in zip(runs, said, strict=True):
        assert run.returncode == 0, text
    return said


def some_days(landing: Path, *days: str) -> None:
    """The sample's files of these days."""
    for path in (REPOSITORY / 'data').glob('*/*.csv*'):
        if any(day in path.name for day in days):
            shutil.copy(path, landing / path.parent.name / path.name)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing set but the two folders: the embedded server is started by whoever needs it first."""
    folder = Path(tempfile.mkdtemp(prefix='kly_run_', dir='/tmp'))
    folder.chmod(0o755)  # under root, PostgreSQL runs as another user
    for name in [name for name in os.environ if name.startswith('POSTGRES_')]:
        monkeypatch.delenv(name)
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        (folder / 'landing' / source).mkdir(parents=True)
    monkeypatch.setenv('KLY_LOCAL_DIR', str(folder / 'local'))
    monkeypatch.setenv('KLY_DATA_DIR', str(folder / 'landing'))
    monkeypatch.setenv('KLY_TIMEZONE', 'Asia/Jakarta')
    yield folder
    stop_embedded(load_settings())
    shutil.rmtree(folder, ignore_errors=True)


def test_two_runs_at_once_on_no_database_at_all_give_what_the_command_line_gives(embedded: Path) -> None:
    some_days(embedded / 'landing', '20251001')
    said = finished(*(start(pipeline, embedded, run_date='2025-10-01') for pipeline in PIPELINES))
    for text, sources in zip(said, (('cms_articles', 'ga4_events'), ('gam_delivery',)), strict=True):
        for source in sources:
            assert re.search(rf'^{source} 2025-10-01: [\d,]+ read, ', text, re.MULTILINE), text
        assert_nothing_foreign(text)
    settings = server(load_settings())

    def query(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    assert_gold_is_exact(query, embedded / 'landing')
    assert query("select count(*), count(*) filter (where status = 'done') from ops.loads") == [(3, 3)]
    assert_the_command_line_gives_the_same(query, '2025-10-01')


def assert_the_command_line_gives_the_same(query: Query, end: str) -> None:
    """On an empty database, that is; from the first of October."""
    by_mage = gold(query)
    query('drop schema bronze, gold, ops cascade')
    main(['backfill', '--start', '2025-10-01', '--end', end, '--quiet'])
    assert gold(query) == by_mage


def assert_nothing_foreign(said: str) -> None:
    """Blocks and marts say what they did, in a line each, and nothing foreign stands between or behind."""
    # Said by Mage's imports, before any line of the project is read.
    before = (
        'DBT library not installed',
        'WARNING:traitlets:',
        'INFO:mage_ai.data_preparation.executors.pipeline_executor:',
    )
    *told, last = [line for line in said.splitlines() if not line.startswith(before)]
    assert last == 'Pipeline run completed.'
    assert told[-1].startswith('gold.daily_summary: '), said
    unlike = [
        line
        for line in told
        if not re.match(r'(cms_articles|ga4_events|gam_delivery)(:| 2025)|gold\.\w+: [\d,]+ rows?, |WARNING:kly_mage:', line)
    ]
    assert unlike == []


@pytest.mark.slow
def test_october_by_day_and_the_command_line_give_the_same_gold(settings: Settings, query: Query, tmp_path: Path) -> None:
    some_days(settings.data_dir, '202510')
    for day in sorted(range(1, 32), key=lambda day: day % 2):  # not in order
        finished(*(start(pipeline, tmp_path, run_date=f'2025-10-{day:02}') for pipeline in PIPELINES))
    assert_gold_is_exact(query, settings.data_dir)
    assert_the_command_line_gives_the_same(query, '2025-10-31')


def test_a_file_that_cannot_be_used_is_named_and_the_others_are_loaded(
    settings: Settings, query: Query, tmp_path: Path
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    bad = deliver(settings, 'gam_delivery_20251002.csv', header='served_at,ad_unit')
    (said,) = finished(start('ads_revenue', tmp_path, run_date='2025-10-01'))
    assert f'gam_delivery/{bad.name} is left out, its days are incomplete: required column missing' in said
    assert query('select sum(revenue_usd) from gold.daily_summary') == [(2,)]
    assert query('select file, line from bronze.rejects where line = 0') == [(f'gam_delivery/{bad.name}', 0)]


def test_the_export_of_ga4_gives_the_gold_of_the_command_line(settings: Settings, query: Query, tmp_path: Path) -> None:
    day = settings.data_dir / 'ga4_events/events_20251001'
    write_parquet(day.with_name(f'{day.name}-000000000000.parquet'), events(SAMPLE)[:5])
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    day.with_name(f'{day.name}-000000000001.ndjson.gz').write_bytes(gzip.compress(b''.join(lines[5:])))
    (said,) = finished(start('articles_performance', tmp_path, run_date='2025-10-01'))
    assert re.search('^ga4_events 2025-10-01: 12 read, ', said, re.MULTILINE), said
    assert query('select content_id, pageviews from gold.daily_summary where pageviews > 0 order by 1') == [
        ('(not set)', 1),
        ('7000001', 2),
        ('7000002', 1),
        ('7000003', 1),
        ('7000007', 1),
    ]
    assert_the_command_line_gives_the_same(query, '2025-10-01')


def test_what_a_run_keeps_is_its_owners_alone_whatever_the_umask(settings: Settings, tmp_path: Path) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    kept = tmp_path / 'mage' / 'kly_mage'
    (kept / 'pipelines').mkdir(parents=True)
    (kept / 'pipelines' / 'left_open').touch()  # as a run of an older version leaves it
    before = os.umask(0)
    try:
        finished(start('ads_revenue', tmp_path, run_date='2025-10-01'))
    finally:
        os.umask(before)
    found = list(kept.rglob('*'))
    assert any('load_gam_delivery' in path.parts and path.is_file() for path in found)  # rows are among it
    assert [str(path) for path in (kept, *found) if path.stat().st_mode & 0o077] == []


def test_a_run_without_a_day_fails_and_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    run = start('ads_revenue', tmp_path, run_date='')
    said, _ = run.communicate(timeout=120)
    assert run.returncode != 0
    assert 'set the pipeline variable run_date' in said


@pytest.fixture
def real(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real GA4 export as landing zone."""
    if not REAL_DATA.is_dir():
        pytest.skip('the real GA4 export is not beside this checkout')
    shutil.rmtree(settings.data_dir / 'ga4_events')
    shutil.copytree(REAL_DATA / 'ga4_events', settings.data_dir / 'ga4_events')
    monkeypatch.setenv('KLY_TIMEZONE', 'UTC')
    return settings.data_dir


def test_the_real_export_in_one_range(real: Path, query: Query, tmp_path: Path) -> None:
    finished(start('articles_performance', tmp_path, start_date='2020-11-01', end_date='2020-11-30'))
    assert query('select count(*) from bronze.ga4_events') == [(8301,)]
    assert_gold_is_exact(query, real, 'UTC')


@pytest.mark.slow
def test_the_real_export_day_by_day(real: Path, query: Query, tmp_path: Path) -> None:
    for day in range(1, 31):
        finished(start('articles_performance', tmp_path, run_date=f'2020-11-{day:02}'))
    assert query('select count(*) from bronze.ga4_events') == [(8301,)]
    assert_gold_is_exact(query, real, 'UTC')
