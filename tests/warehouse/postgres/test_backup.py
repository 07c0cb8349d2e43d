"""Backup and restore, by the very commands of docs/backup.md, from one embedded server into another."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, load_settings
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.embedded import stop_embedded
from kly_mage.warehouse.postgres.server import server
from tests.gold import Query, assert_gold_is_exact, gold
from tests.scenes import deliver_october


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A landing zone and a place for two servers of this test's own, where a server of root's may go."""
    folder = Path(tempfile.mkdtemp(prefix='kly_backup_', dir='/tmp'))
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        (folder / 'landing' / source).mkdir(parents=True)
    monkeypatch.setenv('KLY_DATA_DIR', str(folder / 'landing'))
    monkeypatch.setenv('KLY_TIMEZONE', 'Asia/Jakarta')
    yield folder
    for name in ('first', 'second'):
        choose(monkeypatch, folder / name)
        stop_embedded(load_settings())
    shutil.rmtree(folder, ignore_errors=True)


def choose(monkeypatch: pytest.MonkeyPatch, local: Path) -> None:
    """From here on the embedded server of this folder is meant; a load leaves the address of its own in the environment."""
    for name in [name for name in os.environ if name.startswith('POSTGRES_')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('KLY_LOCAL_DIR', str(local))


def query(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """One statement in the server that is set."""
    with connect(server(load_settings())) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def documented(what: str, dump: Path) -> None:
    """Run a block of docs/backup.md; only the name of the file is another."""
    text = (REPOSITORY / 'docs' / 'backup.md').read_text('utf-8')
    (block,) = re.findall(rf'^```bash {what}\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', block.replace('kly.dump', str(dump))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_loads_go_on_exactly_in_a_restored_warehouse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run: Query = query
    deliver_october(folder / 'landing', range(1, 4))
    choose(monkeypatch, folder / 'first')
    main(['backfill', '--start', '2025-10-01', '--end', '2025-10-03', '--quiet'])
    before, loads = gold(run), query('select count(*), max(load_id) from ops.loads')
    documented('backup', folder / 'kly.dump')
    main(['backfill', '--start', '2025-10-01', '--quiet'])  # after the copy was made: it is in no backup
    choose(monkeypatch, folder / 'second')
    documented('restore', folder / 'kly.dump')
    assert gold(run) == before
    assert query('select count(*), max(load_id) from ops.loads') == loads
    deliver_october(folder / 'landing', range(4, 7))
    main(['backfill', '--start', '2025-10-02', '--end', '2025-10-06', '--quiet'])
    assert query('select rows_new from ops.loads where load_id > %s and rows_already_loaded = 0', loads[0][1]) == []
    assert_gold_is_exact(run, folder / 'landing')
    assert main(['verify']) == 0
    assert main(['status', '--start', '2025-10-01', '--end', '2025-10-06']) == 0


def test_make_clean_leaves_the_warehouse(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / 'Makefile', tmp_path)
    for name in ('.venv', '.local', '.mage_data'):
        (tmp_path / name).mkdir()
    (tmp_path / '.local' / 'postgres').write_text('three years of days')
    done = subprocess.run(['make', 'clean'], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.local', 'Makefile']
    assert (tmp_path / '.local' / 'postgres').read_text() == 'three years of days'
    assert 'the warehouse stays' in done.stdout
