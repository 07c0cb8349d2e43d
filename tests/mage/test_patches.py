"""Blocks as a run of Mage executes them, with our corrections: what is tried again, who is waited for, what is told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kly_mage.common.settings import Settings
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
