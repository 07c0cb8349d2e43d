"""``psql`` and ``env``: the way to the warehouse for other programs; no password is told on the way."""

import os
import subprocess
import sys

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.commands import run
from tests.delivery import ad, ads, deliver

Captured = pytest.CaptureFixture[str]


def psql(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own, which it gives up."""
    return run('psql', *arguments, **environment)


@pytest.mark.parametrize('path', [os.environ['PATH'], '/nowhere'], ids=['of this machine', 'of the wheel'])
def test_psql_asks_the_warehouse_and_ends_as_psql_ends(settings: Settings, path: str) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad(revenue='2.5'))
    ads()
    done = psql('-c', 'select sum(revenue_usd) from gold.gam_daily_summary', '--', '-At', PATH=path)
    assert (float(done.stdout), done.stderr, done.returncode) == (2.5, '', 0)
    wrong = psql('-c', 'select nothing', PATH=path)
    assert 'column "nothing" does not exist' in wrong.stderr
    assert wrong.returncode == 1


def test_a_password_goes_with_the_environment_never_with_the_arguments(settings: Settings) -> None:
    ask = r"\! tr '\0' ' ' < /proc/$PPID/cmdline; echo; tr '\0' '\n' < /proc/$PPID/environ | grep PGPASSWORD"
    done = psql('--', '-At', '-c', ask, POSTGRES_PASSWORD='not for everybody')
    arguments, variable = done.stdout.splitlines()
    assert 'not for everybody' not in arguments
    assert variable == 'PGPASSWORD=not for everybody'


def test_env_names_the_warehouse_as_psql_and_drivers_understand_it(
    settings: Settings, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('POSTGRES_PASSWORD', 'not for everybody')
    assert main(['env']) == 0
    told = capfd.readouterr().out
    assert 'not for everybody' not in told
    ask = 'import psycopg2; print(psycopg2.connect("").info.dbname)'  # libpq, told nothing but the environment
    asked = f"{told}\n{sys.executable} -c '{ask}'"
    bare = {name: value for name, value in os.environ.items() if not name.startswith(('PG', 'POSTGRES_'))}
    done = subprocess.run(['sh', '-c', asked], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout == f'{settings.dbname}\n'
