"""Jobs have names: one whose answer was lost is found again, and one that nobody waits for any more is stopped."""

from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound
from google.cloud.bigquery import Client as Google

from kly_mage.warehouse.bigquery import client as client_module
from kly_mage.warehouse.bigquery.client import Client


class Job:
    """A job as Google's library gives it; it has read nothing.

    Args:
        ending: what waiting for it raises; nothing if it gives a row.
        looks: how often it is still at work when somebody looks.
    """

    job_id = 'kly_mage_load_x_7_1'

    def __init__(self, ending: BaseException | None = None, looks: int = 0) -> None:
        self.ending, self.looks = ending, looks

    def result(self, **given: Any) -> list[dict[str, int]]:
        if self.ending:
            raise self.ending
        return [{'one': 1}]

    def done(self, timeout: float) -> bool:
        self.looks -= 1
        return self.looks < 0


def staged(client: Client, folder: Path) -> None:
    (folder / 'rows').write_bytes(b'')
    client.load(folder / 'rows', 'staging.x_7', [('a', 'string')], 'stage_x_7')


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of Google, and of which job; nobody sleeps."""
    monkeypatch.setattr(client_module.time, 'sleep', lambda seconds: None)
    return []


def answer(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]], **answers: Any) -> None:
    """Have Google answer so; lists from the front, an error is raised."""

    def told(method: str) -> Any:
        def call(self: Any, *given: Any, job_id: str = '', **further: Any) -> Any:
            asked.append((method, job_id or given[0]))
            found = answers[method].pop(0) if isinstance(answers[method], list) else answers[method]
            if isinstance(found, BaseException):
                raise found
            return found

        return call

    for method in answers:
        monkeypatch.setattr(Google, method, told(method))


def test_a_job_whose_answer_was_lost_is_found_by_its_name(
    client: Client, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = Conflict('Already Exists: Job shop:US.kly_mage_load_x_7_1')
    answer(monkeypatch, asked, query=there, load_table_from_file=there, get_job=Job())
    assert client.run('select 1', what='load', name='x_7') == [{'one': 1}]
    staged(client, tmp_path)
    assert asked == [
        ('query', 'kly_mage_load_x_7_1'),
        ('get_job', 'kly_mage_load_x_7_1'),
        ('load_table_from_file', 'kly_mage_stage_x_7'),
        ('get_job', 'kly_mage_stage_x_7'),
    ]


def test_each_try_has_a_name_of_its_own(
    client: Client, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = Job(BadRequest('Transaction is aborted due to concurrent update against table t'))
    answer(monkeypatch, asked, query=[in_the_way, in_the_way, Job()])
    assert client.run('select 1', what='load', name='x_7') == [{'one': 1}]
    assert [name for _, name in asked] == [f'kly_mage_load_x_7_{attempt}' for attempt in (1, 2, 3)]


def test_who_is_interrupted_stops_the_job_and_waits_until_it_has_ended(
    client: Client, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, stopping = Job(KeyboardInterrupt()), Job(looks=2)
    answer(monkeypatch, asked, query=begun, load_table_from_file=begun, cancel_job=stopping)
    with pytest.raises(KeyboardInterrupt):
        client.run('select 1', what='load', name='x_7')
    assert asked == [('query', 'kly_mage_load_x_7_1'), ('cancel_job', 'kly_mage_load_x_7_1')]
    assert stopping.looks == -1  # at work, at work, ended
    with pytest.raises(KeyboardInterrupt):
        staged(client, tmp_path)
    assert asked[2:] == [('load_table_from_file', 'kly_mage_stage_x_7'), ('cancel_job', 'kly_mage_stage_x_7')]


@pytest.mark.parametrize(
    ('refusal', 'warned'),
    [
        (NotFound('Not found: Job shop:US.kly_mage_load_x_7_1'), ''),  # interrupted before it was asked for
        (Forbidden('Access Denied'), 'the job kly_mage_load_x_7_1 could not be stopped (403 Access Denied)'),
    ],
)
def test_what_cannot_be_stopped_does_not_hide_the_interruption(
    client: Client,
    asked: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusal: Exception,
    warned: str,
) -> None:
    answer(monkeypatch, asked, query=KeyboardInterrupt(), cancel_job=refusal)
    with pytest.raises(KeyboardInterrupt):
        client.run('select 1', what='load', name='x_7')
    assert warned in caplog.text
    assert bool(warned) == bool(caplog.text)
