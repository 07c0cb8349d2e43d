"""PostgreSQL's own shell, on the warehouse."""

import importlib.util
import os
import shutil
from pathlib import Path
from typing import NoReturn

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.programs import INSTALLED, NEWEST, WHEEL


def variables(settings: Settings) -> dict[str, str]:
    """Where the warehouse is, as every program that uses PostgreSQL's own library understands it; without the password."""
    return {
        'PGHOST': str(settings.host),
        'PGPORT': str(settings.port),
        'PGDATABASE': settings.dbname,
        'PGUSER': settings.user,
    }


def become_psql(settings: Settings, arguments: list[str]) -> NoReturn:
    """Let psql take the place of this process: what it reads and how it ends are its own.

    The password goes with the environment, which no other user of the machine sees, never with the arguments, which all see.

    Raises:
        WarehouseError: there is no psql.
    """
    program = _psql()
    environment = os.environ | variables(settings)
    if settings.password:
        environment['PGPASSWORD'] = settings.password
    os.execve(program, [program, *arguments], environment)  # noqa: S606 -- psql of this machine or of the wheel


def _psql() -> str:
    """The psql of this machine, which knows its terminal best, else the wheel's."""
    if found := shutil.which('psql'):
        return found
    wheel = importlib.util.find_spec(WHEEL)
    for place in wheel.submodule_search_locations or () if wheel else ():
        program = Path(place) / INSTALLED[NEWEST] / 'bin' / 'psql'
        if program.exists():
            return str(program)
    raise WarehouseError(f'no psql: neither this machine nor {WHEEL} has one; install postgresql-client')
