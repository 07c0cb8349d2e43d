"""Which PostgreSQL: the external one the environment names, or the embedded one."""

import os
import time
from dataclasses import replace
from functools import cache

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from kly_mage.common.errors import WarehouseError, first_line
from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.postgres.connection import REACHED, RETRY_SECONDS, open_connection


def server(settings: Settings) -> Settings:
    """The settings with a host: those of the external server, or of the embedded one, which is started if need be.

    Raises:
        WarehouseError: the embedded server does not start.
    """
    if settings.host:
        return settings
    from kly_mage.warehouse.postgres.embedded import running, start  # who has a server of his own needs none of it

    folder = settings.local_dir / 'postgres'
    for attempt in range(3):  # it may die between two looks at it
        socket = running(folder) or start(folder)
        try:
            create_database(socket, settings.dbname)
            break
        except psycopg2.OperationalError:
            if attempt == 2:
                raise
            time.sleep(RETRY_SECONDS[attempt])
    REACHED.add((socket, 5432))
    return replace(settings, host=socket, port=5432, user='postgres', password=None)


def export_environment() -> None:
    """Put the server's address into the environment, where Mage's ``io_config.yaml`` and its SQL blocks find it."""
    settings = server(load_settings())
    os.environ |= {
        'POSTGRES_HOST': str(settings.host),
        'POSTGRES_PORT': str(settings.port),
        'POSTGRES_DBNAME': settings.dbname,
        'POSTGRES_USER': settings.user,
        'POSTGRES_PASSWORD': settings.password or '',
    }


@cache
def create_database(socket: str, name: str) -> None:
    """Have a database on the embedded server."""
    _create(open_connection(host=socket, dbname='postgres', user='postgres'), name)


def database_beside(settings: Settings, name: str) -> str:
    """Have a database on the server of the warehouse, for its user.

    Returns:
        Its address as SQLAlchemy takes it, without the password: Mage logs it.

    Raises:
        WarehouseError: it is not there, and cannot be made.
    """
    try:
        connection = open_connection(
            host=settings.host, port=settings.port, dbname=settings.dbname, user=settings.user, password=settings.password
        )
        _create(connection, name)
    except psycopg2.Error as error:
        raise WarehouseError(first_line(error)) from None
    if str(settings.host).startswith('/'):
        return f'postgresql+psycopg2://{settings.user}@/{name}?host={settings.host}&port={settings.port}'
    return f'postgresql+psycopg2://{settings.user}@{settings.host}:{settings.port}/{name}'


def _create(connection: Connection, name: str) -> None:
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute('select 1 from pg_database where datname = %s', (name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL('create database {}').format(sql.Identifier(name)))
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        pass  # another process was faster
    finally:
        connection.close()
