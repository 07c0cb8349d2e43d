"""A stream of frames that can be walked more than once, so that a load can be tried again from the start."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

import polars as pl


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

    def ahead(self, depth: int = 1) -> 'Frames':
        """The same frames, made by a thread that works up to ``depth`` frames ahead of the reader."""
        return Frames(lambda: _ahead(self, depth))


def _ahead(frames: Iterable[pl.DataFrame], depth: int) -> Iterator[pl.DataFrame]:
    ready: queue.Queue[pl.DataFrame | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: pl.DataFrame | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for frame in frames:
                if not put(frame):
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
