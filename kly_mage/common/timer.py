"""Where the time of a command goes: seconds by what is timed, told at ``--debug`` and read by the benchmark."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar('T')

_seconds: dict[str, float] = {}
_lock = threading.Lock()


@contextmanager
def timer(name: str) -> Iterator[None]:
    """Count the time inside as the stage's; stages of different threads overlap."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = time.perf_counter() - start
        with _lock:
            _seconds[name] = _seconds.get(name, 0.0) + spent


def seconds_by_timer() -> dict[str, float]:
    """Seconds of this process so far, in the order the stages were first left."""
    with _lock:
        return {name: round(seconds, 3) for name, seconds in _seconds.items()}


def timed(name: str, items: Iterable[T]) -> Iterator[T]:
    """The same items; the time it takes to get each is the stage's."""
    walk = iter(items)
    while True:
        with timer(name):
            try:
                item = next(walk)
            except StopIteration:
                return
        yield item
