"""``python -m tests.killer SCENE MOMENT VICTIM ARGUMENTS``: the command line; at a named moment something is killed, once.

The victim is the process itself (``loader``), the backend that works for it (``backend``), or the embedded server as a whole
(``server``); each gets a real SIGKILL.
"""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg2

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY
from tests.corrections import SCENES, Scene

NEVER = 'never'
# The function, where it is not the one in which a load of the scene corrects, and whether it happens before it or after.
MOMENTS = {
    'before it corrects': (None, None, 'before'),
    'having corrected': (None, None, 'after'),
    'before it commits': ('kly_mage.warehouse.postgres.ledger', 'remember_files', 'after'),
    'having committed': ('kly_mage.warehouse.postgres.blocks', 'run_sql', 'before'),
    'having refreshed the mart': ('kly_mage.warehouse.postgres.blocks', 'run_sql', 'after'),
}


def process(name: str, moment: str, victim: str) -> subprocess.Popen[str]:
    """The command that loads what a scene delivers again, as a process of its own; at that moment something is killed."""
    return subprocess.Popen(
        [sys.executable, '-m', 'tests.killer', name, moment, victim, *SCENES[name].backfill],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _kill(victim: str) -> None:
    pid = os.getpid()
    if victim == 'server':
        pid = int(Path(os.environ['KLY_LOCAL_DIR'], 'postgres', 'postmaster.pid').read_text().splitlines()[0])
    elif victim == 'backend':
        connection = psycopg2.connect(
            host=os.environ['POSTGRES_HOST'], dbname=os.environ['POSTGRES_DBNAME'], user='postgres'
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(
                'select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
                " and backend_type = 'client backend' order by backend_start limit 1"
            )
            (pid,) = cursor.fetchone() or (None,)
        connection.close()
    if pid:
        os.kill(pid, signal.SIGKILL)


def _arm(scene: Scene, moment: str, victim: str) -> None:
    module, path, when = MOMENTS[moment]
    if module is None or path is None:
        module, path = scene.corrects
    owner: Any = importlib.import_module(module)
    *parents, name = path.split('.')
    for parent in parents:
        owner = getattr(owner, parent)
    work, killed = getattr(owner, name), []

    def wrapped(*values: Any, **named: Any) -> Any:
        if when == 'before' and not killed:
            killed.append(True)
            _kill(victim)
        done = work(*values, **named)
        if not killed:
            killed.append(True)
            _kill(victim)
        return done

    setattr(owner, name, wrapped)


if __name__ == '__main__':
    asked = SCENES[sys.argv[1]]
    asked.declare()
    if sys.argv[2] != NEVER:
        _arm(asked, sys.argv[2], sys.argv[3])
    sys.exit(main(sys.argv[4:]))
