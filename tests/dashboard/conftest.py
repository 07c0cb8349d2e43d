"""One dashboard over the sample for all tests: ``python -m kly_mage dashboard`` on a database of the tests' own."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kly_mage.common.settings import REPOSITORY
from tests.conftest import administer
from tests.dashboard.served import serving
from tests.ports import free_port
from tests.security.conftest import Attacker

PASSWORD = 'the password of the editor & more'


@dataclass
class Dashboard:
    """A running dashboard.

    Attributes:
        port: where it listens.
        url: its address, without a token.
        token: of its start.
        environment: what commands on the same warehouse need.
    """

    port: int
    url: str
    token: str
    environment: dict[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``python -m kly_mage ARGUMENTS`` on the same warehouse."""
        return subprocess.run(
            [sys.executable, '-m', 'kly_mage', *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
        )


@pytest.fixture(scope='session')
def dashboard(postgres: str) -> Iterator[Dashboard]:
    """The sample of October 2025, loaded and served."""
    name = f'dashboard_{uuid.uuid4().hex[:8]}'
    administer(postgres, f'create database {name}')
    with tempfile.TemporaryDirectory(prefix='kly_dashboard_') as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(('POSTGRES_', 'MAGE_', 'KLY_'))}
        environment |= {
            'KLY_ENV_FILE': os.devnull,
            'KLY_SETTLE_SECONDS': '0',
            'KLY_DATA_DIR': str(REPOSITORY / 'data'),
            'KLY_LOCAL_DIR': folder,
            'MAGE_OWNER_PASSWORD': PASSWORD,
            'POSTGRES_HOST': postgres,
            'POSTGRES_DBNAME': name,
            'POSTGRES_USER': 'postgres',
            'HOME': folder,
        }
        served = Dashboard(0, '', '', environment)
        loaded = served.command('backfill', '--start', '2025-10-01', '--end', '2025-10-31')
        assert loaded.returncode == 3, loaded.stderr  # the sample has rejects and conflicts
        served.port = free_port()  # last: while the sample is loaded somebody else might take it
        served.url = f'http://127.0.0.1:{served.port}'
        environment['KLY_DASHBOARD_PORT'] = str(served.port)
        with serving(environment) as served.token:
            yield served
    administer(postgres, f'drop database {name} with (force)')


@pytest.fixture(scope='session')
def visitor(dashboard: Dashboard) -> Attacker:
    """Somebody who reaches the port; his ``cookie`` is that of a person who has signed in, to be sent or not."""
    someone = Attacker(dashboard, '', '')  # type: ignore[arg-type]  # of a server it needs the port
    someone.cookie = someone.ask(f'/?token={dashboard.token}').headers['set-cookie'].partition(';')[0]
    return someone
