"""Fixtures for tests that run on both warehouses: a module that imports them all has each of its tests twice."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.settings import Settings
from tests import conftest as of_postgres
from tests.googlesql import analyzer
from tests.warehouse.bigquery import conftest as of_bigquery
from tests.warehouse.bigquery.conftest import address

__all__ = ['address', 'only_googlesql', 'query', 'settings']


@pytest.fixture(scope='module', autouse=True)
def only_googlesql() -> Iterator[None]:
    """Whatever the tests of a module have sent to BigQuery passes GoogleSQL's own analyzer, types included."""
    from kly_mage.warehouse.bigquery.client import Client

    run, load = Client.run, Client.load
    sent: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}  # of each statement once with values of some types

    def running(self: Client, text: str, values: dict[str, Any] | None = None, *, what: str, **given: Any) -> Any:
        if what != 'test' and '`analytics_' not in text:  # tables of an export are nested: see test_ga4_select.py
            kinds = (f'{name} {type(value).__name__}' for name, value in (values or {}).items())
            sent.setdefault((text, *kinds), (text, values or {}))
        return run(self, text, values, what=what, **given)

    def loading(self: Client, path: Path, table: str, columns: Sequence[tuple[str, str]], name: str) -> None:
        made = f'create table {table} ({", ".join(f"{column} {kind}" for column, kind in columns)})'
        sent[made,] = made, {}
        load(self, path, table, columns, name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Client, 'run', running)
        patched.setattr(Client, 'load', loading)
        yield
    if sent:
        from kly_mage.warehouse.bigquery.schema import everything

        made = everything('US', 'Asia/Jakarta')
        with analyzer(made) as googlesql:
            assert googlesql.refusals(made) == []  # which adds its views
            refused = [each for text, values in sent.values() for each in googlesql.refusals(text, values)]
        assert refused == [], refused


@pytest.fixture(params=[pytest.param('postgres', marks=pytest.mark.database), 'bigquery'])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The project's settings with an empty warehouse and an empty landing zone of this test's own."""
    if request.param == 'postgres':
        with of_postgres.on_postgres(request.getfixturevalue('postgres'), tmp_path, monkeypatch) as found:
            yield found
    else:
        yield of_postgres.chosen(tmp_path, monkeypatch, of_bigquery.project(request.getfixturevalue('address')))


@pytest.fixture
def query(settings: Settings) -> Callable[[str], list[tuple[Any, ...]]]:
    """Run one statement; gives its rows."""
    return partial((of_bigquery if settings.warehouse == 'bigquery' else of_postgres).ask, settings)
