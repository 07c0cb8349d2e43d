"""A stream of frames that can be walked more than once, so that a load can be tried again from the start."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import polars as pl

T = TypeVar('T')
SLICE_ROWS = 100_000  # of a whole frame, as Mage has them, so many rows are worked on at once: what that takes is bounded

GATHERED_ROWS = 50_000  # of frames smaller than that so many are put together: what each costs beside its rows is paid once


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


def as_arrow(frame: pl.DataFrame) -> Any:
    """The frame as a table of Arrow, in one piece.

    One that was put together and filtered can have an empty piece, which a constant column has not: polars looks for that
    column's second piece all the same, and panics.
    """
    return frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def gathered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in the same order, small frames put together: of a thousand small files each would be a frame."""
    held, rows = list[pl.DataFrame](), 0
    for frame in frames:
        if held and rows + frame.height > SLICE_ROWS:
            yield _joined(held)
            held, rows = [], 0
        held.append(frame)
        rows += frame.height
        if rows >= GATHERED_ROWS:
            yield _joined(held)
            held, rows = [], 0
    if held:
        yield _joined(held)


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how='diagonal') if len(frames) > 1 else frames[0]


def made_ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items, made by a thread that works one item ahead of the reader.

    What the thread raises is raised here. Closing the generator ends the thread.
    """
    ready: queue.SimpleQueue[list[T] | BaseException] = queue.SimpleQueue()
    wanted = threading.Semaphore(1)  # an item is begun when the one before has been taken
    stopped = threading.Event()

    def work() -> None:
        try:
            walk = iter(items)
            while wanted.acquire() and not stopped.is_set():
                ready.put([next(walk)])
        except StopIteration:
            ready.put([])
        except BaseException as error:  # handed to the reader, which raises it
            ready.put(error)

    thread = threading.Thread(target=work, name='frames-ahead', daemon=True)
    thread.start()
    try:
        while box := ready.get():
            wanted.release()
            if isinstance(box, BaseException):
                raise box
            yield box.pop()  # nothing is held on to: a frame goes when its reader lets it go
    finally:
        stopped.set()
        wanted.release()
        thread.join()
