"""``fetch ga4`` as people run it, against an emulator of BigQuery: the same gold as from the files, and clear refusals.

The emulator says of every table that it was changed just now, so what is skipped is shown in ``test_ga4.py`` alone.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from tests.bigquery_emulator import client_folder, emulator
from tests.commands import run
from tests.conftest import REAL_DATA
from tests.ga4_export import events
from tests.gold import Query, assert_gold_is_exact

pytestmark = [pytest.mark.one_version, pytest.mark.emulator]
DAYS = [f'202011{day:02}' for day in range(1, 5)]


@pytest.fixture(scope='module')
def bigquery() -> Iterator[dict[str, str]]:
    """The environment of a process that has the emulator's tables of four days, and Google's libraries."""
    if not REAL_DATA.is_dir():
        pytest.skip('the real GA4 export is not beside this checkout')
    with emulator() as address:
        environment = {
            'PYTHONPATH': os.pathsep.join((str(client_folder()), str(REPOSITORY))),
            'BIGQUERY_EMULATOR_HOST': address,
            'BIGQUERY_STORAGE_EMULATOR_HOST': address.storage,
            'KLY_GA4_DATASET': 'local.analytics_1',
        }
        paths = [str(REAL_DATA / f'ga4_export/events_{day}.ndjson.gz') for day in DAYS]
        subprocess.run(
            [sys.executable, '-m', 'tests.ga4_dataset', 'local', *paths],
            env=os.environ | environment,
            check=True,
            timeout=120,
        )
        yield environment


def test_fetched_tables_load_to_the_gold_of_the_files(
    bigquery: dict[str, str], settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    landing, flat = tmp_path / 'real', tmp_path / 'flat/ga4_events'
    for folder in (landing / 'cms_articles', landing / 'gam_delivery', flat):
        folder.mkdir(parents=True)
    for day in DAYS:
        shutil.copy(next((REAL_DATA / 'ga4_events').glob(f'*{day}*')), flat)
    monkeypatch.setenv('KLY_DATA_DIR', str(landing))
    monkeypatch.setenv('KLY_TIMEZONE', 'UTC')
    monkeypatch.setenv('KLY_SETTLE_SECONDS', '0')
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'path:(.*)')
    days = ['--start', '2020-11-01', '--end', '2020-11-04']
    found = sum(len(events(REAL_DATA / f'ga4_export/events_{day}.ndjson.gz')) for day in DAYS)

    told = run('fetch', 'ga4', *days, **bigquery)
    assert (told.stdout, told.returncode) == (f'4 tables fetched, {found:,} rows, 0 unchanged\n', 0), told.stderr
    assert 'fetching events_20201101: done' in told.stderr
    main(['backfill', *days, '--quiet', '--pipeline', 'articles_performance'])
    assert query('select count(*), count(stream_id) from bronze.ga4_events') == [(found, found)]
    assert_gold_is_exact(query, flat.parent, 'UTC')


WITHOUT_GOOGLE = (
    "import sys\nfor name in ('bigquery', 'bigquery_storage_v1'):\n    sys.modules[f'google.cloud.{name}'] = None\n"
)
"""At the start of an interpreter: as if Google's libraries were not installed."""


@pytest.mark.parametrize(
    ('arguments', 'changed', 'said'),
    [
        (['--max-bytes', '5'], {}, r'error: 1 table of [\d,]+ bytes would be read, 5 may be: .*; nothing was read'),
        (
            [],
            {'KLY_GA4_DATASET': 'local.analytics_2'},
            r'error: the data set local.analytics_2 is not there \(Not found: Dataset .*',
        ),
        ([], {'KLY_GA4_DATASET': 'nobody.analytics_1'}, r'error: the data set nobody.analytics_1 is not there .*'),
        ([], {'KLY_GA4_DATASET': 'analytics_1'}, r'error: KLY_GA4_DATASET=.* is no data set of BigQuery, such as .*'),
        ([], {'KLY_GA4_DATASET': ''}, r'error: which data set\? set KLY_GA4_DATASET=.*'),
        ([], {'PYTHONPATH': '{}'}, r"error: Google's libraries are not installed \(.*\): make .venv/bigquery"),
        (
            [],
            {'BIGQUERY_STORAGE_EMULATOR_HOST': '', 'GOOGLE_APPLICATION_CREDENTIALS': '/no/key.json'},
            r'error: no credentials for Google Cloud: .*',
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_leaves_nothing(
    bigquery: dict[str, str], tmp_path: Path, arguments: list[str], changed: dict[str, str], said: str
) -> None:
    (tmp_path / 'sitecustomize.py').write_text(WITHOUT_GOOGLE, 'utf-8')
    changed = {name: value.format(tmp_path) for name, value in changed.items()}
    environment = bigquery | {'KLY_DATA_DIR': str(tmp_path)} | changed
    told = run('fetch', 'ga4', '--start', '2020-11-01', *arguments, **environment)
    assert re.fullmatch(said + '\n', told.stderr), told.stderr
    assert told.returncode in (1, 2)
    assert not list(tmp_path.rglob('*.parquet'))
