"""What a page asks ends, whichever warehouse is asked."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.warehouse import patience
from kly_mage.warehouse.choice import warehouse
from tests.warehouse.both import *  # noqa: F403 -- fixtures

# Ten milliards of pairs: minutes of work.
LONG = {
    'postgres': 'select count(*) as pairs from generate_series(1, 100000) as one, generate_series(1, 100000) as two'
    ' where (one + two) %% 7 = 0',
    'bigquery': 'select count(*) as pairs from unnest(generate_array(1, 100000)) as one,'
    ' unnest(generate_array(1, 100000)) as two where mod(one * two, 7) = 0',
}


def test_a_question_that_takes_too_long_is_given_up_in_words_and_is_not_left_at_work(
    settings: Settings, query: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = import_module(f'kly_mage.warehouse.{settings.warehouse}.reading')
    query('select 1')  # a project of the emulator is there once something is asked of it
    reader = warehouse(settings).reader()
    if settings.warehouse == 'bigquery':
        reader.query('reach', {})  # looks whether the tables are there: what is left of the time might be too short to ask
    monkeypatch.setattr(reading, 'query', lambda name: LONG[settings.warehouse])
    monkeypatch.setattr(patience, 'SECONDS', 4)  # the stand-in has the first request wait for a second
    start = time.monotonic()
    with pytest.raises(WarehouseError) as told:
        reader.query('reach', {})
    assert str(told.value) == 'given up after 4 s: choose fewer days'
    assert 4 <= time.monotonic() - start < 20
    until = time.monotonic() + 20  # who gives up need not wait until BigQuery has stopped the job
    while (left := at_work(settings, query)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def at_work(settings: Settings, query: Callable[[str], Any]) -> Any:
    """What the warehouse is asked for just now."""
    if settings.warehouse == 'bigquery':
        from kly_mage.warehouse.bigquery.client import Client

        return Client(settings).names_at_work()
    return query("select pid from pg_stat_activity where state = 'active' and query like 'select count(*) as pairs%'")
