"""The kernel that runs the editor's blocks: nobody else's to talk to, and heard from its first word on."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.session import Session, new_id

LONGEST = 90
"""Bytes a socket's path may have before its number; the kernel of the operating system takes 107."""


def lock(folder: Path) -> None:
    """Have Mage's kernels listen on sockets in a folder of this user alone, and take signed messages only.

    Corrects ``mage_ai/server/kernels.py: kernel_managers``, whose ``Session(key=bytes())`` switches signing off on ports of
    127.0.0.1: any user of the machine could send code to be run, and read every block's output.

    Args:
        folder: where the sockets go; one that is too long a path is replaced by a new one below the temporary folder.
    """
    from mage_ai.server.kernels import kernel_managers

    folder = _private(folder)
    for name, manager in kernel_managers.items():
        manager.session.key = secrets.token_hex(32).encode()
        manager.transport = 'ipc'
        manager.ip = str(folder / f'{os.getpid()}-{name}')
        manager.connection_file = f'{manager.ip}.json'


def _private(folder: Path) -> Path:
    if len(os.fsencode(folder)) > LONGEST - len(f'/{os.getpid()}-pysparkkernel'):
        return Path(tempfile.mkdtemp(prefix='kly_kernel_'))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for left in folder.iterdir():  # by a server that was killed
        owner = left.name.partition('-')[0]
        if owner.isdecimal() and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner))):
            with contextlib.suppress(FileNotFoundError):
                left.unlink()
    return folder


def sign_always() -> None:
    """Have no session without a key, from the first on; ``lock`` gives those that are used a key of their own.

    Corrects what ``mage_ai/server/kernels.py`` asks for when it is imported, ``Session(key=bytes())``: without a key
    nothing is signed, of which the log warned.
    """
    init = Session.__init__
    if hasattr(init, 'signs'):
        return

    def with_a_key(self: Session, **kwargs: Any) -> None:
        if kwargs.get('key') == b'':
            kwargs['key'] = secrets.token_hex(32).encode()
        init(self, **kwargs)  # type: ignore[no-untyped-call]

    with_a_key.signs = True  # type: ignore[attr-defined]
    Session.__init__ = with_a_key  # type: ignore[method-assign]


def number_apart() -> None:
    """Have no two connections to the kernel number their messages alike.

    A page asks every few seconds how much memory the kernel uses. Jupyter numbers messages by session and count, and a
    client takes over its manager's session but not its count: Mage's first questions bear the numbers of the first blocks.
    The answer to a question is then taken for the end of the block, whose output comes too late.

    Corrects ``jupyter_client/session.py: Session.clone`` (7.4.4) for ``mage_ai/server/websocket_server.py``.
    """
    clone = Session.clone

    def with_its_own_id(self: Session) -> Session:
        copy = clone(self)
        copy.session = new_id()
        return copy

    Session.clone = with_its_own_id  # type: ignore[method-assign]


def listen() -> None:
    """Hear the kernel from its start: Mage subscribes seconds later (``mage_ai/server/server.py: main``, at its end)."""
    from mage_ai.server.active_kernel import get_active_kernel_client

    get_active_kernel_client().iopub_channel.start()
