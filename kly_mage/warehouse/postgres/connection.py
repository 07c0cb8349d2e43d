"""Connections to PostgreSQL: one per unit of work, with the session settings the loads rely on."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection

from kly_mage.common.errors import UnreachableError, WarehouseError
from kly_mage.common.interruption import ended_by
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres import refusals
from kly_mage.warehouse.postgres.idle import Idle
from kly_mage.warehouse.postgres.watch import Watch, session_name

logger = logging.getLogger('kly_mage')
MINIMUM_VERSION = 150000
RETRY_SECONDS = (0.2, 1.0, 3.0, 8.0, 20.0)  # a server that restarts needs some of it
# What a server says that will soon let us in.
_PASSING = ('starting up', 'shutting down', 'recovery mode', 'in recovery', 'not yet accepting', 'too many', 'slots')
REACHED: set[tuple[str | None, int]] = set()  # servers that have let us in: if one does not answer, it is on its way back
_idle = Idle()  # sessions between two units, where they are kept
_keeping: list[int] = []  # processes that keep some
# What the loads and refreshes rely on, whatever the server's or the user's own settings are.
_SESSION = (
    '-c timezone=UTC -c datestyle=ISO -c jit=off -c client_min_messages=warning'
    r' -c default_transaction_isolation=read\ committed -c default_transaction_read_only=off'
    # If this machine dies, the server finds out within two minutes and lets go of our locks.
    ' -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6'
)


@contextmanager
def connect(settings: Settings) -> Iterator[Connection]:
    """A connection for one unit of work: committed at the end, or rolled back and closed on an error.

    Raises:
        KlyError: what ``session`` or ``told`` raise.
    """
    connection = _idle.take(_of(settings)) or session(settings)
    try:
        with told(settings, connection), connection:
            yield connection
    except BaseException:
        connection.close()
        raise
    _leave(settings, connection)


@contextmanager
def kept() -> Iterator[None]:
    """Inside of it the session of a unit of work that is done serves the next one; at its end all are closed.

    A command has some twenty units, and to begin a session costs the server what several of them do. A unit finds what it
    would in a session of its own: whatever was set, locked or made in another is gone.
    """
    _keeping.append(os.getpid())
    try:
        yield
    finally:
        _keeping.pop()
        if not _keeping:
            _idle.close()


def _of(settings: Settings) -> tuple[object, ...]:
    """What sessions have in common that may serve for one another."""
    return settings.host, settings.port, settings.dbname, settings.user, settings.password, settings.lock_wait


def _leave(settings: Settings, connection: Connection) -> None:
    """Keep a session for the next unit, or end it."""
    if os.getpid() not in _keeping:
        connection.close()
        return
    try:
        connection.set_session('DEFAULT', 'DEFAULT', 'DEFAULT', autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute('discard all')
        connection.autocommit = False
    except psycopg2.Error:  # the unit is done; the next one gets another
        connection.close()
        return
    _idle.leave(_of(settings), connection)


@contextmanager
def told(settings: Settings, connection: Connection) -> Iterator[None]:
    """A unit of work over a session says for whom it waits (``Watch``), and what it is refused.

    Raises:
        LockedError: it has waited for a lock as long as it may.
        LimitError: something is larger than PostgreSQL takes.
        WarehouseError: it lacks room, a right or something else that the next try would lack as well.
    """
    watch = Watch(settings, connection, lambda: session(settings))
    try:
        with watch, ended_by(connection.cancel):  # a signal ends a wait, not the process: it rolls back and says so
            yield
    except psycopg2.errors.LockNotAvailable as error:
        raise watch.gave_up() from error
    except refusals.PERMANENT as error:
        owner = _owner(connection) if isinstance(error, psycopg2.errors.InsufficientPrivilege) else ''
        raise refusals.inside(error, settings, owner) from error


def open_connection(**where: Any) -> Connection:
    """A connection; while the server says that it will soon let us in, it is asked again."""
    for seconds in (*RETRY_SECONDS, None):
        try:
            return psycopg2.connect(connect_timeout=10, **where)
        except psycopg2.OperationalError as error:
            if seconds is None or not any(text in str(error) for text in _PASSING):
                raise
            if seconds > 1:
                logger.warning('PostgreSQL lets nobody in yet (%s); trying again in %s s', refusals.said(error), seconds)
            time.sleep(seconds)
    raise AssertionError  # the last turn returns or raises


def session(settings: Settings) -> Connection:
    """A session of ours, with the settings that loads and refreshes rely on.

    Raises:
        WarehouseError: there is no server, it refuses, or it is older than PostgreSQL 15.
    """
    try:
        connection = open_connection(
            host=settings.host,
            port=settings.port,
            dbname=settings.dbname,
            user=settings.user,
            password=settings.password,
            application_name=session_name(),
            options=f'{_SESSION} -c lock_timeout={settings.lock_wait}s',
        )
    except psycopg2.OperationalError as error:
        refusal = refusals.at_the_door(error, settings)
        if isinstance(refusal, UnreachableError) and (settings.host, settings.port) in REACHED:
            raise  # it was there: on its way back, most likely
        raise refusal from None
    if connection.server_version < MINIMUM_VERSION:
        connection.close()
        raise WarehouseError(f'PostgreSQL {connection.server_version // 10000} is too old: 15 or newer is needed')
    REACHED.add((settings.host, settings.port))
    return connection


def _owner(connection: Connection) -> str:
    """The role that made our tables."""
    connection.rollback()
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'ops'")
        return str((cursor.fetchone() or ['postgres'])[0])
