"""A warehouse of BigQuery for every test that asks for one: an emulator per session, a project of its own per test."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.bigquery.client import Client
from tests.conftest import chosen


@pytest.fixture(scope='session')
def address(stand_in: str) -> str:
    """Of the emulator; ``storage`` is that of the Storage Read API."""
    return stand_in


@pytest.fixture
def without_tables() -> None:
    """For a test that looks at how tables are made: ``settings`` names a project without any."""


@pytest.fixture
def settings(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Settings:
    """The project's settings with a project of BigQuery without rows and an empty landing zone of this test's own."""
    name = f'empty-{uuid.uuid4().hex[:12]}' if 'without_tables' in request.fixturenames else None
    return chosen(tmp_path, monkeypatch, project(address, name))


@pytest.fixture
def query(settings: Settings) -> Callable[[str], list[tuple[Any, ...]]]:
    """Run one statement; gives its rows."""
    return partial(ask, settings)


def project(address: str, name: str | None = None) -> dict[str, str]:
    """The variables that name a project of the emulator: a new one, that has all tables; or an empty one of this name."""
    name = name or f'test-{uuid.uuid4().hex[:12]}'
    return {'KLY_WAREHOUSE': 'bigquery', 'KLY_BIGQUERY_PROJECT': name, 'BIGQUERY_EMULATOR_HOST': address}


def ask(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement in BigQuery."""
    from kly_mage.warehouse.bigquery.engine import BigQuery

    return [tuple(row.values()) for row in BigQuery(settings).client.run(statement, what='test')]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Of a project of which nothing is asked."""
    monkeypatch.setenv('BIGQUERY_EMULATOR_HOST', 'http://127.0.0.1:1')
    return Client(replace(load_settings(), bigquery_project='shop', ga4_dataset='news.analytics_7'))
