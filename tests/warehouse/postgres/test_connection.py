"""Sessions that serve one unit of work after another."""

import psycopg2
import pytest

from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.connection import connect, kept, session


def _backend(settings: Settings) -> int:
    with connect(settings) as connection:
        return connection.info.backend_pid


def test_a_session_serves_the_next_unit_only_where_sessions_are_kept(settings: Settings) -> None:
    with kept():
        assert _backend(settings) == _backend(settings)
    assert _backend(settings) != _backend(settings)


def test_at_the_end_no_kept_session_is_left(settings: Settings) -> None:
    with kept():
        with connect(settings) as one, connect(settings) as other:
            both = [one, other]
            assert one.info.backend_pid != other.info.backend_pid
        assert [session.closed for session in both] == [0, 0]
    assert [session.closed for session in both] == [1, 1]


def test_a_unit_finds_nothing_of_the_one_before(settings: Settings) -> None:
    state = "select current_setting('work_mem'), current_setting('lock_timeout'), to_regclass('pg_temp.mine') is null"
    held = "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'"
    with kept():
        with connect(settings) as connection, connection.cursor() as cursor:
            first = connection.info.backend_pid
            cursor.execute(state)
            at_first = cursor.fetchone()
            cursor.execute("set work_mem = '1MB'; set lock_timeout = 7; create temp table mine (a int)")
            cursor.execute('select pg_advisory_lock(7)')
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(state)
            assert (connection.info.backend_pid, cursor.fetchone()) == (first, at_first)
            cursor.execute(held)
            assert cursor.fetchone() == (0,)


def test_a_unit_may_write_after_one_that_only_read(settings: Settings) -> None:
    with kept():
        with connect(settings) as connection:
            connection.set_session(isolation_level='SERIALIZABLE', readonly=True)
            connection.cursor().execute('select 1')
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute('show transaction_isolation')
            assert cursor.fetchone() == ('read committed',)
            cursor.execute('create table public.written (a int)')


def _fail(settings: Settings, backends: list[int]) -> None:
    with connect(settings) as connection:
        backends.append(connection.info.backend_pid)
        connection.cursor().execute('select 1 / 0')


def test_a_session_that_failed_serves_nobody(settings: Settings) -> None:
    failed: list[int] = []
    with kept():
        with pytest.raises(psycopg2.errors.DivisionByZero):
            _fail(settings, failed)
        assert _backend(settings) not in failed


def test_a_session_that_the_server_has_ended_serves_nobody(settings: Settings) -> None:
    with kept():
        ended = _backend(settings)
        with session(settings) as other:
            other.cursor().execute('select pg_terminate_backend(%s, 5000)', [ended])
        other.close()
        assert _backend(settings) != ended
