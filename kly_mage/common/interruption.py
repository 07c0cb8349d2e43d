"""Ctrl-C and SIGTERM while the process waits inside a library, where Python's own handlers have no turn.

The interpreter runs a handler between two steps of ours; a thread that waits in libpq for a lock takes none. So whoever
begins such a wait says how it can be ended from another thread, and one thread does that when a signal comes.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_ENDS: set[Callable[[], object]] = set()


def listen() -> None:
    """Have signals end what is waited for, in a process of our own; to be called by its main thread, once."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_waits, args=(reader,), name='kly_mage signals', daemon=True).start()


@contextmanager
def ended_by(end: Callable[[], object]) -> Iterator[None]:
    """Inside, a signal calls ``end``, from another thread; what it raises is dropped."""
    _ENDS.add(end)
    try:
        yield
    finally:
        _ENDS.discard(end)


def _end_waits(reader: int) -> None:
    while True:
        if {signal.SIGINT, signal.SIGTERM}.intersection(os.read(reader, 64)):
            for end in list(_ENDS):
                with suppress(Exception):  # it may have ended by itself
                    end()
