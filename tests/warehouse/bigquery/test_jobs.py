"""Jobs have names: one whose answer was lost is found again, and one that nobody waits for any more is stopped."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound
from google.cloud.bigquery import Client as Google

from kly_mage.common.errors import UnreachableError, WarehouseError
from kly_mage.warehouse.bigquery import client as client_module
from kly_mage.warehouse.bigquery import deadline as deadline_module
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

    def done(self, **given: Any) -> bool:
        self.looks -= 1
        return self.looks < 0


class Stopped(Job):
    """A job that has ended when somebody looks."""

    def __init__(self) -> None:
        super().__init__()
        self.was_looked_at = Event()

    def done(self, **given: Any) -> bool:
        self.was_looked_at.set()
        return True


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of deadlines, which goes on where somebody sleeps."""

    def sleep(seconds: float) -> None:
        found.now += seconds

    found = SimpleNamespace(now=100.0, sleep=sleep, monotonic=lambda: found.now)
    monkeypatch.setattr(deadline_module, 'time', found)
    return found


@pytest.mark.parametrize(
    ('chance', 'tries'),
    [
        (0, 6),  # the shortest pauses: half of 1, 2, 4, ... seconds
        (9, 5),  # the longest
        (29.95 / 31, 6),  # a twentieth of a second is left for the last
        (29.9999 / 31, 6),  # less than a job can be told
    ],
)
def test_a_question_counts_its_pauses_and_says_to_bigquery_how_much_time_is_left(
    client: Client, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, chance: float, tries: int
) -> None:
    sent: list[tuple[float, dict[str, Any]]] = []

    def query(self: Any, text: str, *, job_config: Any, **given: Any) -> Job:
        sent.append((clock.now, given | {'job': job_config.job_timeout_ms}))
        return Job(BadRequest('Transaction is aborted due to concurrent update against table t'))

    monkeypatch.setattr(Google, 'query', query)
    monkeypatch.setattr(client_module, 'random', SimpleNamespace(uniform=lambda least, most: min(max(chance, least), most)))
    with pytest.raises(WarehouseError, match=r'^given up after 30 s: choose fewer days$'):
        client.within(30).run('select 1', what='dashboard')
    assert clock.now == 130
    assert len(sent) == tries
    for now, given in sent:
        assert given['job'] == str(max(1, int(1000 * (130 - now))))
        assert given['timeout'] == given['retry'].timeout == max(0.1, 130 - now)
    sent.clear()
    with pytest.raises(WarehouseError, match='in the way at each try'):
        client.run('select 1', what='load')
    assert len(sent) == client_module.TRIES
    assert all(given['job'] is None and 'retry' not in given for _, given in sent)  # a command takes as long as it takes


def test_a_question_that_nobody_answers_says_so_in_its_time_and_stops_what_may_be_at_work(
    client: Client, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens where the fixture leads: Google's library tries it for ten minutes."""
    stopped = Stopped()
    answer(monkeypatch, asked, cancel_job=stopped)
    with pytest.raises(UnreachableError, match='BigQuery does not answer'):
        client.within(0.5).has('ops.settings')
    with pytest.raises(UnreachableError, match='BigQuery does not answer'):
        client.within(1).run('select 1', what='dashboard', name='x')
    assert stopped.was_looked_at.wait(60)
    assert asked == [('cancel_job', 'kly_mage_dashboard_x_1')]


def test_a_job_that_works_on_although_it_was_stopped_is_not_waited_for(
    client: Client, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Stopped()
    answer(monkeypatch, asked, query=Job(TimeoutError()), cancel_job=stopped)
    with pytest.raises(WarehouseError, match='given up after 30 s'):
        client.within(1).run('select 1', what='dashboard', name='x')
    assert stopped.was_looked_at.wait(60)
    assert asked == [('query', 'kly_mage_dashboard_x_1'), ('cancel_job', 'kly_mage_dashboard_x_1')]


def test_rows_that_come_too_slowly_are_given_up(
    client: Client, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rows(list[dict[str, int]]):
        schema = ()

        def __iter__(self) -> Iterator[dict[str, int]]:
            for row in range(4):
                clock.now += 10
                yield {'row': row}

    class Slow(Job):
        def result(self, **given: Any) -> Rows:
            return Rows()

    monkeypatch.setattr(Google, 'query', lambda *given, **further: Slow())
    _, rows = client.within(30).stream('select 1', what='dashboard')
    assert [next(rows), next(rows)] == [{'row': 0}, {'row': 1}]
    with pytest.raises(WarehouseError, match='given up after 30 s'):
        next(rows)
    with pytest.raises(WarehouseError, match='given up after 30 s'):
        client.within(30).run('select 1', what='dashboard')
    assert len(client.run('select 1', what='load')) == 4


def test_who_interrupts_does_not_wait_for_a_bigquery_that_is_gone(
    client: Client, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, 'STOP_SECONDS', 0.2)
    answer(monkeypatch, asked, query=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        client.run('select 1', what='load', name='x_7')
    assert 'the job kly_mage_load_x_7_1 could not be stopped' in caplog.text
