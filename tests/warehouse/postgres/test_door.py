"""``psql --tcp``: who knows the password reads the warehouse of the embedded server on a port; nobody else gets anywhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.warehouse.postgres import embedded
from tests.ports import free_port
from tests.scenes import Background

pytestmark = pytest.mark.one_version


@dataclass
class Door:
    """An open door.

    Attributes:
        port: where it is.
        password: that it has printed; empty where it has not.
        environment: of the command.
    """

    port: int
    password: str
    environment: dict[str, str]

    def enter(self, **other: Any) -> Any:
        """A session, as a tool on this machine asks for one."""
        asked = {'user': 'kly_door', 'password': self.password, 'dbname': 'kly'} | other
        return psycopg2.connect(host='127.0.0.1', port=self.port, connect_timeout=20, **asked)


def inside(environment: dict[str, str], statement: str) -> list[tuple[Any, ...]]:
    """The owner's own answer, over the socket."""
    socket = embedded.running(Path(environment['KLY_LOCAL_DIR']) / 'postgres')
    with closing(psycopg2.connect(host=socket, dbname='kly', user='postgres')) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@contextmanager
def opened(environment: dict[str, str]) -> Iterator[Door]:
    """``psql --tcp``, until Ctrl-C."""
    port = free_port()
    command = [sys.executable, '-m', 'kly_mage', 'psql', '--tcp', str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
    said = ''
    for line in process.stdout or ():
        said += line
        if 'Ctrl-C' in line:
            break
    assert f'jdbc:postgresql://127.0.0.1:{port}/kly' in said
    found = re.search('the password is ([^ ,]{20,}), for this time', said)
    yield Door(port, found[1] if found else '', environment)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert (process.returncode, rest) == (0, 'the port is closed; PostgreSQL goes on (make stop)\n')


@pytest.fixture(scope='module')
def environment() -> Iterator[dict[str, str]]:
    """Nothing set but a folder for the embedded server."""
    folder = Path(tempfile.mkdtemp(prefix='kly_door_', dir='/tmp'))
    folder.chmod(0o755)  # under root, PostgreSQL runs as another user
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('KLY_', 'POSTGRES_', 'PG'))}
    yield kept | {'KLY_LOCAL_DIR': str(folder / 'local'), 'KLY_ENV_FILE': os.devnull, 'PYTHONUNBUFFERED': '1'}
    embedded.stop_embedded(Settings(local_dir=folder / 'local'))
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def door(environment: dict[str, str]) -> Iterator[Door]:
    with opened(environment) as found:
        yield found


def test_who_knows_the_password_reads_and_changes_nothing(door: Door) -> None:
    with closing(door.enter()) as session, session.cursor() as cursor:
        cursor.execute('select current_user, current_database(), (select count(*) from ops.loads)')
        assert cursor.fetchone() == ('kly_door', 'kly', 0)
        session.rollback()
        cursor.execute('set default_transaction_read_only = off')
        session.commit()
        for statement in ('delete from ops.loads', 'create table ops.mine ()', 'set role postgres'):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            session.rollback()


@pytest.mark.parametrize(
    ('other', 'told'),
    [
        ({'password': 'guessed'}, 'password authentication failed'),
        ({'password': None}, 'no password supplied'),
        ({'user': 'postgres'}, 'leads to the database kly as the user kly_door, and nowhere else'),
        ({'user': 'root'}, 'nowhere else'),
        ({'dbname': 'postgres'}, 'nowhere else'),
        ({'replication': 'database'}, 'nowhere else'),
    ],
)
def test_nobody_else_gets_through(door: Door, other: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PGPASSFILE', os.devnull)
    with pytest.raises(psycopg2.OperationalError, match=told):
        door.enter(**other)


def test_a_server_that_asks_for_no_password_is_not_led_to(door: Door) -> None:
    rules = Path(door.environment['KLY_LOCAL_DIR']) / 'postgres/pg_hba.conf'
    kept = rules.read_text()
    assert 'local all kly_door scram-sha-256\n' in kept
    rules.write_text('local all all peer map=owner\n')  # the door is the owner: it would get in
    said = 'password authentication failed'
    try:
        inside(door.environment, 'select pg_reload_conf()')
        for _ in range(100):  # the server reads them in its own time
            with pytest.raises(psycopg2.OperationalError) as refused:
                door.enter(password='guessed')
            if said not in str(refused.value):
                break
        assert 'asks for no password, so nothing is let through' in str(refused.value)
    finally:
        rules.write_text(kept)
        inside(door.environment, 'select pg_reload_conf()')


def test_a_question_can_be_broken_off(door: Door) -> None:
    asked = "select count(*) from pg_stat_activity where usename = 'kly_door' and state = 'active'"
    with closing(door.enter()) as session, session.cursor() as cursor:

        def break_off() -> None:
            while inside(door.environment, asked) == [(0,)]:  # what is not asked yet cannot be broken off
                pass
            session.cancel()

        breaking = Background(break_off)
        with pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute('select pg_sleep(600)')
        breaking.result()


def test_one_door_at_a_time_and_no_shell_with_it(door: Door) -> None:
    for more, told in (([], 'another psql --tcp of this server is open'), (['-c', 'select 1'], 'a port and no shell')):
        command = [sys.executable, '-m', 'kly_mage', 'psql', '--tcp', str(free_port()), *more]
        done = subprocess.run(command, cwd=REPOSITORY, env=door.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert told in done.stderr


def test_a_shut_door_leaves_no_way_in_and_no_session(environment: dict[str, str]) -> None:
    """On a database of its own name: beside the other door, which is of the same server, it could not be opened."""
    own = environment | {'KLY_LOCAL_DIR': f'{environment["KLY_LOCAL_DIR"]}2', 'POSTGRES_PASSWORD': "one's own"}
    with opened(own) as door:
        assert door.password == ''
        session = door.enter(password="one's own")
        assert inside(own, "select count(*) from pg_stat_activity where usename = 'kly_door'") == [(1,)]
    with pytest.raises(psycopg2.OperationalError), session.cursor() as cursor:
        cursor.execute('select 1')
    assert inside(own, "select rolcanlogin, rolpassword from pg_authid where rolname = 'kly_door'") == [(False, None)]
    assert inside(own, "select count(*) from pg_stat_activity where usename = 'kly_door'") == [(0,)]
    with pytest.raises(psycopg2.OperationalError, match='refused'):
        door.enter(password="one's own")
    embedded.stop_embedded(Settings(local_dir=Path(own['KLY_LOCAL_DIR'])))
