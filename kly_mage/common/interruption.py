"""Ctrl-C and SIGTERM while the process waits inside a library, where Python's own handlers have no turn.

The interpreter runs a handler between two steps of ours; a thread that waits in libpq for a lock takes none. So whoever
begins such a wait says how it can be ended from another thread, and one thread does that when a signal comes.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_ENDING = (signal.SIGINT, signal.SIGTERM)
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


@contextmanager
def signals_put_off() -> Iterator[list[int]]:
    """Inside, a signal's handler waits for the end, where what it raises is raised; gives the signals that have come.

    For a library that calls us back and drops what is raised there. What it waits for, ``ended_by`` ends all the same.
    """
    came = list[int]()
    if threading.current_thread() is not threading.main_thread():  # no other has to do with signals
        yield came
        return
    handlers = {number: found for number in _ENDING if callable(found := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            handlers[signal.Signals(came[0])](came[0], None)


def _end_waits(reader: int) -> None:
    while True:
        if set(_ENDING).intersection(os.read(reader, 64)):
            for end in list(_ENDS):
                with suppress(Exception):  # it may have ended by itself
                    end()
