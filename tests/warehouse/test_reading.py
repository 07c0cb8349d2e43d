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
    monkeypatch.setattr(reading, 'query', lambda name: LONG[settings.warehouse])
    query('select 1')  # a project of the emulator is there once something is asked of it
    reader = warehouse(settings).reader()
    monkeypatch.setattr(patience, 'SECONDS', 2)
    start = time.monotonic()
    with pytest.raises(WarehouseError) as told:
        reader.query('reach', {})
    import traceback

    traceback.print_exception(told.value.__cause__, limit=-6)
    assert str(told.value) == 'given up after 2 s: choose fewer days'
    assert 2 <= time.monotonic() - start < 10
    assert at_work(settings, query) == []


def at_work(settings: Settings, query: Callable[[str], Any]) -> Any:
    """What the warehouse is asked for just now."""
    if settings.warehouse == 'bigquery':
        from kly_mage.warehouse.bigquery.client import Client

        return Client(settings).names_at_work()
    return query("select pid from pg_stat_activity where state = 'active' and query like 'select count(*) as pairs%'")
