"""Reading and nothing else: sessions of the role ``kly_reader``, which can change nothing, and the queries in ``queries/``.

For whoever looks at the warehouse from a page: it never waits for a load, nor a load for it.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from kly_mage.common.errors import LOAD, NotBuiltError, WarehouseError, first_line
from kly_mage.common.settings import Settings
from kly_mage.declared.marts import Joined, Mart
from kly_mage.warehouse import patience
from kly_mage.warehouse.gold import Asked, Found, Table
from kly_mage.warehouse.postgres import refusals
from kly_mage.warehouse.postgres.connection import connect, open_connection
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.idle import Idle
from kly_mage.warehouse.postgres.summary import look_up
from kly_mage.warehouse.postgres.watch import session_name

logger = logging.getLogger('kly_mage')
READER = 'kly_reader'
_SCHEMAS = ('bronze', 'gold', 'ops')
_VALUE = re.compile(r'(?<![:\w]):([a-z]+)\b')
# Sessions between two queries: a new one learns about hundreds of partitions first, which costs more than most queries.
_idle = Idle(most=4)
_SESSION = (
    '-c timezone=UTC -c datestyle=ISO -c jit=off -c default_transaction_read_only=on'
    ' -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s'
    ' -c work_mem=64MB'  # 110,000 articles of a year take 90 MB to be added up, or the disk
)


@cache
def ensure_reader(settings: Settings) -> bool:
    """Have the role and its rights, where we may make one; else sessions are read-only, with the rights of our own role.

    Once in a process.

    Returns:
        Whether the role is there.

    Raises:
        KlyError: the warehouse cannot be reached or is not complete.
    """
    ensure_schema(settings)
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute('select 1 from pg_roles where rolname = %s', (READER,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL('create role {} nologin').format(sql.Identifier(READER)))
                cursor.execute(sql.SQL('grant {} to current_user').format(sql.Identifier(READER)))
    except (psycopg2.Error, WarehouseError) as error:  # made meanwhile, or we may not: the next statements find out
        logger.debug('%s is not made: %s', READER, first_line(error))
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            for schema in _SCHEMAS:
                for grant in (
                    'grant usage on schema {schema} to {reader}',
                    'grant select on all tables in schema {schema} to {reader}',
                    'alter default privileges in schema {schema} grant select on tables to {reader}',
                ):
                    names = {'schema': sql.Identifier(schema), 'reader': sql.Identifier(READER)}
                    cursor.execute(sql.SQL(grant).format(**names))
            cursor.execute(sql.SQL('set local role {}').format(sql.Identifier(READER)))
    except (psycopg2.Error, WarehouseError) as error:
        logger.warning('the role %s cannot be used (%s): sessions are read-only by setting alone', READER, first_line(error))
        return False
    return True


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """A session that reads, in the role ``kly_reader`` where that is there: one that has served before, or a new one.

    Raises:
        WarehouseError: the server cannot be reached, a query took too long, or a right is lacking.
        NotBuiltError: a table is not there yet.
    """
    connection = _idle.take(settings) or _opened(settings)
    is_well = False
    try:
        yield connection
        connection.commit()
        is_well = True
    except psycopg2.errors.UndefinedTable as error:
        raise NotBuiltError(f'{first_line(error)}: {LOAD}') from error
    except psycopg2.errors.ObjectNotInPrerequisiteState as error:
        raise NotBuiltError(f'{first_line(error)}: {LOAD}') from error
    except psycopg2.errors.QueryCanceled as error:
        raise patience.given_up() from error
    except psycopg2.Error as error:
        raise WarehouseError(first_line(error)) from error
    finally:
        if is_well:
            _idle.leave(settings, connection)
        else:
            connection.close()


def _opened(settings: Settings) -> Connection:
    """A new session."""
    role = f' -c role={READER}' if ensure_reader(settings) else ''
    try:
        connection = open_connection(
            host=settings.host,
            port=settings.port,
            dbname=settings.dbname,
            user=settings.user,
            password=settings.password,
            application_name=session_name(),
            options=f'{_SESSION} -c statement_timeout={patience.SECONDS}s{role}',
        )
    except psycopg2.OperationalError as error:
        raise refusals.at_the_door(error, settings) from None
    connection.set_session(readonly=True)
    return connection


@cache
def query(name: str) -> str:
    """The text of ``queries/NAME.sql`` with its values as the driver names them.

    In the file they are psql's variables, ``:start``: so it can be run there too.
    """
    return _VALUE.sub(r'%(\1)s', (Path(__file__).parent / 'queries' / f'{name}.sql').read_text('utf-8'))


def ask(settings: Settings, text: str, values: dict[str, Any]) -> Table:
    """The rows of a query, in a session of its own that reads.

    Raises:
        WarehouseError: as ``reading``.
    """
    with reading(settings) as connection, connection.cursor() as cursor:
        cursor.execute(text, values)
        return Table([column.name for column in cursor.description], cursor.fetchall())


class Reader:
    """The warehouse as pages see it (``warehouse/base.py``).

    Raises:
        KlyError: as ``ensure_reader``.
    """

    def __init__(self, settings: Settings) -> None:
        ensure_reader(settings)
        self._settings = settings

    def query(self, name: str, values: Mapping[str, Any]) -> Table:
        return ask(self._settings, query(name), dict(values))

    def look_up(self, table: Joined | Mart, asked: Asked) -> Found | None:
        return look_up(self._settings, table, asked, partial(ask, self._settings))
