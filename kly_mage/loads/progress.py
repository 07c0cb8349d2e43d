"""Progress of what takes long: a bar with the time left on a terminal, plain lines otherwise, nothing if not wanted."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import polars as pl

from kly_mage.common.console import note
from kly_mage.common.text import counted, printable
from kly_mage.landing import csv as landing_csv
from kly_mage.landing import files as landing
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.rows.frames import Frames

PLAIN_SECONDS = 5.0  # between two plain lines about one thing: a log is read later


class Step(Protocol):
    """Tells how far one thing has got."""

    def __call__(self, what: str, done: float, total: float, told: str = '') -> None:
        """``what`` is being done; ``told`` adds a few words, such as counts."""


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Step]:
    """A function to call as often as one likes; what it writes goes to standard error, beside the result."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _plain(PLAIN_SECONDS)


def reading(frames: Frames, step: Step, what: str, files: Sequence[landing.LandingFile]) -> Frames:
    """The same frames, each of them told to ``step``: bytes of the files read so far, rows, and the file at hand."""
    sizes = {file.name: file.size for file in files}
    total, before, sofar = sum(sizes.values()), dict[str, int](), 0
    for name, size in sizes.items():
        before[name], sofar = sofar, sofar + size

    def walk() -> Iterator[pl.DataFrame]:
        rows, slices, name, grown = 0, 0, '', landing_csv.frame_slices()
        step(what, 0, total)
        for frame in frames:
            yield frame
            rows += int((frame['_line'] != FILE_LINE).sum())
            if frame.height and (at := frame['_file'][-1]) in sizes:
                if at != name:
                    slices, name, grown = 0, at, landing_csv.frame_slices()
                slices += next(grown)
                # Of a compressed file nobody knows how much is left: it ends when the next one begins.
                inside = min(slices * landing_csv.SLICE_BYTES, sizes[name] * 0.99)
                step(what, before[name] + inside, total, f'{counted(rows, "row")}, {name}')
        step(what, total, total, counted(rows, 'row'))

    return Frames(walk)


def silent(what: str, done: float, total: float, told: str = '') -> None:
    """Say nothing."""


def _plain(seconds: float) -> Step:
    """One line when a thing ends, and one every few seconds before, with the time left."""
    begun: dict[str, float] = {}
    last: dict[str, float] = {}
    ended: set[str] = set()

    def step(what: str, done: float, total: float, told: str = '') -> None:
        now = time.monotonic()
        if done <= 0:  # it begins, perhaps again
            begun[what] = last[what] = now
            ended.discard(what)
        start = begun.setdefault(what, now)
        words = f' ({told})' if told else ''
        if done >= total:
            if what not in ended:
                ended.add(what)
                note(f'{what}: done in {now - start:.1f} s{words}')
            return
        if now - last.setdefault(what, start) >= seconds and done > 0:
            last[what] = now
            left = (now - start) * (total - done) / done
            note(f'{what}: {done / total:.0%}, {left:.0f} s left{words}')

    return step


def _bars() -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn('{task.description}', markup=False), BarColumn(), TextColumn('{task.percentage:>3.0f} %'))
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn('{task.fields[told]}', markup=False), console=Console(stderr=True)
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def step(what: str, done: float, total: float, told: str = '') -> None:
            what, told = printable(what), printable(told)
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, told=told)
            bars.update(tasks[what], completed=done, total=total, told=told)

        yield step
