"""The server looks at its own door before it opens: each hole made on purpose keeps it from starting."""

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tornado.web

from kly_mage.common.errors import EditorError
from kly_mage.mage import patches, self_test
from tests.mage.server import copy_project
from tests.ports import free_port

pytestmark = pytest.mark.mage

HOST = '127.0.0.1:6789'


class Anybody(tornado.web.RequestHandler):
    """Lets everybody in, and every site read it."""

    def prepare(self) -> None:
        self.set_header('Access-Control-Allow-Origin', '*')
        self.finish('come in')


class Everywhere(Anybody):
    """Refuses, but is to be read from everywhere."""

    def prepare(self) -> None:
        found = [check for check in self_test.CHECKS if check.path == self.request.path]
        self.set_status(next(check.status for check in found if all(h in self.request.headers for h in check.headers)))
        self.set_header('Access-Control-Allow-Origin', '*')
        self.finish()


def test_every_check_fails_on_a_server_without_a_guard() -> None:
    with pytest.raises(EditorError, match='does not start, its guard has a hole') as raised:
        self_test.check_guard(tornado.web.Application([('.*', Anybody)]), HOST)
    for check in self_test.CHECKS:
        assert (check.says in str(raised.value)) == (check.status != 200), check.says


def test_an_answer_that_other_sites_may_read_is_a_hole() -> None:
    with pytest.raises(EditorError, match='/pipelines may be read by other sites'):
        self_test.check_guard(tornado.web.Application([('.*', Everywhere)]), HOST)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Mage's settings as the editor makes them."""
    from mage_ai import settings

    monkeypatch.setattr(settings, 'JWT_SECRET', 'a secret of our own')
    monkeypatch.setattr(settings, 'DEFAULT_OWNER_PASSWORD', 'a password of our own')
    self_test.check_mage()
    return monkeypatch


@pytest.mark.parametrize(
    ('name', 'value', 'remedy'),
    [
        ('JWT_SECRET', 'materia', 'set MAGE_JWT_SECRET'),
        ('DEFAULT_OWNER_PASSWORD', 'admin', 'set MAGE_OWNER_PASSWORD'),
        ('REQUIRE_USER_AUTHENTICATION', False, 'REQUIRE_USER_AUTHENTICATION is off'),
        ('ROUTES_BASE_PATH', 'mage', 'MAGE_BASE_PATH is not supported'),
    ],
)
def test_a_setting_that_lets_anybody_in_is_refused(
    settings: pytest.MonkeyPatch, name: str, value: object, remedy: str
) -> None:
    settings.setattr(f'mage_ai.settings.{name}', value)
    with pytest.raises(EditorError, match=remedy):
        self_test.check_mage()


def test_another_release_of_mage_is_refused(settings: pytest.MonkeyPatch) -> None:
    assert importlib.metadata.version('mage-ai') == patches.VERSION
    settings.setattr(patches, 'VERSION', '0.9.81')
    settings.setattr(self_test, 'VERSION', '0.9.81')
    with pytest.raises(EditorError, match=r'mage-ai is 0\.9\.80, and this project corrects 0\.9\.81'):
        self_test.check_mage()


def test_the_server_itself_does_not_start_with_a_broken_guard() -> None:
    broken = 'from kly_mage.mage import guard; guard._OPEN = guard.re.compile(".*"); '
    with tempfile.TemporaryDirectory(prefix='kly_broken_') as name:
        folder = Path(name)
        port = free_port()
        ended = subprocess.run(
            [sys.executable, '-c', f'{broken}from kly_mage.mage.server import main; main("127.0.0.1", "{port}")'],
            cwd=copy_project(folder),
            env=os.environ
            | {
                'MAGE_DATABASE_CONNECTION_URL': f'sqlite:///{folder}/mage.db',
                'MAGE_DATA_DIR': str(folder / 'data'),
                'HOME': str(folder),
                'JWT_SECRET': 'a secret of our own',
                'DEFAULT_OWNER_PASSWORD': 'a password of our own',
                'PYTHONWARNINGS': 'ignore',
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert 'its guard has a hole' in last
    assert 'a page leads whoever is not signed in to the sign-in page' in last
    assert 'Mage is running' not in ended.stdout + ended.stderr
