"""Work of several processes at once, each of its share of the days."""

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, NoReturn

from kly_mage.common import interruption
from kly_mage.common.console import log_to_stderr
from kly_mage.common.cores import cores, threads
from kly_mage.common.errors import KlyError, UsageError, WarehouseError, first_line
from kly_mage.common.window import Window
from kly_mage.loads.progress import Step, silent

logger = logging.getLogger('kly_mage')
Load = dict[str, Any]
Work = Callable[[Mapping[str, Any]], Load]
_THREADS = 'POLARS_MAX_THREADS'


class Ended(BaseException):
    """The process that shares the work out wants this one to end: what is open is rolled back on the way out."""


def work(load: Work, asked: Mapping[str, Any], shares: list[Window], workers: int) -> list[Load]:
    """Load each share in one of so many processes; gives what each load did, in the order of the days.

    A share that fails holds up no other. Whatever ends this process ends the others too, and each rolls back what it is at.

    Args:
        load: a function of a module: it is imported again there.
        asked: its arguments but the days, which are the share's.

    Raises:
        Exception: the first failure, after the others were logged.
    """
    given = {**asked, 'is_share': True, 'progress': None}
    team = _Team(load, given, min(workers, len(shares)))
    try:
        outcomes = team.work(shares, asked.get('progress') or silent)
    except BaseException:
        for process in team.processes:
            process.terminate()
        raise
    finally:
        team.leave()
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for further in dict.fromkeys(map(first_line, failures[1:])):
        if further != first_line(failures[0]):
            logger.error('%s', further)
    if failures:
        raise failures[0]
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)]


@contextlib.contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """No process that begins inside ever hears Ctrl-C, which goes to all of a terminal's processes: this one tells them.

    What comes meanwhile comes at the end.
    """
    resource_tracker.ensure_running()  # a process of multiprocessing's; its start would let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Team:
    """The processes, each at the other end of a pipe."""

    def __init__(self, load: Work, given: Mapping[str, Any], count: int) -> None:
        context = multiprocessing.get_context('spawn')  # a copy of this process would have its connections and some threads
        self.processes, self.pipes = list[SpawnProcess](), list[Connection]()
        with threads(_THREADS, max(1, cores() // count)), _ctrl_c_is_ours():  # each would start one for every core
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, load, given, logging.getLogger().level), daemon=True)
                process.start()
                theirs.close()  # or its end would not be seen
                self.processes.append(process)
                self.pipes.append(ours)

    def work(self, shares: list[Window], step: Step) -> list[Load | Exception]:
        """What came of each share.

        Raises:
            WarehouseError, UsageError: it would meet every share.
            KlyError: a process was ended from outside.
        """
        waiting, outcomes, told = list(shares), dict[Window, Load | Exception](), dict[Window, tuple[str, float, float]]()
        busy = dict[Connection, Window]()
        free = list(self.pipes)
        while True:
            for pipe in free:
                if waiting:
                    busy[pipe] = waiting.pop(0)
                    pipe.send(busy[pipe])
            if not busy:
                return [outcomes[share] for share in shares]
            free, ready = [], wait_for(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                share, message = busy[pipe], _heard(pipe)
                if isinstance(message, tuple):
                    told[share] = message
                    _say(step, told, len(shares))
                    continue
                if isinstance(message, WarehouseError | UsageError):
                    raise message
                outcomes[share] = message
                del busy[pipe]
                free.append(pipe)

    def leave(self) -> None:
        """Let each process end, and wait for it."""
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join()


def _say(step: Step, told: dict[Window, tuple[str, float, float]], shares: int) -> None:
    """How far all are together; the end is told when none of the shares has anything left."""
    done, total = sum(done for _, done, _ in told.values()), sum(total for _, _, total in told.values())
    ((what, _, _), *_) = told.values()
    if done < total or len(told) == shares:
        step(what, done, total)


def _heard(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        raise KlyError(
            'a process that loads a share of the days was ended from outside, perhaps for want of memory; what others have '
            'loaded stays: run it again, with fewer --workers'
        ) from None


# --- in each of the processes -----------------------------------------------------------------------------------------


def _serve(pipe: Connection, load: Work, given: Mapping[str, Any], level: int) -> NoReturn:
    """Load one share after the other, until the other end of the pipe is closed."""
    log_to_stderr(level)
    parent = multiprocessing.parent_process()

    def step(what: str, done: float, total: float, told: str = '') -> None:
        pipe.send((what, done, total))

    try:
        signal.signal(signal.SIGTERM, _end)
        interruption.listen()
        if parent is not None:
            threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
        while True:
            share: Window = pipe.recv()
            try:
                outcome: Load | Exception = load(
                    {**given, 'start_date': share.start, 'end_date': share.end, 'progress': step}
                )
            except Exception as error:
                logger.debug('%s failed', share, exc_info=True)
                outcome = _portable(error)
            pipe.send(outcome)
    except (EOFError, ConnectionError, Ended):
        os._exit(0)  # as ``cli.main.run_as_process`` does
    except BaseException as error:  # noqa: BLE001 -- a panic of polars is no Exception
        pipe.send(RuntimeError(first_line(error)))
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """An error that can be sent: some cannot be made again from what they say."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    except Exception:  # noqa: BLE001 -- whatever its own code raises
        return RuntimeError(first_line(error))
    return error


def _end(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise Ended('ended with the process that began it')


def _end_with(sentinel: int) -> None:
    """Nobody waits for what a process loads whose first one is gone: the server rolls it back."""
    wait_for([sentinel])
    os._exit(1)
