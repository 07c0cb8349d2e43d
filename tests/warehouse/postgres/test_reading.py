"""Whoever only reads can change nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from kly_mage.common.errors import LOAD, NotBuiltError, WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.reading import READER, ask, ensure_reader, query, reading


def test_a_session_that_reads_has_a_role_that_may_not_write_even_if_it_says_that_it_writes(settings: Settings) -> None:
    with reading(settings) as connection, connection.cursor() as cursor:
        cursor.execute('select current_user, current_setting(%s)', ('transaction_read_only',))
        assert cursor.fetchone() == (READER, 'on')
    with pytest.raises(WarehouseError, match='read-only'):
        ask(settings, "insert into ops.settings values ('x', 'y')", {})
    with pytest.raises(WarehouseError, match='permission denied'):
        ask(settings, "set transaction read write; insert into ops.settings values ('x', 'y')", {})


def test_tables_made_later_can_be_read(settings: Settings) -> None:
    ensure_reader(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('create table gold.made_later as select 1 as number')
    assert ask(settings, 'select number from gold.made_later', {}).rows == [(1,)]


def test_a_query_before_the_first_load_says_that_nothing_is_built(settings: Settings) -> None:
    with pytest.raises(NotBuiltError, match=LOAD):
        ask(settings, query('reach'), {})


def test_a_cast_is_no_value() -> None:
    text = query('articles')
    assert '%(start)s' in text
    assert '::bigint' in text
    assert ':start' not in text.replace('%(start)s', '')


def test_a_session_serves_one_query_after_another_and_a_new_one_the_next_where_the_server_has_ended_it(
    settings: Settings,
) -> None:
    def asked() -> int:
        return int(ask(settings, 'select pg_backend_pid()', {}).rows[0][0])

    first = asked()
    assert asked() == first
    with connect(settings) as other, other.cursor() as cursor:
        cursor.execute('select pg_terminate_backend(%s, 5000)', (first,))
    assert asked() != first


def test_a_session_is_kept_however_many_idle_ones_of_others_are_there(settings: Settings) -> None:
    for n in range(6):
        ask(replace(settings, local_dir=Path(f'/nowhere/{n}')), 'select 1', {})
    ((first,),) = ask(settings, 'select pg_backend_pid()', {}).rows
    assert ask(settings, 'select pg_backend_pid()', {}).rows == [(first,)]
