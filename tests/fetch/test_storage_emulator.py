"""``fetch files`` as people run it, against an emulator of Cloud Storage: the files of the bucket, and clear refusals."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kly_mage.common.settings import REPOSITORY, Settings
from tests.bigquery_emulator import client_folder
from tests.commands import run
from tests.delivery import HEADERS, article, backfill
from tests.fetch.test_emulator import WITHOUT_GOOGLE
from tests.gold import Query
from tests.ports import free_port
from tests.refusing import refusing
from tests.storage_emulator import BUCKET, Storage, storage_emulator

SAMPLE = REPOSITORY / 'data'
LIST = 'storage.objects.list'
DENIED = (
    f'robot@shop.iam.gserviceaccount.com does not have {LIST} access to the Google Cloud Storage bucket. '
    f"Permission '{LIST}' denied on resource (or it may not exist)."
)


@pytest.fixture(scope='module')
def storage() -> Iterator[Storage]:
    """A bucket with the sample of each source below ``land/``."""
    with storage_emulator() as emulator:
        for path in SAMPLE.glob('*/*.csv*'):
            emulator.put(f'land/{path.relative_to(SAMPLE)}', path.read_bytes())
        yield emulator


@pytest.fixture
def environment(storage: Storage, tmp_path: Path) -> dict[str, str]:
    """Of a command that has the bucket, an empty landing zone and Google's libraries."""
    return {
        'PYTHONPATH': os.pathsep.join((str(client_folder()), str(REPOSITORY))),
        'STORAGE_EMULATOR_HOST': storage.address,
        'KLY_BUCKET': f'gs://{BUCKET}/land',
        'KLY_DATA_DIR': str(tmp_path),
    }


def files(folder: Path) -> dict[str, bytes]:
    """The deliveries in a landing zone."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob('*/*.csv*')}


def test_the_landing_zone_becomes_what_the_bucket_is(storage: Storage, environment: dict[str, str], tmp_path: Path) -> None:
    sample = files(SAMPLE)
    count, size = len(sample), sum(map(len, sample.values()))
    dry = run('fetch', 'files', '--dry-run', **environment)
    assert (dry.stdout, dry.returncode) == (f'{count} files would be fetched, {size:,} bytes, 0 unchanged\n', 0), dry.stderr
    assert not list(tmp_path.iterdir())
    told = run('fetch', 'files', **environment)
    assert (told.stdout, told.returncode) == (f'{count} files fetched, {size:,} bytes, 0 unchanged\n', 0), told.stderr
    assert files(tmp_path) == sample
    name, content = next(iter(sample.items()))
    assert f'fetching {name}: done in' in told.stderr

    newer, longer = content + b'x', b'0123456789' * 2_000_000  # that comes in two ranges
    storage.put(f'land/{name}', newer)
    storage.put('land/ga4_events/long.csv', longer)
    storage.put('land/ga4_events/LONG.csv.gz', b'x')
    storage.put('land/ga4_events/Long.csv.gz', b'x')
    gone = list(sample)[-1]
    storage.delete(f'land/{gone}')
    (tmp_path / 'cms_articles/mine.csv').write_bytes(b'mine')
    told = run('fetch', 'files', '--quiet', **environment)
    assert told.stdout == (
        f'2 files fetched, {len(newer) + len(longer):,} bytes, {count - 2} unchanged; 2 refused; '
        f'gone from the bucket, and kept: 1 file ({gone})\n'
    )
    assert sorted(told.stderr.splitlines()) == [
        f'gs://{BUCKET}/land/ga4_events/LONG.csv.gz is not copied: '
        f'gs://{BUCKET}/land/ga4_events/Long.csv.gz would be the same file',
        f'gs://{BUCKET}/land/ga4_events/Long.csv.gz is not copied: '
        f'gs://{BUCKET}/land/ga4_events/LONG.csv.gz would be the same file',
    ]
    assert told.returncode == 3
    more = {name: newer, 'ga4_events/long.csv': longer, 'cms_articles/mine.csv': b'mine'}
    assert files(tmp_path) == sample | more


@pytest.mark.one_version
def test_undated_files_are_loaded_in_the_order_in_which_they_came_into_the_bucket(
    storage: Storage, environment: dict[str, str], settings: Settings, query: Query
) -> None:
    environment |= {'KLY_BUCKET': f'gs://{BUCKET}/order', 'KLY_DATA_DIR': str(settings.data_dir)}

    def come(name: str, title: str) -> None:
        storage.put(f'order/{name}', f'{HEADERS["cms_articles"]}\n{article("7", title)}\n'.encode())

    def titles() -> list[tuple[str, ...]]:
        told = run('fetch', 'files', '--start', '2025-10-01', **environment)
        assert told.returncode == 0, told.stderr
        backfill('2025-10-01', None, '--quiet', '--pipeline', 'articles_performance')
        return query('select title from gold.articles')

    come('cms_articles/b.csv', 'First')
    come('cms_articles.csv', 'Second')
    come('cms_articles/a.csv', 'Third')
    assert titles() == [('Third',)]  # not the last by name
    come('cms_articles/b.csv', 'Again')
    assert titles() == [('Again',)]


@pytest.mark.parametrize(
    ('arguments', 'changed', 'said'),
    [
        (['--max-bytes', '5'], {}, r'error: \d+ files of [\d,]+ bytes would be read, 5 may be: .*; nothing was read'),
        ([], {'KLY_BUCKET': ''}, r'error: which bucket\? set KLY_BUCKET=gs://BUCKET/PREFIX, .*'),
        ([], {'KLY_BUCKET': 'shop-exports'}, r'error: KLY_BUCKET=.* is no place in Cloud Storage, such as .*'),
        ([], {'KLY_BUCKET': 'gs://nobodys'}, r'error: the bucket gs://nobodys is not there \(.*\): KLY_BUCKET is .*'),
        ([], {'KLY_BUCKET': f'gs://{BUCKET}'}, rf'error: no deliveries in gs://{BUCKET}/: KLY_BUCKET is .*'),
        ([], {'PYTHONPATH': '{}'}, r"error: Google's libraries are not installed \(.*\): make .venv/bigquery"),
        (
            [],
            {'STORAGE_EMULATOR_HOST': '', 'GOOGLE_APPLICATION_CREDENTIALS': '/no/key.json'},
            r'error: no credentials for Google Cloud: .*',
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, arguments: list[str], changed: dict[str, str], said: str
) -> None:
    elsewhere = tmp_path / 'without'
    elsewhere.mkdir()
    (elsewhere / 'sitecustomize.py').write_text(WITHOUT_GOOGLE.replace('bigquery_storage_v1', 'storage'), 'utf-8')
    changed = {name: value.format(elsewhere) for name, value in changed.items()}
    told = run('fetch', 'files', *arguments, **environment | changed)
    assert re.fullmatch(said + '\n', told.stderr), told.stderr
    assert told.returncode in (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ['without']


def test_an_account_without_rights_is_told_which_role_it_lacks(environment: dict[str, str]) -> None:
    with refusing(403, DENIED) as address:
        told = run('fetch', 'files', **environment | {'STORAGE_EMULATOR_HOST': address})
    role = f'Storage Object Viewer (roles/storage.objectViewer) on the bucket gs://{BUCKET}'
    assert told.stderr == f'error: not allowed ({DENIED}): the account needs {role}\n'
    assert told.returncode == 1


@pytest.mark.slow  # a minute, in which it is tried again
def test_a_network_that_is_not_there_is_told(environment: dict[str, str]) -> None:
    port = free_port()
    told = run('fetch', 'files', **environment | {'STORAGE_EMULATOR_HOST': f'http://127.0.0.1:{port}'})
    assert re.fullmatch(r'error: Cloud Storage does not answer \(.*\): look at the network .*\n', told.stderr), told.stderr
