"""``python -m tests.killer MOMENT VICTIM ARGUMENTS``: the command line; at a named moment something is killed, once.

The victim is the process itself (``loader``), the backend that works for it (``backend``), or the embedded server as a whole
(``server``); each gets a real SIGKILL.
"""

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psycopg2

from kly_mage.__main__ import main

# The function, and whether it happens before it or when it is done.
MOMENTS = {
    'before it corrects': ('kly_mage.warehouse.postgres.deliveries', 'Deliveries.settle', 'before'),
    'having corrected': ('kly_mage.warehouse.postgres.deliveries', 'Deliveries.settle', 'after'),
    'before it commits': ('kly_mage.warehouse.postgres.ledger', 'remember_files', 'after'),
    'having committed': ('kly_mage.warehouse.postgres.blocks', 'run_sql', 'before'),
    'having refreshed the mart': ('kly_mage.warehouse.postgres.blocks', 'run_sql', 'after'),
}


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


def _arm(moment: str, victim: str) -> None:
    module, path, when = MOMENTS[moment]
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
    _arm(sys.argv[1], sys.argv[2])
    sys.exit(main(sys.argv[3:]))
