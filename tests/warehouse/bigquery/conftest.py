"""A warehouse of BigQuery for every test that asks for one: an emulator per module, a project of its own per test."""

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.bigquery.client import Client
from tests.bigquery_emulator import client_folder, emulator


@pytest.fixture(scope='module')
def address() -> Iterator[str]:
    try:
        import google.cloud.bigquery  # noqa: F401
    except ImportError:
        sys.path.append(str(client_folder()))
    with emulator() as found:
        yield found


@pytest.fixture
def settings(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The project's settings with an empty project of BigQuery and an empty landing zone of this test's own."""
    landing = tmp_path / 'landing'
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        (landing / source).mkdir(parents=True)
    environment = {
        'KLY_WAREHOUSE': 'bigquery',
        'KLY_BIGQUERY_PROJECT': f'test-{uuid.uuid4().hex[:12]}',
        'BIGQUERY_EMULATOR_HOST': address,
        'KLY_DATA_DIR': str(landing),
        'KLY_TIMEZONE': 'Asia/Jakarta',
        'KLY_LOCAL_DIR': str(tmp_path / 'local'),
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv('KLY_LATE_DAYS', raising=False)
    return load_settings()


@pytest.fixture
def query(settings: Settings) -> Callable[[str], list[tuple[Any, ...]]]:
    """Run one statement; gives its rows."""
    from kly_mage.warehouse.bigquery.engine import BigQuery

    warehouse = BigQuery(settings)
    return lambda text: [tuple(row.values()) for row in warehouse.client.run(text, what='test')]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Of a project of which nothing is asked."""
    monkeypatch.setenv('BIGQUERY_EMULATOR_HOST', 'http://127.0.0.1:1')
    return Client(replace(load_settings(), bigquery_project='shop', ga4_dataset='news.analytics_7'))
