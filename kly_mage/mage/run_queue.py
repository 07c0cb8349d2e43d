"""When the runs of triggers and backfills begin: corrections of Mage 0.9.80, as those of ``patches``."""

import multiprocessing
from multiprocessing.connection import wait
from typing import Any


def correct() -> None:
    """Put them into the scheduler's process."""
    from mage_ai.orchestration.queue import process_queue

    process_queue.time = UntilARunEnds
    clean_up = process_queue.ProcessQueue.clean_up_jobs

    def and_go_on(self: Any) -> None:
        clean_up(self)
        go_on(self)

    process_queue.ProcessQueue.clean_up_jobs = and_go_on


class UntilARunEnds:
    """Stands in for ``time``, for the pool of runs: when one has ended, the next may begin.

    Mage's pool looks whether a run has ended once a second only, and a small day takes less.

    Corrects ``mage_ai/orchestration/queue/process_queue.py: poll_job_and_execute``.
    """

    @staticmethod
    def sleep(seconds: float) -> None:
        """Wait so long, or until a process has ended that this one has begun."""
        wait([process.sentinel for process in multiprocessing.active_children()], timeout=seconds)


def go_on(queue: Any) -> None:
    """Begin the pool of runs anew if it has ended with one waiting; the scheduler comes by in each of its rounds.

    A pool that finds nothing to do ends, and takes a moment to: a run that is put into its queue meanwhile is seen by
    nobody, and counts as waiting for ever (``ProcessQueue.enqueue``, ``has_job``).

    Args:
        queue: Mage's ``ProcessQueue``.
    """
    if queue.worker_pool_proc is not None and not queue.is_worker_pool_alive() and not queue.queue.empty():
        queue.start_worker_pool()
