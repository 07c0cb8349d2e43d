"""What BigQuery refuses, and what is not there: one line, with what to do."""

from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.errors import UsageError, WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.warehouse.bigquery import client as client_module
from kly_mage.warehouse.bigquery.client import Client
from tests.delivery import ad, ads, deliver


@pytest.mark.parametrize('command', ['verify', 'status', 'reconcile', 'editor', 'psql'])
def test_a_command_that_is_not_there_yet_names_postgresql(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('KLY_WAREHOUSE', 'bigquery')
    assert main([command]) == 2
    assert f'{command} works on PostgreSQL (KLY_WAREHOUSE=postgres), not on BigQuery yet' in capsys.readouterr().err


def test_fetch_needs_no_warehouse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv('KLY_WAREHOUSE', 'bigquery')
    monkeypatch.delenv('KLY_GA4_DATASET', raising=False)
    assert main(['fetch', 'ga4', '--start', '2025-10-01', '--end', '2025-10-01']) == 2
    assert 'KLY_GA4_DATASET' in capsys.readouterr().err


def test_a_warehouse_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv('KLY_WAREHOUSE', 'bigquerry')
    assert main(['show']) == 2
    assert "KLY_WAREHOUSE='bigquerry' is neither postgres nor bigquery" in capsys.readouterr().err


def test_no_project_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv('KLY_WAREHOUSE', 'bigquery')
    monkeypatch.delenv('KLY_BIGQUERY_PROJECT', raising=False)
    assert main(['show']) == 2
    assert 'needs KLY_BIGQUERY_PROJECT' in capsys.readouterr().err


def test_whole_days_of_an_export_are_refused_before_anything_is_written(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = deliver(settings, 'ga4_events_20251001.csv', '2025-10-01T12:00:00+07:00,page_view,u,1,7')
    path.rename(path.with_name('events_20251001.csv'))
    assert main(['backfill', '--start', '2025-10-01', '--end', '2025-10-01', '--pipeline', 'articles_performance']) == 2
    assert 'whole days that correct each other are not loaded into BigQuery yet' in capsys.readouterr().err


def test_another_transaction_in_the_way_is_waited_for_and_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from google.api_core.exceptions import BadRequest, Forbidden
    from google.cloud.bigquery import Client as Google

    deliver(settings, 'gam_delivery_20251001.csv', ad('top'))
    monkeypatch.setattr(client_module.time, 'sleep', lambda seconds: None)
    asked, ask = list[str](), Google.query
    refusals: dict[str, list[Exception]] = {
        'load': [
            BadRequest('Transaction is aborted due to concurrent update against table t'),
            BadRequest('Could not serialize access to table t due to concurrent update'),
        ],
        'refresh': [BadRequest('Transaction is aborted due to concurrent update against table t')],
    }

    def query(self: Any, text: str, **given: Any) -> Any:
        what = given['job_config'].labels['what']
        asked.append(what)
        if refusals.get(what):
            raise refusals[what].pop(0)
        return ask(self, text, **given)

    monkeypatch.setattr(Google, 'query', query)
    assert ads() == 0
    assert (asked.count('load'), asked.count('refresh')) == (3, 3)  # two of two marts, and one again
    capsys.readouterr()
    asked.clear()
    refusals['load'] = [Forbidden('Access Denied: Table p:bronze.gam_delivery: User does not have permission')]
    assert ads() == 1
    assert asked.count('load') == 1
    assert 'roles/bigquery.jobUser' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('said', 'remedy'),
    [
        ('Query exceeded limit for bytes billed: 10. 20 or higher required.', 'KLY_BIGQUERY_MAX_BYTES'),
        ('Quota exceeded: too many table update operations', 'wait until the quota is free'),
        ('Not found: Dataset p:bronze was not found in location EU', 'KLY_BIGQUERY_LOCATION'),
        ('Job execution was cancelled: User requested cancellation', 'somebody stopped the job'),
    ],
)
def test_a_refusal_names_its_remedy(settings: Settings, said: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.api_core.exceptions import BadRequest
    from google.cloud.bigquery import Client as Google

    def refuse(self: Any, text: str, **given: Any) -> Any:
        raise BadRequest(said)

    monkeypatch.setattr(Google, 'query', refuse)
    with pytest.raises(WarehouseError, match=remedy) as refused:
        Client(settings).run('select 1', what='test')
    assert '\n' not in str(refused.value)


def test_days_that_wait_are_not_guessed(settings: Settings) -> None:
    from kly_mage.warehouse.bigquery.engine import BigQuery

    with pytest.raises(UsageError, match='--start and --end'):
        BigQuery(settings).first_waiting(None, [], None)  # type: ignore[arg-type]
