"""A real PostgreSQL for every test that asks for one, started and stopped by the tests themselves.

``KLY_TEST_POSTGRES`` chooses it: ``18`` or ``16`` from the wheel (default 18), ``15`` from Debian's package.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from kly_mage.common.settings import REPOSITORY, Settings, load_settings
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.embedded import EMBEDDED_SETTINGS, start, stop

os.environ['KLY_ENV_FILE'] = os.devnull  # whoever runs the tests may have an .env
os.environ['KLY_SETTLE_SECONDS'] = '0'  # what a test delivers is complete
NEWEST = '18'
LONGEST = {
    **{'test_same_words': 1000, 'test_make_run': 1000},
    **dict.fromkeys(('test_programs', 'test_deliveries_in_any_order', 'test_ads_in_any_order', 'test_signals'), 100),
    **dict.fromkeys(('test_text', 'test_side_by_side', 'test_bench', 'test_packings', 'test_end_to_end'), 50),
}
"""How many tests one of these files' tests weighs, beside those on the stand-in of BigQuery."""
REAL_DATA = REPOSITORY.parent / 'shared' / 'data'


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL, whose tests run on each version of it, or BigQuery's stand-in, and what is slow there.

    On an older version the first and the last case of a test are enough: it is there for what SQL that server understands,
    and which rows come of each case is shown on the newest one.
    """
    for item in items:
        if 'postgres' in getattr(item, 'fixturenames', ()):
            item.add_marker('database')
        if _is_on_stand_in(item):
            item.add_marker('emulator')
        if item.get_closest_marker('slow_on_bigquery') and _is_on_stand_in(item):
            item.add_marker('slow')
    if os.environ.get('KLY_TEST_POSTGRES', NEWEST) != NEWEST:
        cases: dict[str, list[pytest.Item]] = {}
        for item in items:
            cases.setdefault(item.nodeid.partition('[')[0], []).append(item)
        between = {item for all_of_one in cases.values() for item in all_of_one[1:-1]}
        items[:] = [item for item in items if item not in between]
        config.hook.pytest_deselected(items=list(between))
    _longest_first(items)


def _is_on_stand_in(item: pytest.Item) -> bool:
    return 'stand_in' in getattr(item, 'fixturenames', ()) or '[bigquery' in item.nodeid


def _longest_first(items: list[pytest.Item]) -> None:
    """Have the files that take longest first: of several workers, none has a long one left when the others are done.

    In tests of a file, which stay together: one on the stand-in of BigQuery or in the editor takes as long as a hundred.
    """
    weights: dict[Path, int] = {}
    for item in items:
        asks = getattr(item, 'fixturenames', ())
        is_there = _is_on_stand_in(item) or 'editor' in asks
        weights[item.path] = weights.get(item.path, 0) + LONGEST.get(item.path.stem, 100 if is_there else 1)
    items.sort(key=lambda item: -weights[item.path])


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a command exports of its warehouse ends with the test: the next one in this process may be about another."""
    before = _of_the_project()
    yield
    for name in _of_the_project().keys() - before.keys():
        del os.environ[name]
    os.environ |= before


def _of_the_project() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(('KLY_', 'POSTGRES_'))}


@pytest.fixture(scope='session')
def postgres() -> Iterator[str]:
    """The socket folder of a server of this session's own."""
    version = os.environ.get('KLY_TEST_POSTGRES', NEWEST)
    folder = Path(tempfile.mkdtemp(prefix='kly_pg_', dir='/tmp'))
    folder.chmod(0o755)
    data = folder / 'data'
    if version == '15':
        yield from _debian_server(data)
    else:
        yield from _wheel_server(data, int(version))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='session')
def stand_in() -> Iterator[str]:
    """The address of an emulator of BigQuery of this session's own; each test has a project of its own there."""
    from tests.bigquery_emulator import client_folder, emulator

    try:
        import google.cloud.bigquery  # noqa: F401
    except ImportError:
        sys.path.append(str(client_folder()))
    with emulator(is_prepared=True) as found:
        yield found


def _wheel_server(data: Path, version: int) -> Iterator[str]:
    yield start(data, EMBEDDED_SETTINGS | {'fsync': 'off'}, version)
    stop(data)


def _debian_server(data: Path) -> Iterator[str]:
    """Debian's server refuses to run as root: it runs as the user postgres then."""
    programs = Path('/usr/lib/postgresql/15/bin')
    if not (programs / 'initdb').exists():
        pytest.skip("Debian's PostgreSQL 15 is not installed")
    user = 'postgres' if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    data.mkdir()
    shutil.chown(data, user)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd='/', stdout=subprocess.DEVNULL)

    run(str(programs / 'initdb'), '-D', str(data), '-U', 'postgres', '--auth=trust', '--encoding=UTF8')
    options = f'-c listen_addresses= -c unix_socket_directories={data} -c fsync=off -c max_locks_per_transaction=256'
    control = (str(programs / 'pg_ctl'), '-D', str(data), '-w', '-l', str(data / 'log'))
    run(*control, '-o', options, 'start')
    yield str(data)
    run(*control, '-m', 'immediate', 'stop')


@pytest.fixture
def settings(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The project's settings with an empty database and an empty landing zone of this test's own.

    The environment is set accordingly, so blocks and the command line find the same place.
    """
    with on_postgres(postgres, tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def query(settings: Settings) -> Callable[..., list[tuple[Any, ...]]]:
    """Run one statement in the test's database; gives its rows."""
    return partial(ask, settings)


@contextmanager
def on_postgres(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The fixture ``settings``, for those who choose between warehouses."""
    name = f'test_{uuid.uuid4().hex[:12]}'
    administer(postgres, f'create database {name}')
    yield chosen(tmp_path, monkeypatch, database(postgres, name))
    administer(postgres, f'drop database {name} with (force)')


def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: dict[str, str]) -> Settings:
    """Settings with an empty landing zone and these variables, which name a warehouse; the environment has them all."""
    landing = tmp_path / 'landing'
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        (landing / source).mkdir(parents=True)
    environment = {
        'KLY_DATA_DIR': str(landing),
        'KLY_TIMEZONE': 'Asia/Jakarta',
        'KLY_LOCAL_DIR': str(tmp_path / 'local'),
    }
    for variable, value in (environment | warehouse).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv('KLY_LATE_DAYS', raising=False)
    return load_settings()


def ask(settings: Settings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement in a database of PostgreSQL."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def database(socket: str, name: str) -> dict[str, str]:
    """The variables that name a database of that server."""
    known = {'POSTGRES_HOST': socket, 'POSTGRES_PORT': '5432', 'POSTGRES_DBNAME': name}
    return known | {'POSTGRES_USER': 'postgres', 'POSTGRES_PASSWORD': ''}


def administer(socket: str, statement: str) -> None:
    """Run one statement outside of a transaction, on the server itself."""
    connection = psycopg2.connect(host=socket, dbname='postgres', user='postgres')
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
