"""The kernel that runs blocks takes code from the editor, and from nobody else on this machine."""

import contextlib
import json
import os
import socket
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kly_mage.mage.editor import MARK
from tests.security.conftest import Attacker

with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)  # jupyter_client 7.4 imports what its pyzmq no longer wants
    from jupyter_client import BlockingKernelClient

pytestmark = pytest.mark.mage

NOBODY = 65534


@pytest.fixture(scope='module')
def connection(attacker: Attacker) -> Path:
    """The file that says where the running kernel listens."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # ended meanwhile, or another user's
            command = process.cmdline()
            if 'ipykernel_launcher' in command and process.environ().get(MARK) == str(attacker.server.local):
                found.append(Path(command[command.index('-f') + 1]))
    [path] = found
    return path


@pytest.fixture
def client(connection: Path) -> Iterator[BlockingKernelClient]:
    """Somebody who has reached the kernel's sockets, with the right key to begin with."""
    client = BlockingKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels()
    yield client
    client.stop_channels()


@pytest.mark.parametrize('key', [b'', b'another key'])
def test_code_that_is_not_signed_with_the_kernels_key_does_not_run(
    client: BlockingKernelClient, tmp_path: Path, key: bytes
) -> None:
    marker, right = tmp_path / 'ran', client.session.key
    code = f'open({str(marker)!r}, "w").close()'
    for channel, answer in (
        (client.shell_channel, client.get_shell_msg),
        (client.control_channel, client.get_control_msg),
    ):
        client.session.key = key
        for message in ('execute_request', 'shutdown_request'):
            channel.send(client.session.msg(message, {'code': code, 'silent': True, 'restart': False}))
        # The same socket keeps the order: what comes behind is answered when the first has been dealt with.
        client.session.key = right
        channel.send(client.session.msg('kernel_info_request'))
        assert answer(timeout=60)['msg_type'] == 'kernel_info_reply'
    assert not marker.exists()


def test_code_that_is_signed_runs(client: BlockingKernelClient, tmp_path: Path) -> None:
    client.wait_for_ready(timeout=60)  # or it may miss what the kernel publishes before it has subscribed
    client.execute_interactive(f'open({str(tmp_path / "ran")!r}, "w").close()', timeout=60)
    assert (tmp_path / 'ran').exists()


def test_blocks_still_run_and_are_heard(attacker: Attacker) -> None:
    with attacker.server.kernel() as run:
        assert '42' in str([message.get('data') for message in run('print(6 * 7)')()])


def test_its_sockets_and_its_key_lie_in_a_folder_of_the_owner_alone(connection: Path) -> None:
    told = json.loads(connection.read_text())
    assert told['transport'] == 'ipc'
    assert stat.S_IMODE(connection.stat().st_mode) == 0o600
    folder = connection.parent.stat()
    assert stat.S_IMODE(folder.st_mode) & 0o777 == 0o700
    assert folder.st_uid == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become another user')
def test_another_user_reaches_neither_sockets_nor_key(connection: Path) -> None:
    told = json.loads(connection.read_text())
    sockets = [f'{told["ip"]}-{told[name]}' for name in told if name.endswith('_port')]
    assert all(Path(path).is_socket() for path in sockets)
    assert as_nobody([str(connection), *sockets]) == len(sockets) + 1


def as_nobody(paths: list[str]) -> int:
    """How many of these another user may neither read nor connect to."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    refused = 0
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for path in paths:
            try:
                if path.endswith('.json'):
                    Path(path).read_text()
                else:
                    socket.socket(socket.AF_UNIX).connect(path)
            except PermissionError:
                refused += 1
    finally:
        os._exit(refused)
