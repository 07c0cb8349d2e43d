"""The cores of this process, and how many of them libraries take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


@contextmanager
def threads(setting: str, count: int) -> Iterator[None]:
    """What a library asks for when it is loaded inside, also by processes begun there; what a person has set stands.

    Args:
        setting: the variable of the environment by which it is told how many threads to start.
    """
    given = os.environ.get(setting)
    os.environ[setting] = given or str(count)
    try:
        yield
    finally:
        if given is None:
            del os.environ[setting]
