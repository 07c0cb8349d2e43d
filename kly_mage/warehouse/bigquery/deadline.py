"""By when a question has to be answered: how long Google's library may wait for it, and what ends when that is over."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Timer
from typing import Any

from kly_mage.warehouse import patience

ANSWER_SECONDS = 60  # to one request; a job may take longer


class Deadline:
    """The moment by which something has to be done.

    Args:
        seconds: from now on; None for who waits as long as it takes.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds until then; None for no end."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def check(self) -> None:
        """Raises:
        WarehouseError: the time is up.
        """
        if self.left == 0:
            raise patience.given_up()

    def pause(self, seconds: float) -> None:
        """Wait before something is tried again, but no longer than until then."""
        time.sleep(seconds if self.left is None else min(seconds, self.left))

    def waiting(self) -> dict[str, Any]:
        """How long Google's library waits for an answer to a request and, if there is an end, how long it asks again."""
        if self.left is None:
            return {'timeout': ANSWER_SECONDS}
        from google.cloud.bigquery import DEFAULT_RETRY

        left = max(self.left, 0.1)
        return {'timeout': min(left, ANSWER_SECONDS), 'retry': DEFAULT_RETRY.with_timeout(left)}

    @contextmanager
    def ending(self, stop: Callable[[], None], is_no_answer: Callable[[Exception], bool]) -> Iterator[None]:
        """Inside a job is waited for, which is stopped when the time is up.

        Google's library looks at the clock between two requests only, which take up to ten seconds each.

        Args:
            stop: stops the job.
            is_no_answer: whether an error says that nobody answers, which is told as it is; the job is stopped all the same.

        Raises:
            WarehouseError: the job was stopped, or did not end.
        """
        if self.left is None:
            yield
            return
        is_over, is_answered = Event(), True

        def end() -> None:
            is_over.set()
            stop()

        timer = Timer(self.left, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as error:
            is_answered = not is_no_answer(error)
            # Google's library says by a TimeoutError that the job works on, although it was stopped.
            if isinstance(error, TimeoutError) or (is_answered and is_over.is_set()):
                raise patience.given_up() from error
            raise
        finally:
            if is_answered:  # else it may be at work
                timer.cancel()
