"""An emulator of BigQuery for tests: PyPI's ``local-bigquery`` on a Python 3.13 of this machine, as a process of its own.

It runs scripts, load jobs and transactions; its concurrency, its prices and its limits are not BigQuery's
(docs/bigquery.md). What it needs is installed once per machine, into a folder of the user's cache.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'kly_mage_tests'
EMULATOR, DUCKDB = '0.4.0', '1.5.5'
EXTENSIONS = ('icu', 'ducklake', 'json', 'parquet', 'spatial')
_RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
PREPARED = 'test-prepared'
PREPARED_FOR = {
    'KLY_WAREHOUSE': 'bigquery',
    'KLY_BIGQUERY_PROJECT': PREPARED,
    'KLY_BIGQUERY_LOCATION': 'US',
    'KLY_TIMEZONE': 'Asia/Jakarta',
}
_PATCHES = (
    # The folder of a catalog may be another one than that it was made in.
    (
        'local_bigquery/engine/database.py',
        "(DATA_PATH '{path}/', DATA_INLINING_ROW_LIMIT 0)",
        "(DATA_PATH '{path}/', DATA_INLINING_ROW_LIMIT 0, OVERRIDE_DATA_PATH TRUE)",
    ),
    # A MERGE within a transaction begins another one, which DuckDB answers by aborting both.
    ('local_bigquery/jobs/merge.py', '        cur.execute("BEGIN")\n        owned = True\n', '        owned = False\n'),
    # Where two transactions have changed one table, the later one is told so in DuckDB's words, not in BigQuery's.
    (
        'local_bigquery/errors.py',
        '    return BigQueryError(reason, DUCKDB_PREFIX.sub("", first))',
        '    if "Failed to commit" in first or "onflict" in first:\n'
        '        first = f"Transaction is aborted due to concurrent update ({first})"\n'
        '    return BigQueryError(reason, DUCKDB_PREFIX.sub("", first))',
    ),
    # A cursor begins without temporary tables, which DuckDB looks for among all tables; only a session's may have some.
    (
        'local_bigquery/jobs/query.py',
        'duckdb_tables() WHERE temporary")',
        'duckdb_tables() WHERE temporary" if session else "SELECT 1 WHERE false")',
    ),
)


def client_folder() -> Path:
    """A folder with what ``requirements-bigquery.txt`` names, where this environment does not have it."""
    wanted = REPOSITORY / 'requirements-bigquery.txt'
    name = 'client-' + '-'.join(line.partition('==')[2] for line in wanted.read_text('utf-8').split())

    def build(folder: Path) -> None:
        uv('pip', 'install', '--no-deps', '--python', sys.executable, '--target', str(folder), '-r', str(wanted))

    return built(name, build)


class Address(str):
    """Where it is reached, as ``BIGQUERY_EMULATOR_HOST`` takes it; ``storage`` is host and port of the Storage Read API."""

    storage = ''


@contextmanager
def emulator(*, is_prepared: bool = False) -> Iterator[Address]:
    """An empty warehouse. Skips the test without Python 3.13.

    Args:
        is_prepared: a project whose name begins with ``test-`` has all tables from the start, which take the emulator longer
            to make than most tests take. They were made once on this machine, and are copied.
    """
    python = _python()
    if python is None:
        pytest.skip('the emulator of BigQuery needs Python 3.13')
    home = built(f'local-bigquery-{EMULATOR}-{_RECIPE}', lambda folder: _install(python, folder))
    with tempfile.TemporaryDirectory(prefix='kly-bigquery-', dir=_fast()) as folder:
        data = Path(folder) / 'data'
        if is_prepared:
            from kly_mage.warehouse.bigquery import fixed, schema

            statements = schema.everything(PREPARED_FOR['KLY_BIGQUERY_LOCATION'], PREPARED_FOR['KLY_TIMEZONE'])
            noted = Path(fixed.__file__).read_text('utf-8')  # beside the tables
            recipe = hashlib.sha256(f'{_RECIPE} {statements} {noted}'.encode()).hexdigest()[:8]
            shutil.copytree(built(f'bigquery-tables-{recipe}', lambda made: _prepare(home, made)) / 'data', data)
            (data / f'{PREPARED}.ducklake').rename(data / f'{PREPARED}.template')
            (data / PREPARED).rename(data / f'{PREPARED}.files')
        with _running(home, data) as address:
            yield address


@contextmanager
def _running(home: Path, data: Path) -> Iterator[Address]:
    """The emulator over a folder."""
    ports = [str(free_port()) for _ in range(2)]
    log = data.with_name('log')
    inside = Path(__file__).with_name('bigquery_emulator_inside.py')
    command = [str(home / 'venv/bin/python'), '-P', str(inside), '--port', ports[0], '--grpc-port', ports[1]]
    with log.open('wb') as output:
        process = subprocess.Popen(
            [*command, '--data-dir', str(data), '--project', 'local'],
            env={**os.environ, 'HOME': str(home)},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
    try:
        address = Address(f'http://127.0.0.1:{ports[0]}')
        address.storage = f'127.0.0.1:{ports[1]}'
        _wait(process, address, log)
        yield address
    finally:
        process.kill()
        process.communicate()


def _fast() -> str | None:
    """A folder in memory, where there is room for some warehouses: each statement waits for the disk several times."""
    memory = Path('/dev/shm')
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30 else None


def _prepare(home: Path, folder: Path) -> None:
    """Have the tables of the project in a folder, as its first command makes them."""
    from kly_mage.common.settings import load_settings
    from kly_mage.warehouse.bigquery.client import Client
    from kly_mage.warehouse.bigquery.fixed import hold

    with _running(home, folder / 'data') as address, pytest.MonkeyPatch.context() as patched:
        for name, value in (PREPARED_FOR | {'BIGQUERY_EMULATOR_HOST': address}).items():
            patched.setenv(name, value)
        settings = load_settings()
        hold(Client(settings), settings)
    close = (
        'import duckdb, sys; [duckdb.connect(name).close() for name in sys.argv[1:]]'  # which writes their logs into them
    )
    files = [str(file) for file in (folder / 'data').iterdir() if file.suffix in ('.duckdb', '.ducklake')]
    subprocess.run([str(home / 'venv/bin/python'), '-c', close, *files], check=True, capture_output=True)


def _install(python: str, folder: Path) -> None:
    venv = folder / 'venv'
    uv('venv', '--relocatable', '--python', python, str(venv))
    (folder / 'override').write_text(f'duckdb=={DUCKDB}\n')  # the release names a newer one, which its patches do not fit
    extensions = [f'duckdb-extension-{name}=={DUCKDB}' for name in EXTENSIONS]
    packages = [f'local-bigquery=={EMULATOR}', *extensions]
    uv('pip', 'install', '--compile-bytecode', '--python', str(venv), '--override', str(folder / 'override'), *packages)
    (site,) = venv.glob('lib/python*/site-packages')
    own = folder / f'.duckdb/extensions/v{DUCKDB}/linux_amd64'
    own.mkdir(parents=True)
    for name in EXTENSIONS:
        shutil.copy(site / f'duckdb_extension_{name}/extensions/v{DUCKDB}/{name}.duckdb_extension', own)
    for name, was, becomes in _PATCHES:
        text = (site / name).read_text('utf-8')
        assert was in text
        (site / name).write_text(text.replace(was, becomes), 'utf-8')


def built(name: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built by the first who asks: whole, or not there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / name
    with (CACHE / f'{name}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = Path(tempfile.mkdtemp(prefix=name, dir=CACHE))
            try:
                build(new)
                new.rename(folder)
            except subprocess.CalledProcessError as error:
                pytest.skip(f'{name} cannot be installed: {error.stderr.decode(errors="replace")[-300:]}')
            finally:
                shutil.rmtree(new, ignore_errors=True)
    return folder


def uv(*arguments: str) -> None:
    """Run uv, quietly."""
    uv = Path(sys.executable).parent / 'uv'
    environment = {**os.environ, 'UV_NO_PROGRESS': '1', 'UV_LINK_MODE': 'copy'}  # what is patched is ours alone
    subprocess.run([str(uv), *arguments], check=True, capture_output=True, env=environment, timeout=300)


def _python() -> str | None:
    pyenv = sorted(Path.home().glob('.pyenv/versions/3.13.*/bin/python3.13'))
    folders = [*(path.parent for path in pyenv), '/usr/bin', '/usr/local/bin']
    return shutil.which('python3.13', path=os.pathsep.join(map(str, folders)))


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f'{address}/bigquery/v2/projects/local/datasets', timeout=5).read()
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f'the emulator did not start: {log.read_text("utf-8")[-2000:]}')
