"""Seconds, CPU seconds of client and server, memory of the client, WAL and disk of one step."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

_TICKS = os.sysconf('SC_CLK_TCK')


@dataclass
class Cost:
    """What one step took.

    Attributes:
        seconds: by the clock on the wall.
        cpu: CPU seconds of client and server together; steadier than the clock on a machine that others use too.
        peak_mb: the client's peak memory; of several processes that of the largest.
        wal: bytes of write-ahead log.
        bytes: what stands on disk afterwards, tables and indexes.
        stages: seconds by stage, as the project's own command reports them at ``--debug``.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    wal: int = 0
    bytes: int = 0
    stages: dict[str, float] = field(default_factory=dict)


class Meter:
    """Measures steps against one server."""

    def __init__(self, admin: Connection, postmaster: int) -> None:
        self._admin, self._postmaster = admin, postmaster

    @contextmanager
    def measuring(self) -> Iterator[Cost]:
        """Measure what happens inside; each step begins with a clean buffer cache's dirty list (a checkpoint)."""
        self._ask('checkpoint')
        cost, wal, cpu, start = Cost(), self._wal(), self._server_cpu(), time.perf_counter()
        own = time.process_time()  # finer than the ticks of the server's: what takes less than one has taken something, too
        yield cost
        cost.seconds = time.perf_counter() - start
        time.sleep(0.05)  # the backend that served the step is still to be reaped
        cost.cpu += self._server_cpu() - cpu + time.process_time() - own
        cost.wal = self._wal() - wal

    def _wal(self) -> int:
        return int(self._ask("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def _ask(self, statement: str) -> Any:
        with self._admin.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    def _server_cpu(self) -> float:
        """CPU seconds of the server: its processes that live, and those that ended, which the postmaster sums up."""
        children = Path(f'/proc/{self._postmaster}/task/{self._postmaster}/children').read_text().split()
        own = _cpu_fields(self._postmaster)
        return (sum(own) + sum(sum(_cpu_fields(int(child))[:2]) for child in children)) / _TICKS


def run_process(command: list[str], environment: dict[str, str], cost: Cost) -> tuple[int, str]:
    """Run a client as a whole process; its CPU and peak memory go into ``cost``. Gives its exit code and stderr."""
    environment = os.environ | environment
    environment.pop('PYTHONDONTWRITEBYTECODE', None)  # or each start compiles anew what is compiled once elsewhere
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    watcher = threading.Thread(target=_watch_memory, args=(process.pid, cost))
    watcher.start()
    assert process.stderr is not None
    with process.stderr:
        told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    watcher.join()
    cost.cpu += usage.ru_utime + usage.ru_stime
    return process.returncode, told


def median(costs: list[Cost], what: Callable[[Cost], float]) -> float:
    """The middle one of what was measured."""
    values = sorted(map(what, costs))
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _watch_memory(process: int, cost: Cost) -> None:
    """The high-water mark of a process, or one it began, while it can be asked (a parent's would taint ``ru_maxrss``)."""
    while peak := _peak_mb(process):
        try:
            began = Path(f'/proc/{process}/task/{process}/children').read_text().split()
        except (OSError, ProcessLookupError):
            return
        cost.peak_mb = max(cost.peak_mb, peak, *(_peak_mb(int(child)) for child in began))
        time.sleep(0.02)


def _peak_mb(process: int) -> float:
    """0 of a process that has ended: one that nobody has asked for its end has no memory any more."""
    try:
        lines = Path(f'/proc/{process}/status').read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM')), 0)


def _cpu_fields(process: int) -> list[int]:
    """utime, stime, cutime and cstime in ticks."""
    try:
        return [int(value) for value in Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[11:15]]
    except OSError:
        return [0, 0, 0, 0]
