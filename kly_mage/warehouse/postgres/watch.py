"""Waiting with words: a session that waits for a lock says for whom, and gives up after ``KLY_LOCK_WAIT`` seconds.

PostgreSQL itself ends the wait (``lock_timeout``), so a session keeps its place in the queue until then. Meanwhile a thread
looks, over a connection of its own, who stands at the head of that queue: the sessions that wait for nobody. That holds for
every lock of every unit of work, whoever asked for it: days, tables, the schema, a refresh, a rebuild, a row.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import KlyError, LockedError
from kly_mage.common.settings import Settings
from kly_mage.common.text import printable

logger = logging.getLogger('kly_mage')
SAID_AFTER = 5.0  # seconds of waiting
_SAID_AGAIN, _LOOK = 60.0, 2.5  # seconds between two sayings of the same, and between two looks
_NAMED = re.compile(r'(?P<work>.*?) / (?P<process>\d+)@(?P<host>.+)')
_LOAD = re.compile(r'kly_mage load (\d+)')


def session_name(work: str | None = None) -> str:
    """What a session is called in ``pg_stat_activity``: its work, and the process behind it, which PostgreSQL cannot know.

    Args:
        work: what the transaction does, such as ``load 12``; None for the command the process was started for.
    """
    told = f'kly_mage {work}' if work else os.environ.get('PGAPPNAME') or 'kly_mage'
    return f'{told[:30]} / {os.getpid()}@{socket.gethostname()[:20]}'  # PostgreSQL keeps 63 characters


@dataclass(frozen=True)
class _Load:
    load_id: int
    source: str
    start: date
    end: date
    started_by: str
    started_at: datetime

    def __str__(self) -> str:
        days = f'{self.start}' if self.start == self.end else f'{self.start} to {self.end}'
        return (
            f'load {self.load_id} ({self.source}, {days}, by {printable(self.started_by, 40)}, since {_at(self.started_at)})'
        )


@dataclass(frozen=True)
class Holder:
    """A session that others wait for.

    Attributes:
        pid: its process on the server.
        name: its ``application_name``.
        user: its role.
        begun: when its transaction or, if there is none, the session began; None where we may not see it.
        idle: how long its client has said nothing while a transaction is open; None while it works.
        load: the load it belongs to.
    """

    pid: int
    name: str
    user: str | None
    begun: datetime | None
    idle: timedelta | None
    load: _Load | None = None

    def __str__(self) -> str:
        named = _NAMED.fullmatch(self.name)
        what = printable((named['work'] if named else self.name) or f'a session of {self.user}', 60)
        if self.load:
            what = str(self.load)
        elif self.begun:
            what += f' (since {_at(self.begun)})'
        process = f'process {named["process"]} on {printable(named["host"])}, ' if named else ''
        silent = f', silent for {self.idle.total_seconds():.0f} s' if self.idle and self.idle.total_seconds() >= 1 else ''
        return f'{what}: {process}PostgreSQL session {self.pid}{silent}'

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        end = f'python -m kly_mage psql -c "select pg_terminate_backend({self.pid})" ends it, and nothing half-done is kept'
        named = _NAMED.fullmatch(self.name)
        if not named:
            return end
        process, host = named['process'], printable(named['host'])
        return f'see what process {process} on {host} does: "kill -CONT {process}" wakes a stopped one; {end}'


class Watch(AbstractContextManager['Watch']):
    """Beside a unit of work, and silent unless its session waits for a lock.

    Args:
        settings: with the bound, ``lock_wait``.
        connection: the session; its ``lock_timeout`` is that bound.
        another: makes a further connection, to look.
    """

    def __init__(self, settings: Settings, connection: Connection, another: Callable[[], Connection]) -> None:
        self._pid, self._bound, self._another = connection.info.backend_pid, settings.lock_wait, another
        self._holders: list[Holder] = []
        self._over = threading.Event()
        self._said_at, self._said_of = 0.0, frozenset[int]()

    def __enter__(self) -> 'Watch':
        threading.Thread(target=self._run, name='kly_mage watch', daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def gave_up(self) -> LockedError:
        """What is to be raised when the bound was reached."""
        told = ' and '.join(map(str, self._holders)) or 'another session'
        remedy = '; '.join(holder.remedy for holder in self._holders) or 'run it again'
        return LockedError(
            f'gave up after waiting {self._bound} s (KLY_LOCK_WAIT) for {told}; nothing was written. Remedy: {remedy}'
        )

    def _run(self) -> None:
        seconds = min(SAID_AFTER, self._bound / 2)
        while not self._over.wait(seconds):
            seconds = min(_LOOK, self._bound / 4)
            try:
                self._look()
            except (psycopg2.Error, KlyError) as error:  # the work meets it too, if it is more than a passing one
                logger.debug('who is in the way cannot be seen: %s', error)

    def _look(self) -> None:
        connection = self._another()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("set local statement_timeout = '10s'")
                cursor.execute(
                    'select extract(epoch from clock_timestamp() - min(waitstart))::float8'
                    ' from pg_locks where pid = %s and not granted',
                    (self._pid,),
                )
                (waited,) = cursor.fetchone()
                if waited is None or waited < min(SAID_AFTER, self._bound / 4):
                    return
                holders = _holders(cursor, self._pid)
        finally:
            connection.close()
        if holders:  # none: the wait ended between the two questions, and who was in the way last is what is to be said
            self._holders = holders
            self._say(waited)

    def _say(self, waited: float) -> None:
        now, who = time.monotonic(), frozenset(holder.pid for holder in self._holders)
        if who == self._said_of and now - self._said_at < _SAID_AGAIN:
            return
        self._said_at, self._said_of = now, who
        told = ' and '.join(map(str, self._holders))
        logger.warning('waiting for %s; for %.0f s so far, %s s at most (KLY_LOCK_WAIT)', told, waited, self._bound)


def _holders(cursor: Cursor, pid: int) -> list[Holder]:
    """The sessions at the head of the queue that a session stands in."""
    cursor.execute(
        'with recursive ahead (pid) as ('
        ' select unnest(pg_blocking_pids(%s)) union select unnest(pg_blocking_pids(ahead.pid)) from ahead'
        ') select pid, coalesce(application_name, %s), usename, coalesce(xact_start, backend_start),'
        " case when state like 'idle in transaction%%' then clock_timestamp() - state_change end"
        ' from ahead inner join pg_stat_activity using (pid) where cardinality(pg_blocking_pids(pid)) = 0 order by pid',
        (pid, ''),
    )
    found = [Holder(*row) for row in cursor.fetchall()]
    numbers = {holder.pid: int(named[1]) for holder in found if (named := _LOAD.match(holder.name))}
    loads = _loads(cursor, list(numbers.values()))
    return [replace(holder, load=loads.get(numbers.get(holder.pid, 0))) for holder in found]


def _loads(cursor: Cursor, numbers: list[int]) -> dict[int, _Load]:
    if not numbers:
        return {}
    cursor.execute(
        'select load_id, source, start_day, end_day, started_by, started_at from ops.loads where load_id = any(%s)',
        (numbers,),
    )
    return {row[0]: _Load(*row) for row in cursor.fetchall()}


def _at(moment: datetime) -> str:
    return f'{moment:%Y-%m-%d %H:%M:%S} UTC'
