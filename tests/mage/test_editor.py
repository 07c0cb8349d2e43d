"""The editor's own parts, without a server: secrets, port, marks."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kly_mage.common.errors import EditorError, SettingsError
from kly_mage.common.private import private_file
from kly_mage.common.settings import Settings, load_settings
from kly_mage.mage import editor, server_log
from tests.conftest import administer
from tests.gold import Query
from tests.mage.server import wait_for


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``.env`` of this test's own, and no secret in the environment."""
    monkeypatch.setenv('KLY_ENV_FILE', str(tmp_path / '.env'))
    monkeypatch.setenv('KLY_LOCAL_DIR', str(tmp_path / 'local'))
    for name in (editor.PASSWORD, editor.SECRET, 'KLY_EDITOR_PORT'):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / '.env'


def test_the_first_start_makes_a_password_and_a_secret_for_the_owner_only(env: Path) -> None:
    password = editor.ensure_secrets()
    assert password is not None
    assert len(password) >= 16
    assert load_settings().owner_password == password
    assert len(load_settings().jwt_secret or '') >= 40
    assert env.stat().st_mode & 0o777 == 0o600


def test_a_later_start_keeps_them_and_tells_nothing(env: Path) -> None:
    editor.ensure_secrets()
    before = env.read_text()
    assert editor.ensure_secrets() is None
    assert env.read_text() == before


def test_empty_lines_of_the_example_are_filled_and_the_rest_is_kept(env: Path) -> None:
    env.write_text('# mine\nPOSTGRES_PASSWORD=own\nMAGE_OWNER_PASSWORD=\n')
    assert editor.ensure_secrets() == load_settings().owner_password
    lines = env.read_text().splitlines()
    assert lines[:2] == ['# mine', 'POSTGRES_PASSWORD=own']
    assert len([line for line in lines if line.startswith('MAGE_OWNER_PASSWORD=')]) == 1


def test_a_password_in_the_environment_counts_before_the_file(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(editor.PASSWORD, 'chosen')
    assert editor.ensure_secrets() is None
    assert load_settings().owner_password == 'chosen'
    assert 'chosen' not in env.read_text()


@pytest.mark.parametrize('text', ['0', '70000', 'http', '-1'])
def test_a_port_that_is_none_is_refused(env: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv('KLY_EDITOR_PORT', text)
    with pytest.raises(SettingsError, match='KLY_EDITOR_PORT'):
        editor.start(lambda line: None)


def test_a_busy_port_is_an_error_with_a_remedy_before_anything_is_started(
    env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind((editor.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv('KLY_EDITOR_PORT', str(port))
        with pytest.raises(EditorError, match=f'--port {port + 1} or KLY_EDITOR_PORT={port + 1}'):
            editor.start(lambda line: None)
    assert not env.exists()


def test_whatever_carries_the_mark_is_ended_also_without_a_parent(
    env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, ready = load_settings(), tmp_path / 'ready'
    # The first process ends at once; its child, in a session of its own, ignores a polite end.
    ignores = 'signal.signal(signal.SIGTERM, signal.SIG_IGN)'
    child = f'import pathlib, signal, time; {ignores}; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)'
    parent = f'import subprocess, sys; subprocess.Popen([sys.executable, "-c", {child!r}], start_new_session=True)'
    environment = os.environ | {editor.MARK: str(settings.local_dir)}
    subprocess.run([sys.executable, '-c', parent], env=environment, check=True)
    wait_for(ready.exists, 30, 'the orphan')
    assert len(editor.marked(settings)) == 1
    monkeypatch.setattr(editor, 'STOP_SECONDS', 1)
    editor.stop(settings)
    assert editor.marked(settings) == []


def test_an_editor_of_another_folder_is_left_alone(env: Path, tmp_path: Path) -> None:
    environment = os.environ | {editor.MARK: str(tmp_path / 'elsewhere')}
    with subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env=environment) as other:
        assert editor.stop(load_settings()) == 0
        assert other.poll() is None
        other.kill()


def test_mage_gets_a_database_beside_the_warehouse_and_who_may_not_make_one_is_told_what_else_to_set(
    settings: Settings, query: Query, tmp_path: Path
) -> None:
    own = f'{settings.dbname}_mage'
    kept = replace(settings, mage_dir=tmp_path / 'mage')
    query(f'create role {own}_reader login')
    try:
        with pytest.raises(EditorError, match=f'database {own} .*permission denied.*MAGE_DATABASE_CONNECTION_URL'):
            editor.server_environment(replace(kept, user=f'{own}_reader'))
        for _ in range(2):  # the second time it is there
            url = editor.server_environment(kept)['MAGE_DATABASE_CONNECTION_URL']
            assert url == f'postgresql+psycopg2://postgres@/{own}?host={settings.host}&port=5432'
        assert query('select count(*) from pg_database where datname = %s', own) == [(1,)]
    finally:
        query(f'drop role {own}_reader')
        administer(str(settings.host), f'drop database if exists {own}')


def test_the_port_of_an_editor_that_runs_is_known_to_whoever_asks_for_it(env: Path, tmp_path: Path) -> None:
    settings = load_settings()
    assert editor.address(settings) == f'http://{editor.HOST}:6789'
    settings.local_dir.mkdir()
    # As `python -m kly_mage editor --port 7000` notes itself.
    waits = 'import time; print(flush=True); time.sleep(60)'
    with subprocess.Popen([sys.executable, '-c', waits, 'editor'], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()  # a process has no arguments yet in the moment after its start
        (settings.local_dir / 'editor.pid').write_text(f'{other.pid}\n7000')
        assert editor.address(settings) == f'http://{editor.HOST}:7000'
        other.kill()
    assert editor.address(settings) == f'http://{editor.HOST}:6789'


def test_a_log_that_has_grown_long_is_put_aside_while_it_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_log, 'LONGEST', 100)
    log = tmp_path / 'own' / 'mage.log'
    with private_file(log) as first:
        first.write(b'before a restart\n')
    with private_file(log, keep=True) as writer:
        for number in range(5):
            writer.write(b'%d' % number * 101)
            writer.flush()
            server_log.rotate(log)
            assert log.read_bytes() == b''
        writer.write(b'after')
        writer.flush()
        server_log.rotate(log)
    assert log.read_bytes() == b'after'
    kept = {path.name: path.read_bytes()[-1:] for path in log.parent.iterdir()}
    assert kept == {'mage.log': b'r', 'mage.log.1': b'4', 'mage.log.2': b'3', 'mage.log.3': b'2'}
    assert {path.stat().st_mode & 0o777 for path in log.parent.iterdir()} == {0o600}


def test_a_restart_keeps_what_the_server_said_before(tmp_path: Path) -> None:
    log = tmp_path / 'own' / 'mage.log'
    for said in (b'first start\n', b'second start\n'):
        server_log.rotate(log)
        with private_file(log, keep=True) as output:
            output.write(said)
    assert log.read_bytes() == b'first start\nsecond start\n'
