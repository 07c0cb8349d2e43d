"""When the runs of triggers and backfills begin."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kly_mage.mage import run_queue

pytestmark = pytest.mark.mage


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Mage's queue of runs, whose pools are counted and do nothing."""
    monkeypatch.setenv('MAGE_DATA_DIR', str(tmp_path))
    from mage_ai.orchestration.queue.config import QueueConfig
    from mage_ai.orchestration.queue.process_queue import ProcessQueue

    made = ProcessQueue(QueueConfig(concurrency=1))
    made.begun = 0

    def begin() -> None:
        made.begun += 1
        made.worker_pool_proc = SimpleNamespace(is_alive=lambda: True)

    monkeypatch.setattr(made, 'start_worker_pool', begin)
    made.start()
    yield made
    made.mp_manager.shutdown()


def test_a_run_that_comes_while_the_pool_ends_is_begun_in_the_next_round(queue: Any) -> None:
    run_queue.go_on(queue)
    assert queue.begun == 0  # nothing waits
    queue.enqueue('first', print)
    assert queue.begun == 1
    queue.queue.get()
    queue.enqueue('second', print)  # the pool has seen that nothing waits, and has not ended yet
    while queue.queue.empty():
        time.sleep(0.01)
    run_queue.go_on(queue)
    assert queue.begun == 1
    queue.worker_pool_proc = SimpleNamespace(is_alive=lambda: False)
    assert queue.has_job('second')  # so no scheduler asks for it again
    run_queue.go_on(queue)
    assert queue.begun == 2


def test_the_pool_waits_for_the_end_of_a_run_and_not_for_the_second() -> None:
    process = multiprocessing.get_context('fork').Process(target=time.sleep, args=(0.2,))
    begun = time.monotonic()
    process.start()
    run_queue.UntilARunEnds.sleep(30)
    assert time.monotonic() - begun < 20
    run_queue.UntilARunEnds.sleep(0.01)  # with none left it is a sleep
    process.join()
