"""Blocks as a run of Mage executes them, with our corrections: what is tried again, who is waited for, what is told."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.mage import patches
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import ad, ads, deliver
from tests.gold import Query
from tests.mage.server import copy_project

pytestmark = pytest.mark.mage

# A block by Mage's own executor, as the scheduler's runs call it.
RUN = """
import sys
from datetime import datetime, timezone
from mage_ai.settings.repo import set_repo_path
set_repo_path(sys.argv[1])
from kly_mage.mage.patches import correct
correct()
from mage_ai.data_preparation.executors.block_executor import BlockExecutor
from mage_ai.data_preparation.models.pipeline import Pipeline
day = datetime(2025, 10, 1, tzinfo=timezone.utc)
executor = BlockExecutor(Pipeline.get('ads_revenue'), sys.argv[2])
executor.execute(global_vars={'run_date': '2025-10-01', 'env': 'dev', 'execution_date': day}, update_status=False)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, in which a block that fails is tried again twice, at once."""
    repository = copy_project(tmp_path)
    metadata = repository / 'kly_mage/metadata.yaml'
    quick, changed = re.subn(
        r'(?<=  retries: )\d+|(?<=  delay: )\d+', lambda found: {'3': '2', '5': '0'}[found[0]], metadata.read_text()
    )
    assert changed == 2
    metadata.write_text(quick)
    return repository


def block(project: Path, uuid: str, **more: str) -> tuple[int, str, str]:
    """Run one block; gives exit code, what was said, and the log that Mage keeps for the block."""
    data = project.parent / 'mage'
    environment = os.environ | {'MAGE_DATA_DIR': str(data), 'HOME': str(project.parent), 'PYTHONWARNINGS': 'ignore'} | more
    done = subprocess.run(
        [sys.executable, '-c', RUN, str(project / 'kly_mage'), uuid],
        cwd=project,
        env=environment | {'PYTHONPATH': str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    logs = '\n'.join(path.read_text() for path in data.rglob('*.log'))
    return done.returncode, done.stdout, logs


def test_an_error_that_stays_ends_a_block_at_once_and_one_that_may_pass_is_tried_again(
    settings: Settings, project: Path
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    code, said, logs = block(project, 'gam_daily_summary', POSTGRES_DBNAME='nothing here')
    assert code == 1
    assert 'has no database nothing here' in logs + said
    assert (logs + said).count('attempt 1 of 3') == 0
    code, said, logs = block(project, 'load_gam_delivery', KLY_DATA_DIR='/not mounted')
    assert code == 1
    assert [(logs + said).count(f'attempt {n} of 3') > 0 for n in (1, 2, 3)] == [True] * 3


def test_a_mart_that_mage_refreshes_says_for_whom_it_waits_and_gives_up(
    settings: Settings, query: Query, project: Path
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    assert ads() == 0
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("set application_name = 'somebody else'; lock table bronze.gam_delivery in row exclusive mode")
        code, said, logs = block(project, 'gam_daily_summary', KLY_LOCK_WAIT='6')
        holder = rf'somebody else .*PostgreSQL session {connection.info.backend_pid}'
    assert code == 1
    assert re.search(rf'waiting for {holder}', logs)
    assert re.search(rf'gave up after waiting 6 s \(KLY_LOCK_WAIT\) for {holder}', logs)
    assert 'attempt 1 of' not in logs + said
    code, said, logs = block(project, 'gam_daily_summary')
    assert code == 0, said
    code, said, logs = block(project, 'preview_gam_daily_summary')
    assert code == 0, said
    assert 'preview_gam_daily_summary: 1 row shown' in logs


def test_an_exporter_that_waits_says_so_in_the_log_of_its_block(settings: Settings, project: Path) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    assert ads() == 0
    for uuid in ('load_gam_delivery', 'hash_gam_delivery'):
        assert block(project, uuid)[0] == 0
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("set application_name = 'somebody else'; lock table bronze.gam_delivery")
        code, said, logs = block(project, 'export_gam_delivery', KLY_LOCK_WAIT='6')
    assert code == 1
    assert 'waiting for somebody else' in logs
    assert 'gave up after waiting 6 s' in logs + said


COMPLETED = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[2])
import mage_ai.io.base, mage_ai.io.config
from mage_ai.autocomplete import utils
from kly_mage.mage import patches
patches.complete_from_what_is_loaded()
before = set(sys.modules)
found = asyncio.run(utils.build_file_content_mapping([*utils.PATHS_TO_TRAVERSE, sys.argv[1]], []))
imported = [name for name in set(sys.modules) - before if name.startswith('mage_ai.io') or name == 'block']
methods = {name: methods for file in found.values() for name, methods in file['methods_for_class'].items()}
print(json.dumps([imported, len(found), methods['BaseConfigLoader'], methods['Snowflake'], methods['Mine']]))
"""


def test_what_the_editor_completes_costs_no_import_and_no_traceback_where_the_environment_is_below_it(
    tmp_path: Path,
) -> None:
    (tmp_path / 'block.py').write_text('class Mine:\n    def method(self): ...\n')
    environment = Path(sys.prefix).resolve()
    done = subprocess.run(
        [sys.executable, '-c', COMPLETED, str(tmp_path), str(REPOSITORY)],
        cwd=environment.parent,  # as in a clone, whose .venv lies in it
        env=os.environ | {'MAGE_DATA_DIR': str(tmp_path / 'mage'), 'HOME': str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, _, last = done.stdout.strip().rpartition('\n')
    assert 'No module named' not in said + done.stderr
    imported, files, of_loaded, of_others, of_own = json.loads(last)
    assert imported == []
    assert files > 30
    assert 'get' in of_loaded
    assert (of_others, of_own) == ([], [])


def test_a_day_in_the_environment_is_no_secret_and_a_password_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from mage_ai.shared import security

    monkeypatch.setattr(security, 'filter_out_values', security.filter_out_values)
    monkeypatch.setenv('SOME_TOKEN', 'hunter2hunter2')
    monkeypatch.setenv('POSTGRES_USER', 'postgres')
    for name, day in {'START': '2025-10-01', 'DAY': '20251001', 'SINCE': '2025-10-01T00:00:00Z'}.items():
        monkeypatch.setenv(name, day)
    told = 'gam_delivery 2025-10-01 (gam_20251001.csv) of postgres since 2025-10-01T00:00:00Z'
    assert security.filter_out_env_var_values(told) != told  # Mage's own way
    patches.show_what_is_no_secret()
    assert security.filter_out_env_var_values(f'{told}, hunter2hunter2') == f'{told}, {"*" * 14}'
