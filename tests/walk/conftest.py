"""One clone for the whole walk."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kly_mage.common.settings import REPOSITORY
from tests.walk.clone import Clone


@pytest.fixture(scope='session')
def clone() -> Iterator[Clone]:
    """A fresh clone where another user's server may enter, as in a home folder."""
    folder = Path(tempfile.mkdtemp(prefix='kly_walk_', dir='/tmp'))
    folder.chmod(0o755)
    subprocess.run(['git', 'clone', '--quiet', str(REPOSITORY), str(folder / 'kly_mage')], check=True)
    (folder / 'kly_mage/.venv').symlink_to(Path(sys.prefix))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('KLY_', 'POSTGRES_', 'MAGE_', 'PG'))}
    user = Clone(folder / 'kly_mage', kept | {'TERM': 'xterm', 'LANG': 'C.UTF-8', 'HOME': str(folder)})
    yield user
    user.types('make stop')
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='session')
def first_screen(clone: Clone) -> str:
    """What ``make run`` shows."""
    return clone.types('make run')
