"""The embedded server is its owner's alone: other users, real ones, meet closed doors, and no other is opened for it."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import fasteners
import psutil
import psycopg2
import pytest

from kly_mage.common.errors import SettingsError, WarehouseError
from kly_mage.common.private import private_file, private_folder
from kly_mage.warehouse.postgres import embedded, programs
from kly_mage.warehouse.postgres.embedded import EMBEDDED_SETTINGS, running, start, stop
from tests.scenes import Background

as_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
SMALL = EMBEDDED_SETTINGS | {'shared_buffers': '16MB', 'fsync': 'off'}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose parents everybody may enter, so that only what the server itself closes is closed."""
    folder = Path(tempfile.mkdtemp(prefix='kly_place_', dir='/tmp'))
    folder.chmod(0o755)
    yield folder
    for lock in folder.rglob('postmaster.pid'):
        with suppress(WarehouseError):
            stop(lock.parent)
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def users() -> Iterator[list[pwd.struct_passwd]]:
    """Two users of this machine, made for these tests."""
    names = [f'kly_t{os.getpid()}{letter}' for letter in 'ab']
    try:
        for name in names:
            subprocess.run(['useradd', '--no-create-home', name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no users can be made here: {error}')
    yield [pwd.getpwnam(name) for name in names]
    for name in names:
        subprocess.run(['userdel', name], check=True, capture_output=True)


def be(user: pwd.struct_passwd, work: Callable[[], Any]) -> str:
    """Do something as another user, in a process of its own: what it gave, or the error it met."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        said = 'killed'
        try:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            said = str(work())
        except BaseException as error:  # noqa: BLE001 -- told to the parent
            said = f'{type(error).__name__}: {error}'
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


def ask(socket: str, statement: str = 'select current_user') -> Any:
    with (
        closing(psycopg2.connect(host=socket, dbname='postgres', user='postgres')) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        return cursor.fetchone()[0]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_paths(folder: Path) -> list[str]:
    """What in a folder, itself included, others have any right to."""
    found = []
    for path in (folder, *folder.rglob('*')):
        with suppress(FileNotFoundError):  # a server at work makes files and renames them
            if not path.is_symlink() and not path.is_socket() and mode(path) & 0o077:
                found.append(str(path))
    return found


def deep(place: Path) -> Path:
    """A data folder whose path is longer than any socket's may be."""
    return place / ('long_' * 20) / ('path_' * 20) / '.local' / 'postgres'


# --- who gets in ---------------------------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize('long', [False, True], ids=['short path', 'long path'])
def test_another_user_gets_neither_to_the_socket_nor_to_the_files(
    place: Path, users: list[pwd.struct_passwd], long: bool
) -> None:
    folder = deep(place) if long else place / '.local' / 'postgres'
    socket = start(folder, SMALL)
    assert ask(socket) == 'postgres'
    assert 'Permission denied' in be(users[0], lambda: ask(socket))
    for path in (folder.parent, folder, Path(socket), folder / 'PG_VERSION', folder / 'log', folder / 'pg_hba.conf'):
        assert 'PermissionError' in be(
            users[0], lambda path=path: list(path.iterdir()) if path.is_dir() else path.read_bytes()
        )
    assert open_paths(folder.parent) == []
    assert mode(Path(socket)) == 0o700


@as_root
def test_another_user_is_refused_by_the_server_even_where_every_folder_is_open(
    place: Path, users: list[pwd.struct_passwd]
) -> None:
    socket = Path(start(deep(place), SMALL | {'unix_socket_permissions': '0777'}))
    socket.chmod(0o755)
    (socket / '.s.PGSQL.5432').chmod(0o777)
    assert ask(str(socket)) == 'postgres'
    assert 'Peer authentication failed for user "postgres"' in be(users[0], lambda: ask(str(socket)))


@as_root
def test_two_users_work_side_by_side_and_each_in_their_own(place: Path, users: list[pwd.struct_passwd]) -> None:
    sockets = []
    for user in users:
        home = place / user.pw_name
        home.mkdir()
        os.chown(home, user.pw_uid, user.pw_gid)
        socket = be(user, lambda home=home: start(home / '.local' / 'postgres', SMALL))
        assert socket == str(home / '.local' / 'postgres')
        sockets.append(socket)
        assert be(user, lambda socket=socket: ask(socket)) == 'postgres'
        assert ask(socket) == 'postgres'  # root may look after everybody's
    assert 'Permission denied' in be(users[0], lambda: ask(sockets[1]))
    assert 'belongs to another user' in be(users[0], lambda: start(Path(sockets[1]), SMALL))
    assert be(users[0], lambda: running(Path(sockets[0]))) == sockets[0]
    assert psutil.Process(int((Path(sockets[0]) / 'postmaster.pid').read_text().split()[0])).uids().real == users[0].pw_uid


@as_root
def test_a_long_path_works_for_a_user_too(place: Path, users: list[pwd.struct_passwd]) -> None:
    os.chown(place, users[0].pw_uid, users[0].pw_gid)
    socket = Path(be(users[0], lambda: start(deep(place), SMALL)))
    assert (socket.owner(), mode(socket)) == (users[0].pw_name, 0o700)
    assert 'Permission denied' in be(users[1], lambda: ask(str(socket)))


@as_root
def test_root_starts_the_server_of_a_user_as_that_user_who_goes_on_with_it(
    place: Path, users: list[pwd.struct_passwd]
) -> None:
    local = place / '.local'
    local.mkdir()
    os.chown(local, users[0].pw_uid, users[0].pw_gid)
    socket = start(local / 'postgres', SMALL)
    assert be(users[0], lambda: ask(socket)) == 'postgres'
    assert be(users[0], lambda: stop(local / 'postgres')) == 'None'
    assert ask(be(users[0], lambda: start(local / 'postgres', SMALL))) == 'postgres'


# --- what stays as it is -------------------------------------------------------------------------------------------------


@as_root
def test_as_root_no_folder_above_is_opened_and_the_server_has_no_right_to_them(place: Path) -> None:
    above = place / 'private' / 'project'
    above.mkdir(parents=True)
    place.chmod(0o700)
    above.parent.chmod(0o700)
    folder = above / '.local' / 'postgres'
    before = [(path, mode(path)) for path in folder.parents if path.exists()]
    ask(start(folder, SMALL))
    assert [(path, mode(path)) for path, _ in before] == before
    server = psutil.Process(int((folder / 'postmaster.pid').read_text().split()[0]))
    rights = Path(f'/proc/{server.pid}/status').read_text()
    assert server.uids().real == pwd.getpwnam(programs.ACCOUNT).pw_uid
    assert 'Groups:\t \n' in rights  # not root's
    assert 'CapEff:\t0000000000000000' in rights
    assert ask(start(folder, SMALL), "select pg_read_file('PG_VERSION')") == '18\n'
    stop(folder)


@as_root
def test_as_root_programs_below_a_closed_folder_are_copied_where_the_server_can_run_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, cache = place / 'closed', place / 'cache'
    closed.mkdir(mode=0o700)
    installed = Path(sys.modules['psycopg2'].__file__).parents[1]
    for name in (programs.WHEEL, f'{programs.WHEEL}.libs'):
        (closed / name).symlink_to(installed / name)
    monkeypatch.setattr(programs, 'CACHE', cache)
    monkeypatch.setattr(programs.importlib.util, 'find_spec', lambda name: Spec([str(closed / programs.WHEEL)]))
    folder = place / '.local' / 'postgres'
    assert ask(start(folder, SMALL)) == 'postgres'
    server = psutil.Process(int((folder / 'postmaster.pid').read_text().split()[0]))
    assert Path(server.exe()).is_relative_to(cache)
    assert mode(closed) == 0o700
    assert [path for path in cache.rglob('*') if path.stat().st_uid or mode(path) & 0o022] == []
    stop(folder)


@as_root
def test_the_account_keeps_its_number_where_several_processes_make_it_at_once(
    users: list[pwd.struct_passwd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, 'ACCOUNT', f'kly_t{os.getpid()}s')
    try:
        made = [each.result().pw_uid for each in [Background(programs._made) for _ in range(3)]]
        assert made == [pwd.getpwnam(programs.ACCOUNT).pw_uid] * 3
    finally:
        subprocess.run(['userdel', programs.ACCOUNT], check=False, capture_output=True)


class Spec:
    """Where a package is."""

    def __init__(self, places: list[str]) -> None:
        self.submodule_search_locations = places


def test_secrets_of_the_environment_do_not_reach_the_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MAGE_OWNER_PASSWORD', 'a-secret')
    monkeypatch.setenv('PGPORT', '6000')  # nor is its port anybody else's
    folder = place / '.local' / 'postgres'
    socket = start(folder, SMALL)
    number = int((folder / 'postmaster.pid').read_text().split()[0])
    assert b'a-secret' not in Path(f'/proc/{number}/environ').read_bytes()
    assert (Path(socket) / '.s.PGSQL.5432').is_socket()


def test_the_socket_stays_where_it_was_when_the_server_is_started_again(place: Path) -> None:
    sockets = set()
    for _ in range(2):
        sockets.add(start(deep(place), SMALL))
        stop(deep(place))
    assert len(sockets) == 1
    assert not Path(sockets.pop()).exists()


@as_root
def test_a_socket_folder_somebody_else_was_first_to_make_is_not_used(place: Path, users: list[pwd.struct_passwd]) -> None:
    socket = Path(start(deep(place), SMALL))
    stop(deep(place))
    assert be(users[0], lambda: socket.mkdir(mode=0o777)) == 'None'
    assert Path(start(deep(place), SMALL)) != socket
    socket.rmdir()


# --- folders of an older version -----------------------------------------------------------------------------------------


def test_a_data_folder_the_wheel_made_goes_on_and_trusts_nobody_any_more(place: Path) -> None:
    folder = place / '.local' / 'postgres'
    start(folder, SMALL)
    stop(folder)
    # As the wheel left it: trust for all, and everything around open.
    (folder / 'pg_hba.conf').write_text('local all all trust\nhost all all 127.0.0.1/32 trust\n')
    (folder / 'pg_ident.conf').write_text('')
    folder.parent.chmod(0o755)
    (folder.parent / 'mage.log').write_text('rows')
    (folder.parent / 'mage.log').chmod(0o644)
    socket = start(folder, SMALL)
    assert ask(socket) == 'postgres'
    # A role that nobody can log in as (psql --tcp), then everybody else.
    rules = 'select string_agg(user_name[1] || $$ $$ || auth_method, $$, $$ order by rule_number) from pg_hba_file_rules'
    assert ask(socket, rules) == 'kly_door scram-sha-256, all peer'
    assert open_paths(folder.parent) == []


@as_root
def test_root_s_data_of_the_wheel_s_user_stay_that_user_s(place: Path, users: list[pwd.struct_passwd]) -> None:
    folder = place / '.local' / 'postgres'
    start(folder, SMALL)
    stop(folder)
    for path in (folder, *folder.rglob('*')):
        os.chown(path, users[0].pw_uid, users[0].pw_gid)
    assert ask(start(folder, SMALL)) == 'postgres'
    assert psutil.Process(int((folder / 'postmaster.pid').read_text().split()[0])).uids().real == users[0].pw_uid


def test_data_that_were_being_made_when_the_machine_died_are_made_again(place: Path) -> None:
    half = place / '.local' / 'postgres.new'
    half.mkdir(parents=True)
    (half / 'PG_VERSION').write_text('18\n')
    assert ask(start(place / '.local' / 'postgres', SMALL)) == 'postgres'
    assert not half.exists()


# --- what does not start says why ----------------------------------------------------------------------------------------


def test_a_lock_somebody_holds_is_named_after_a_while_and_not_waited_for_for_ever(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, 'LOCK_SAID_AFTER', 0.2)
    monkeypatch.setattr(embedded, 'LOCK_SECONDS', 0.5)
    path = private_folder(place / '.local') / 'postgres.lock'
    holder = (
        'import fasteners, os, sys; lock = fasteners.InterProcessLock(sys.argv[1]); lock.acquire()\n'
        'lock.lockfile.write(str(os.getpid())); lock.lockfile.flush(); print("held", flush=True); sys.stdin.read()'
    )
    with subprocess.Popen(
        [sys.executable, '-c', holder, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == 'held\n'
        with pytest.raises(WarehouseError, match=f'process {process.pid} has held .* end that process and run this again'):
            start(place / '.local' / 'postgres', SMALL)
        assert f'process {process.pid} is starting the embedded PostgreSQL; waiting for it' in caplog.text
        process.communicate()
    with fasteners.InterProcessLock(path):
        pass  # it is free again


def test_a_number_another_process_has_got_since_is_not_taken_for_the_server(place: Path) -> None:
    """After a restart of the machine the pid file of a server that was killed may name any process."""
    folder = place / '.local' / 'postgres'
    start(folder, SMALL)
    lines = (folder / 'postmaster.pid').read_text().splitlines()
    stop(folder)
    (folder / 'postmaster.pid').write_text('\n'.join([str(os.getppid()), *lines[1:]]) + '\n')
    assert ask(start(folder, SMALL)) == 'postgres'


def test_a_server_that_does_not_start_says_why(place: Path) -> None:
    folder = place / '.local' / 'postgres'
    start(folder, SMALL)
    stop(folder)
    with pytest.raises(WarehouseError, match=r'does not start \(configuration file .* contains errors\); see .*/log'):
        start(folder, SMALL | {'max_connections': '-1'})


# --- folders and files of ours -------------------------------------------------------------------------------------------


def test_a_folder_of_ours_and_all_in_it_is_closed_whatever_the_umask_and_whoever_made_it(place: Path) -> None:
    before = os.umask(0)
    try:
        ours, elsewhere = place / 'ours', place / 'elsewhere'
        (ours / 'runs').mkdir(parents=True)
        (ours / 'runs' / 'rows.parquet').write_text('rows')
        elsewhere.write_text('not ours')
        (ours / 'link').symlink_to(elsewhere)
        private_folder(ours)
        with private_file(ours / 'mage.log') as file:
            file.write(b'log')
        (place / 'new').mkdir()
        private_folder(place / 'new' / 'made')
    finally:
        os.umask(before)
    assert open_paths(ours) == []
    assert mode(elsewhere) == 0o666
    assert mode(place / 'new' / 'made') == 0o700
    assert os.access(ours / 'runs' / 'rows.parquet', os.W_OK)


@pytest.mark.parametrize(
    'shared', [Path('/tmp'), Path('/'), Path.home().parent, embedded.Path(embedded.__file__).parents[3]]
)
def test_a_folder_that_others_need_is_never_closed(shared: Path) -> None:
    before = mode(shared)
    if not before & 0o077:
        pytest.skip(f'{shared} is closed already')
    with pytest.raises(SettingsError, match='name a folder that only this project uses'):
        private_folder(shared)
    assert mode(shared) == before
