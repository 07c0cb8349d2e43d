"""A stream of frames that can be walked more than once, so that a load can be tried again from the start."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

import polars as pl

T = TypeVar('T')


class Frames:
    """Frames made on demand, each a slice of one whole.

    The command line hands such a stream from block to block where Mage hands one frame: memory then follows the slice,
    not the file.

    Args:
        make: starts a new walk over the frames.
    """

    def __init__(self, make: Callable[[], Iterable[pl.DataFrame]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return iter(self._make())

    def map(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> 'Frames':
        """The stream of what ``function`` makes of each frame."""
        return Frames(lambda: map(function, self))

    def ahead(self) -> 'Frames':
        """The same frames, made by a thread that works one frame ahead of the reader."""
        return Frames(lambda: made_ahead(self))


def made_ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items (none of them None), made by a thread that works one item ahead of the reader.

    What the thread raises is raised here. Closing the generator ends the thread.
    """
    ready: queue.Queue[T | BaseException | None] = queue.Queue(1)
    stopped = threading.Event()

    def put(item: T | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(None)
        except BaseException as error:  # handed to the reader, which raises it
            put(error)

    thread = threading.Thread(target=work, name='frames-ahead', daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
