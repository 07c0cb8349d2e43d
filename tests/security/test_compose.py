"""docker-compose.yml, run: an engine of our own, stand-ins for the images, everything else as it is.

What is tested is ours: wiring, roles, users, mounts, ports, secrets, restarts, the upgrade of the app's image. The images of
docker-compose.yml themselves are not: no registry is needed here (``stand_in/``).
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg2
import pytest

from kly_mage.common import env_file
from kly_mage.common.errors import EditorError
from kly_mage.common.settings import REPOSITORY
from kly_mage.mage.client import EMAIL, MageClient

pytestmark = pytest.mark.docker

STAND_IN = 'tests/security/stand_in/compose.yml'
CERTIFICATES = Path('/etc/ssl/certs/ca-certificates.crt')
AWKWARD = 'p@ss:w/rd%20"#$x \'y'
UID = 1000


@dataclass
class Stack:
    """A project of its own, brought up with an engine of its own.

    Attributes:
        folder: the copy of the project, owned by ``UID``.
        secrets: what its ``.env`` says.
        environment: for the engine's clients.
    """

    folder: Path
    secrets: dict[str, str]
    environment: dict[str, str]

    def compose(self, *arguments: str, image: int = 1, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``docker-compose`` on the project's file and the stand-ins' one."""
        return subprocess.run(
            ['docker-compose', '-p', 'kly', '-f', 'docker-compose.yml', '-f', STAND_IN, *arguments],
            cwd=self.folder,
            env=self.environment | {'STAND_IN_IMAGE': f'kly_stand_in_mage:{image}'},
            capture_output=True,
            text=True,
            check=check,
            timeout=900,  # the first build, on a busy machine
        )

    def up(self, image: int = 1) -> None:
        """Bring up what is not, and wait until it is healthy."""
        try:
            self.compose('up', '--detach', '--build', image=image)
        except subprocess.CalledProcessError as error:
            pytest.fail(
                f'{error.stdout[-4000:]}\n{error.stderr[-4000:]}\n{self.compose("logs", check=False).stdout[-6000:]}'
            )
        for service in ('mage', 'dashboard'):
            until(
                lambda name=service: self.inspect(name)['State']['Health']['Status'] == 'healthy',
                180,
                lambda name=service: self.log(name),
            )

    def log(self, service: str) -> str:
        return self.compose('logs', '--tail', '60', service, check=False).stdout

    def inspect(self, service: str) -> Any:
        """What the engine knows of a service's container."""
        found = self.compose('ps', '--quiet', service).stdout.strip()
        return json.loads(subprocess.check_output([docker(), 'inspect', found], env=self.environment))[0]

    def inside(self, service: str, *command: str, check: bool = True) -> str:
        """What a command prints in a container."""
        return self.compose('exec', '-T', service, *command, check=check).stdout.strip()

    def sign_in(self, password: str) -> MageClient:
        return MageClient(f'http://127.0.0.1:{self.secrets["KLY_EDITOR_PORT"]}', EMAIL, password)

    def ask(self, statement: str, user: str = 'kly', database: str = 'kly', password: str = AWKWARD) -> list[Any]:
        """The rows of a statement, asked from this machine as the app's role."""
        connection = psycopg2.connect(
            host='127.0.0.1',
            port=int(self.secrets['POSTGRES_PORT']),
            user=user,
            dbname=database,
            password=password,
            connect_timeout=5,
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def gold(self) -> list[Any]:
        return self.ask('select * from gold.daily_summary order by date, content_id')


def docker() -> str:
    return '/usr/bin/docker' if Path('/usr/bin/docker').exists() else 'docker'


def until(holds: Any, seconds: float, tell: Any) -> None:
    """Ask again until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f'not within {seconds} s:\n{tell()}')
        time.sleep(0.5)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope='module')
def engine() -> Iterator[dict[str, str]]:
    """The environment for the clients of a dockerd that lives as long as this module's tests."""
    if os.geteuid() != 0:
        pytest.skip('an engine needs root')
    if missing := [name for name in ('dockerd', 'docker-compose', 'mmdebstrap') if not shutil.which(name)]:
        pytest.skip(f'not installed: {", ".join(missing)}')
    folder = Path(tempfile.mkdtemp(prefix='kly_docker_', dir='/tmp'))
    address = f'unix://{folder}/docker.sock'
    command = ['dockerd', '--data-root', f'{folder}/data', '--exec-root', f'{folder}/exec', '--pidfile', f'{folder}/pid']
    with (folder / 'log').open('wb') as log:
        process = subprocess.Popen(
            [*command, '--host', address, '--bridge', 'none'], stdout=log, stderr=log, start_new_session=True
        )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(('POSTGRES_', 'KLY_', 'MAGE_'))}
    environment |= {'DOCKER_HOST': address, 'DOCKER_CONFIG': str(folder)}
    try:
        deadline = time.monotonic() + 40
        while subprocess.run([docker(), 'version'], env=environment, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f'no engine runs here: {(folder / "log").read_text()[-500:]}')
            time.sleep(0.3)
        yield environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        subprocess.run(['umount', f'{folder}/exec/netns/default'], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='module')
def base(engine: dict[str, str]) -> str:
    """An image with Debian, Python 3.11 and PostgreSQL 15."""
    sources = ' '.join(path.read_text() for path in Path('/etc/apt').glob('sources.list*/**/*.sources'))
    sources += Path('/etc/apt/sources.list').read_text() if Path('/etc/apt/sources.list').exists() else ''
    mirror = next(iter(re.findall(r'https?://\S+/debian/?(?=\s|$)', sources)), 'http://deb.debian.org/debian')
    with tempfile.TemporaryDirectory(prefix='kly_base_', dir='/tmp') as folder:
        made = subprocess.run(
            [
                'mmdebstrap',
                '--quiet',
                '--variant=apt',
                '--include=ca-certificates,python3.11-venv,postgresql-15',
                '--aptopt=Acquire::Check-Valid-Until "false"',
                '--aptopt=Acquire::Check-Date "false"',
                f'--customize-hook=copy-in {CERTIFICATES} {CERTIFICATES.parent}',
                'bookworm',
                f'{folder}/base.tar',
                mirror,
            ],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            pytest.skip(f'no Debian packages to be had here: {made.stderr[-500:]}')
        trust = f'ENV SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES}'
        subprocess.run(
            [docker(), 'import', '--change', trust, f'{folder}/base.tar', 'kly_stand_in'],
            env=engine,
            check=True,
            capture_output=True,
        )
    return 'kly_stand_in'


@pytest.fixture(scope='module')
def stack(engine: dict[str, str], base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The project, up and loaded with the sample's first days by a backfill of Mage's."""
    folder = tmp_path_factory.mktemp('project')
    for name in ('kly_mage', 'data', 'docker', 'tests/security/stand_in'):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.file_versions'))
    for name in (
        'docker-compose.yml',
        'docs/words.md',
        'Dockerfile',
        '.dockerignore',
        *(path.name for path in REPOSITORY.glob('requirements*')),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    secrets = {
        'POSTGRES_SUPERUSER_PASSWORD': f'super {AWKWARD}',
        'POSTGRES_PASSWORD': AWKWARD,
        'MAGE_OWNER_PASSWORD': 'first owner',
        'MAGE_JWT_SECRET': '0123456789abcdef0123456789abcdef',
        'POSTGRES_PORT': free_port(),
        'KLY_EDITOR_PORT': free_port(),
        'KLY_DASHBOARD_PORT': free_port(),
        'MAGE_UID': str(UID),
    }
    env_file.write(folder / '.env', secrets)
    for path in [folder, *folder.rglob('*')]:
        os.chown(path, UID, UID)
    for parent in folder.parents[:3]:  # pytest's are for root alone
        parent.chmod(parent.stat().st_mode | 0o011)
    project = Stack(folder, secrets, engine)
    try:
        project.up()
        client = project.sign_in('first owner')
        for pipeline in ('articles_performance', 'ads_revenue'):
            number = client.create_backfill(pipeline, 'first days', '2025-10-01', '2025-10-02')
            client.start_backfill(number)
            until(lambda number=number: client.backfill(number)['status'] == 'completed', 120, lambda: project.log('mage'))
        yield project
    finally:
        project.compose('down', '--volumes', '--timeout', '10', check=False)


def test_a_backfill_in_the_stack_gives_the_sample_s_gold(stack: Stack) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith('POSTGRES_')}
    checked = subprocess.run(
        [sys.executable, '-m', 'kly_mage', 'verify'],
        cwd=REPOSITORY,
        env=environment
        | {
            'POSTGRES_HOST': '127.0.0.1',
            'POSTGRES_PORT': stack.secrets['POSTGRES_PORT'],
            'POSTGRES_DBNAME': 'kly',
            'POSTGRES_USER': 'kly',
            'POSTGRES_PASSWORD': AWKWARD,
        },
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert stack.ask('select count(distinct date), sum(pageviews) > 0, sum(revenue_usd) > 0 from gold.daily_summary') == [
        (2, True, True)
    ]


def test_the_dashboard_opens_by_the_editors_password_alone_and_its_sessions_change_nothing(stack: Stack) -> None:
    url = f'http://127.0.0.1:{stack.secrets["KLY_DASHBOARD_PORT"]}'
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    browser.addheaders = [('Origin', url)]  # as a browser says of a form
    with browser.open(url, timeout=30) as page:
        assert page.url.startswith(f'{url}/sign-in')
    with pytest.raises(urllib.error.HTTPError, match='401'):
        browser.open(f'{url}/sign-in', urlencode({'password': 'guessed'}).encode(), timeout=30)
    with browser.open(f'{url}/sign-in', urlencode({'password': 'first owner'}).encode(), timeout=30) as page:
        assert page.url == f'{url}/'
    asks = """
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.reading import reading
with reading(load_settings()) as session, session.cursor() as cursor:
    cursor.execute('select current_user, (select sum(pageviews) > 0 from gold.daily_summary)')
    print(*cursor.fetchone())
    cursor.execute('delete from ops.loads')
"""
    told = stack.compose('exec', '-T', 'dashboard', 'python', '-c', asks, check=False)
    assert (told.stdout.strip(), told.returncode) == ('kly_reader True', 1)
    assert 'cannot execute DELETE in a read-only transaction' in told.stderr


@pytest.mark.parametrize(
    'statement',
    [
        'create role mine superuser',
        'create database mine',
        'alter role kly superuser',
        'set role postgres',
        "select pg_read_file('/etc/passwd')",
        "copy (select 1) to program 'id'",
        "copy (select 1) to '/tmp/file'",
        'alter system set jit = on',
        'select * from pg_authid',
    ],
)
def test_the_app_s_role_may_not(stack: Stack, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        stack.ask(statement)


def test_the_app_s_role_owns_its_two_databases_and_reaches_no_other(stack: Stack) -> None:
    owned = stack.ask(
        "select datname from pg_database where pg_get_userbyid(datdba) = 'kly' and not datistemplate order by 1"
    )
    assert owned == [('kly',), ('kly_mage',)]
    for other in ('postgres', 'template1'):
        with pytest.raises(psycopg2.OperationalError, match='permission denied for database'):
            stack.ask('select 1', database=other)


def test_nobody_gets_in_over_tcp_without_the_right_password(stack: Stack) -> None:
    for user in ('kly', 'postgres'):
        with pytest.raises(psycopg2.OperationalError, match='password authentication failed'):
            stack.ask('select 1', user=user, database='kly', password='wrong')


@pytest.mark.parametrize('service', ['postgres', 'mage'])
def test_a_container_runs_without_root_rights_and_can_write_only_where_it_keeps_things(stack: Stack, service: str) -> None:
    status = dict(line.split(':', 1) for line in stack.inside(service, 'cat', '/proc/1/status').splitlines() if ':' in line)
    assert status['CapEff'].strip() == status['CapBnd'].strip() == '0000000000000000'
    assert status['NoNewPrivs'].strip() == '1'
    assert stack.inside(service, 'id', '-u') != '0'
    assert stack.compose('exec', '-T', service, 'touch', '/usr/mine', check=False).returncode != 0


def test_mage_sees_the_project_and_the_landing_zone_and_no_secrets_file(stack: Stack) -> None:
    assert stack.inside('mage', 'ls', '-A', '/srv/kly').split() == ['data', 'docs', 'kly_mage']
    secret = ('(', '-name', '.env', '-o', '-name', '.git', ')', '-print')
    assert stack.inside('mage', 'find', '/', '-path', '/proc', '-prune', '-o', *secret, check=False) == ''
    assert stack.compose('exec', '-T', 'mage', 'touch', '/srv/kly/data/mine', check=False).returncode != 0
    assert stack.inside('mage', 'id', '-u') == str(UID)


def test_what_is_edited_in_mage_belongs_to_the_owner_of_the_project(stack: Stack) -> None:
    stack.inside('mage', 'touch', '/srv/kly/kly_mage/data_loaders/mine.py')
    made = stack.folder / 'kly_mage' / 'data_loaders' / 'mine.py'
    assert made.stat().st_uid == UID
    made.unlink()


def test_no_tool_of_the_tests_and_no_installer_is_in_the_image(stack: Stack) -> None:
    found = stack.inside('mage', 'ls', '/opt/kly/lib/python3.11/site-packages').split()
    assert {'mage_ai', 'tornado', 'polars'} <= set(found)
    assert {'pip', 'uv', 'pytest', 'ruff', 'mypy', 'playwright'} & set(found) == set()


def test_no_secret_stands_in_the_logs(stack: Stack) -> None:
    text = stack.compose('logs', '--no-color').stdout
    assert [name for name, value in stack.secrets.items() if len(value) > 8 and value in text] == []


def test_without_a_secret_nothing_starts_and_its_name_is_said(stack: Stack, tmp_path: Path) -> None:
    for name in ('POSTGRES_SUPERUSER_PASSWORD', 'POSTGRES_PASSWORD', 'MAGE_OWNER_PASSWORD', 'MAGE_JWT_SECRET'):
        env_file.write(tmp_path / 'env', stack.secrets | {name: ''})
        refused = stack.compose('--env-file', str(tmp_path / 'env'), 'config', check=False)
        assert refused.returncode != 0
        assert f'set {name} in .env' in refused.stderr


def test_gold_and_sign_in_survive_a_restart_of_both_services(stack: Stack) -> None:
    before = stack.gold()
    stack.compose('restart', '--timeout', '20')
    stack.up()
    stack.sign_in(stack.secrets['MAGE_OWNER_PASSWORD'])
    assert stack.gold() == before


def test_another_owner_s_password_counts_after_the_next_up_and_the_old_one_does_not(stack: Stack) -> None:
    old, new = stack.secrets['MAGE_OWNER_PASSWORD'], 'second owner'
    stack.secrets['MAGE_OWNER_PASSWORD'] = new
    env_file.write(stack.folder / '.env', {'MAGE_OWNER_PASSWORD': new})
    stack.up()
    stack.sign_in(new)
    with pytest.raises(EditorError):
        stack.sign_in(old)


def test_a_new_image_of_the_app_finds_the_same_gold_and_the_same_backfills(stack: Stack) -> None:
    before, container = stack.gold(), stack.inspect('mage')['Image']
    stack.up(image=2)
    assert stack.inspect('mage')['Image'] != container
    assert stack.gold() == before
    client = stack.sign_in(stack.secrets['MAGE_OWNER_PASSWORD'])
    assert len(client.call('GET', 'backfills')['backfills']) == 2


def test_another_password_of_the_app_s_role_counts_once_the_script_has_run_again(stack: Stack) -> None:
    def change(password: str) -> None:
        env_file.write(stack.folder / '.env', {'POSTGRES_PASSWORD': password})
        stack.compose('up', '--detach', 'postgres')
        script = ('exec', '-T', 'postgres', 'psql', '--file', '/docker-entrypoint-initdb.d/database.sql')
        until(lambda: stack.compose(*script, check=False).returncode == 0, 60, lambda: stack.log('postgres'))

    change('another one')
    try:
        assert stack.ask('select 1', password='another one') == [(1,)]
        with pytest.raises(psycopg2.OperationalError, match='password authentication failed'):
            stack.ask('select 1')
    finally:
        change(AWKWARD)
