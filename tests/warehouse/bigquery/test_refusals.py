"""What BigQuery refuses, and what is not there: one line, with what to do."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.cli.main import COMMANDS
from kly_mage.common.errors import UnreachableError, WarehouseError
from kly_mage.common.settings import Settings, load_settings
from kly_mage.warehouse.bigquery import client as client_module
from kly_mage.warehouse.bigquery.client import Client
from tests.delivery import ad, ads, deliver
from tests.gold import Query

NEEDS = {
    **{'backfill': ['--start', '2025-10-01', '--end', '2025-10-01'], 'export': ['gold.csv'], 'forget': ['--user', 'u1']},
    'unload': ['--load', '1'],
}
WITHOUT_WAREHOUSE = {'fetch', 'inspect', 'new-source', 'check-bigquery', 'completion', 'stop'}


@pytest.mark.parametrize('command', sorted(COMMANDS.keys() - WITHOUT_WAREHOUSE))
def test_every_command_works_on_bigquery_or_names_what_does_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('KLY_WAREHOUSE', 'bigquery')
    monkeypatch.delenv('KLY_BIGQUERY_PROJECT', raising=False)
    assert main([command, *NEEDS.get(command, [])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    of_postgres = f'error: {command} is for PostgreSQL (KLY_WAREHOUSE=postgres): '
    assert line.startswith((of_postgres, 'error: KLY_WAREHOUSE=bigquery needs KLY_BIGQUERY_PROJECT'))


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


@pytest.mark.usefixtures('without_tables')
def test_another_transaction_in_the_way_is_waited_for_and_nothing_else(
    settings: Settings,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from google.api_core.exceptions import BadRequest, Forbidden
    from google.cloud.bigquery import Client as Google

    deliver(settings, 'gam_delivery_20251001.csv', ad('top'))
    monkeypatch.setattr(client_module.time, 'sleep', lambda seconds: None)
    asked, ask = list[str](), Google.query
    said = [
        'Could not serialize access to table t due to concurrent update',
        'Transaction is aborted due to concurrent update against table t',
    ]

    def in_the_way(self: Any, text: str, **given: Any) -> Any:
        what = given['job_config'].labels['what']
        asked.append(what)
        if asked.count(what) <= len(said):
            raise BadRequest(said[asked.count(what) - 1])
        return ask(self, text, **given)

    with monkeypatch.context() as patched:
        patched.setattr(Google, 'query', in_the_way)
        assert ads() == 0
    assert {'settings', 'schema', 'load', 'costs', 'refresh'} <= set(asked)
    assert all(asked.count(what) > len(said) for what in asked)
    assert (asked.count('load'), asked.count('refresh')) == (3, 4)  # two marts, and two tries of the first
    assert query('select served_date, content_id, impressions from gold.gam_daily_summary') == [(date(2025, 10, 1), '7', 10)]
    refused = Forbidden('Access Denied: Table p:bronze.gam_delivery: User does not have permission')

    def refuse(self: Any, text: str, **given: Any) -> Any:
        asked.append(given['job_config'].labels['what'])
        if asked[-1] == refusing:
            raise refused
        return ask(self, text, **given)

    monkeypatch.setattr(Google, 'query', refuse)
    capsys.readouterr()
    asked.clear()
    refusing = 'load'
    assert ads() == 1
    assert asked.count('load') == 1
    assert 'roles/bigquery.dataOwner' in capsys.readouterr().err
    # What the jobs of a run that failed have read is written down, too.
    costs = 'select run, load_id is null, jobs > 0 from ops.costs order by finished_at desc limit 1'
    assert query(costs) == [('load gam_delivery', True, True)]
    # A load whose rows are in is done, though nobody can say how its days look beside others.
    refusing = 'status'
    assert ads() == 0
    assert 'gam_delivery 2025-10-01 is loaded; what its days are beside others is not known' in caplog.text


STEPS = [
    ('stage', 'Forbidden', 'Quota exceeded: too many table update operations', 'a quota of the project'),
    ('load', 'BadRequest', 'Query exceeded limit for bytes billed: 10. 20 or higher required.', 'KLY_BIGQUERY_MAX_BYTES'),
    ('load', 'BadRequest', 'Job execution was cancelled: User requested cancellation', 'somebody stopped the job'),
    ('refresh', 'BadRequest', 'Unrecognized name: revenue_usd at [3:5]', 'something was changed or dropped by hand'),
]
REFUSALS = [
    (
        'BadRequest',
        'Query exceeded limit for bytes billed: 10. 20 or higher required.',
        'more bytes than KLY_BIGQUERY_MAX_BYTES',
    ),
    (
        'Forbidden',
        'Quota exceeded: too many table update operations',
        'a quota of the project shop is used up: wait until it is',
    ),
    ('TooManyRequests', 'Exceeded rate limits: too many api requests', 'a quota of the project shop is used up'),
    (
        'NotFound',
        'Not found: Dataset p:bronze was not found in location EU',
        'KLY_BIGQUERY_LOCATION has to name where they are',
    ),
    (
        'BadRequest',
        'Too many partitions produced by query, allowed 4000, query produces at least 4001 partitions',
        'Ask for fewer days at once, with --start and --end',
    ),
    ('BadRequest', 'Cannot read and write in different locations: source: EU, destination: US', 'KLY_BIGQUERY_LOCATION'),
    ('BadRequest', 'Job execution was cancelled: User requested cancellation', 'somebody stopped the job'),
    (
        'Forbidden',
        'Access Denied: Project shop: User does not have bigquery.jobs.create permission',
        'roles/bigquery.jobUser',
    ),
    ('Forbidden', 'Access Denied: User does not have bigquery.datasets.create permission in project', 'roles/bigquery.user'),
    (
        'Forbidden',
        'Access Denied: Table shop:bronze.gam_delivery: Permission bigquery.tables.updateData denied on table',
        'roles/bigquery.dataOwner\\) on the data sets bronze, gold, ops, staging',
    ),
    (
        'Forbidden',
        'Access Denied: Table news:analytics_7.events_20251001: User does not have permission to query table',
        'roles/bigquery.dataViewer\\) on the data set news.analytics_7',
    ),
    ('NotFound', 'Not found: Project shop', 'shop names no project that these credentials see'),
    # A table that lacks in the data set's own region: the same words as of a data set of another one.
    (
        'NotFound',
        'Not found: Table shop:bronze.gam_delivery was not found in location US',
        'something was changed or dropped by hand',
    ),
    ('BadRequest', 'Unrecognized name: revenue_usd at [3:5]', 'something was changed or dropped by hand'),
    ('BadRequest', 'Value of type STRING cannot be inserted into column clicks, which has type INT64', 'by hand'),
    (
        'Forbidden',
        'Billing has not been enabled for this project. DML queries are not allowed in the free tier.',
        'link one',
    ),
    ('Forbidden', 'BigQuery API has not been used in project 1 before or it is disabled.', 'enable the BigQuery API'),
    ('ServiceUnavailable', 'The service is currently unavailable', 'look at the network of this machine, and try it again'),
    ('BadRequest', 'Something new', 'BigQuery refuses: Something new'),
]


def refuse_at(step: str, error: Exception, patched: pytest.MonkeyPatch) -> None:
    """Have Google refuse the jobs of a step, and no others."""
    from google.cloud.bigquery import Client as Google

    ask, stage = Google.query, Google.load_table_from_file

    def asking(self: Any, text: str, **given: Any) -> Any:
        if given['job_config'].labels['what'] == step:
            raise error
        return ask(self, text, **given)

    def staging(self: Any, *places: Any, **given: Any) -> Any:
        if step == 'stage':
            raise error
        return stage(self, *places, **given)

    patched.setattr(Google, 'query', asking)
    patched.setattr(Google, 'load_table_from_file', staging)


def test_a_refusal_at_any_step_leaves_nothing_half_loaded_and_the_next_run_loads_it(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from google.api_core import exceptions

    deliver(settings, 'gam_delivery_20251001.csv', ad('top'), ad('side', 'x'))
    bronze = ('gam_delivery', 'gam_delivery_hashrow', 'gam_delivery_conflicts', 'rejects')
    held = ' + '.join(f'(select count(*) from bronze.{name})' for name in bronze)
    for step, kind, said, remedy in STEPS:
        with monkeypatch.context() as patched:
            refuse_at(step, getattr(exceptions, kind)(said), patched)
            capsys.readouterr()
            assert ads('2025-10-01', None, '--quiet') == 1
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith('error: '))
        assert remedy in line
        assert query(f'select {held}') == [(3 if step == 'refresh' else 0,)]  # a row, its hash, a reject
        assert query('select count(*) from gold.gam_daily_summary') == [(0,)]
    assert Client(settings).tables('staging') == []
    assert ads() == 3
    assert query('select impressions from gold.gam_daily_summary') == [(10,)]
    assert query(f'select {held}') == [(3,)]
    query('drop table bronze.gam_delivery_conflicts')
    capsys.readouterr()
    assert ads('2025-10-01', None, '--reread', '--quiet') == 1
    assert 'something was changed or dropped by hand; put it back' in capsys.readouterr().err


@pytest.mark.parametrize(('kind', 'said', 'remedy'), REFUSALS, ids=lambda value: value[:30])
def test_a_refusal_names_its_remedy_in_one_line(
    client: Client, kind: str, said: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.api_core import exceptions
    from google.cloud.bigquery import Client as Google

    def refuse(self: Any, text: str, **given: Any) -> Any:
        raise getattr(exceptions, kind)(f'{said}\nLocation: US\nJob ID: 7')

    monkeypatch.setattr(Google, 'query', refuse)
    with pytest.raises(WarehouseError, match=remedy) as refused:
        client.run('select 1', what='test')
    assert '\n' not in str(refused.value)
    assert said[:20] in str(refused.value)
    assert 'Job ID' not in str(refused.value)


def test_secrets_of_an_answer_are_not_printed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.exceptions import RefreshError
    from google.cloud.bigquery import Client as Google

    monkeypatch.setenv('KLY_ALERT_WEBHOOK', 'https://hooks.example/s3cr3t')

    def refuse(self: Any, text: str, **given: Any) -> Any:
        raise RefreshError('invalid_grant: access_token=ya29.abcdef https://hooks.example/s3cr3t \x1b[31m')

    monkeypatch.setattr(Google, 'query', refuse)
    with pytest.raises(WarehouseError, match='Google refuses the credentials') as refused:
        client.run('select 1', what='test')
    for secret in ('ya29', 's3cr3t', '\x1b'):
        assert secret not in str(refused.value)


def test_no_network_is_no_fault_of_the_call(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.api_core.exceptions import RetryError
    from google.cloud.bigquery import Client as Google
    from requests.exceptions import ConnectionError as NoConnectionError

    for error in (NoConnectionError('refused'), RetryError('Timeout of 60.0s exceeded', None)):

        def refuse(self: Any, text: str, error: Exception = error, **given: Any) -> Any:
            raise error

        monkeypatch.setattr(Google, 'query', refuse)
        with pytest.raises(UnreachableError, match='BigQuery does not answer'):
            client.run('select 1', what='test')


def test_a_transaction_that_is_always_in_the_way_passes_later(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.api_core.exceptions import BadRequest
    from google.cloud.bigquery import Client as Google

    asked = list[str]()

    def refuse(self: Any, text: str, **given: Any) -> Any:
        asked.append(text)
        raise BadRequest('Transaction is aborted due to concurrent update against table t')

    monkeypatch.setattr(client_module.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(Google, 'query', refuse)
    with pytest.raises(UnreachableError, match=r'were in the way at each try .*: run it again when they are done'):
        client.run('select 1', what='test')
    assert len(asked) == client_module.TRIES


def test_missing_credentials_are_said_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('BIGQUERY_EMULATOR_HOST', raising=False)
    monkeypatch.setenv('GOOGLE_APPLICATION_CREDENTIALS', '/no/key.json')
    with pytest.raises(WarehouseError, match='no credentials for Google Cloud: run `gcloud auth'):
        Client(replace(load_settings(), bigquery_project='shop'))
