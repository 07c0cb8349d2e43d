"""A failed block in one line: what it says, where it goes, what it never tells."""

import logging
from typing import Any

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.mage import alerts
from tests.mage.server import Webhook


def failure(error: BaseException) -> dict[str, Any]:
    """What Mage gives the callback."""
    return {
        'pipeline_uuid': 'ads_revenue',
        'parent_block_uuid': 'load_gam_delivery',
        'ds': '2025-10-05',
        'pipeline_run_id': 7,
        'trigger_name': 'daily',
        'retry': {'attempts': 4},
        '__error': error,
    }


def test_the_line_says_what_when_why_and_what_to_do() -> None:
    line = alerts.message(failure(LandingError('no column revenue_usd in gam.csv\nand more')))
    assert line == (
        'ads_revenue: block load_gam_delivery failed after 4 attempts for the run of 2025-10-05 (daily), run 7: '
        'LandingError: no column revenue_usd in gam.csv. Nothing half-done was kept. '
        'Repair the cause, then retry the run in Mage (Runs, Retry incomplete blocks)'
    )


def test_it_is_logged_and_posted(alerted: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        line = alerts.report(failure(LandingError('gone')))
    assert line in caplog.text
    assert alerted.posts == [{'text': line, 'pipeline': 'ads_revenue', 'block': 'load_gam_delivery', 'pipeline_run': 7}]


@pytest.mark.parametrize(
    'text',
    [
        'connection to postgresql://kly:geheim99@db:5432/kly failed',
        "connect(host='db', password='geheim99')",
        'password=geheim99 is wrong',
        'the server said geheim99',
        'FATAL: geheim%2F99',
    ],
)
def test_a_secret_is_never_told(alerted: Webhook, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv('POSTGRES_PASSWORD', 'geheim99')
    monkeypatch.setenv('SOME_TOKEN', 'geheim%2F99')
    line = alerts.report(failure(RuntimeError(text)))
    assert 'geheim' not in line
    assert 'geheim99' not in str(alerted.posts)


def test_a_webhook_that_does_not_answer_fails_nothing_and_is_not_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(alerts.WEBHOOK, 'http://127.0.0.1:9/services/geheim')
    alerts.report(failure(RuntimeError('x')))
    assert 'could not be posted' in caplog.text
    assert 'services/geheim' not in caplog.text


def test_the_logger_of_a_run_is_told_which_block_and_the_plain_one_of_the_editor_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class RunLogger:
        said: tuple[str, dict[str, str]] | None = None

        def error(self, line: str, **tags: str) -> None:
            self.said = (line, tags)

    of_run = RunLogger()
    line = alerts.report({**failure(RuntimeError('x')), 'logger': of_run})
    assert of_run.said == (line, {'block_uuid': 'load_gam_delivery'})
    assert alerts.report({**failure(RuntimeError('in_the_editor')), 'logger': logging.getLogger('x')}) in caplog.text


def test_a_block_tried_in_the_editor_calls_nobody(alerted: Webhook) -> None:
    alerts.report({**failure(RuntimeError('x')), 'env': 'dev'})
    assert alerted.posts == []


def loaded(*look: str) -> dict[str, Any]:
    return {'source': 'gam_delivery', 'line': f'gam_delivery 2025-10-05: 4 read; {look}', 'look': list(look)}


RUN = {'pipeline_uuid': 'ads_revenue', 'block_uuid': 'export_gam_delivery', 'trigger_name': 'daily', 'pipeline_run_id': 7}


def test_a_green_run_that_needs_a_look_is_posted_and_one_that_needs_none_is_not(alerted: Webhook) -> None:
    load = loaded('rows cannot be used')
    assert alerts.tell(load, RUN) is load  # it stays the block's output
    text = f'ads_revenue: run 7 (daily) has loaded {load["line"]}'
    assert alerted.posts == [{'text': text, 'pipeline': 'ads_revenue', 'block': 'export_gam_delivery', 'pipeline_run': 7}]
    alerts.tell(loaded(), RUN)
    alerts.tell(load, {**RUN, 'pipeline_run_id': None, 'env': 'dev'})  # played in the editor
    assert len(alerted.posts) == 1


def test_the_line_goes_to_the_log_of_a_run_and_in_the_editor_below_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    class RunLogger:
        def __init__(self) -> None:
            self.said: list[tuple[str, str, dict[str, str]]] = []

        def info(self, line: str, **tags: str) -> None:
            self.said.append(('info', line, tags))

        def warning(self, line: str, **tags: str) -> None:
            self.said.append(('warning', line, tags))

    of_run, tags = RunLogger(), {'block_uuid': 'export_gam_delivery'}
    well, ill = loaded(), loaded('rows cannot be used')
    for load in (well, ill):
        alerts.tell(load, RUN | {'logger': of_run})
    assert of_run.said == [('info', well['line'], tags), ('warning', ill['line'], tags)]
    assert capsys.readouterr().out == ''
    alerts.tell(well, {'block_uuid': 'export_gam_delivery', 'env': 'dev'})
    assert capsys.readouterr().out == f'{well["line"]}\n'


def test_on_the_command_line_the_block_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It adds up the loads of all sources itself."""
    alerts.tell({'source': 'gam_delivery', 'rows_read': 4}, {'started_by': 'command line'})
    assert capsys.readouterr() == ('', '')
