"""Concurrency as named steps: loads that stay open until they are told to go on, and waiting for a session to be blocked.

No step waits for time to pass: an open load says when its rows are inserted, and PostgreSQL says who waits for a lock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.landing import files as landing
from kly_mage.landing import left_out, readers
from kly_mage.loads import runner
from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres import load as bronze
from kly_mage.warehouse.postgres.blocks import run_sql
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.request import Request
from tests.gold import Query

PATIENCE = 300.0  # on a machine that has much else to do
FIRST = date(2025, 10, 1)
HEADERS = {
    'cms_articles': 'content_id,site,title,author,section,publish_timestamp',
    'ga4_events': 'event_timestamp,event_name,user_pseudo_id,session_id,content_id',
    'gam_delivery': 'served_at,ad_unit,line_item,creative,content_id,impressions,clicks,revenue_usd',
}


def deliver(landing_zone: Path, name: str, *rows: str) -> Path:
    """A file of the landing zone; its source is the beginning of its name."""
    source = next(source for source in HEADERS if name.startswith(source))
    path = landing_zone / source / name
    path.write_text('\n'.join([HEADERS[source], *rows, '']), 'utf-8')
    return path


def events(day: int, count: int = 3) -> list[str]:
    """Page views of one October day: users u0, u1 … in one session each, on articles a0, a1, a2."""
    return [f'2025-10-{day:02}T05:00:{n % 60:02}Z,page_view,u{n},s1,a{n % 3}' for n in range(count)]


def deliver_october(landing_zone: Path, days: range = range(1, 5), count: int = 3) -> None:
    """A file of each source for each day, with an equal row, a late row, a restatement and a reject without a day."""
    for day in days:
        stamp = f'202510{day:02}'
        late = [f'2025-10-{day - 1:02}T06:00:00Z,page_view,late{day},s1,a1'] if day > 1 else []
        ga4 = events(day, count)
        deliver(landing_zone, f'ga4_events_{stamp}.csv', *ga4, ga4[0], *late, f'no day at all,page_view,u{day},s1,a1')
        ads = [f'2025-10-{day:02}T05:00:00Z,/top,l{n},c,a{n},10,1,0.{day:02}{n}' for n in range(3)]
        again = [f'2025-10-{day - 1:02}T05:00:00Z,/top,l0,c,a0,11,1,0.5'] if day > 1 else []
        deliver(landing_zone, f'gam_delivery_{stamp}.csv', *ads, *again)
        deliver(landing_zone, f'cms_articles_{stamp}.csv', f'a{day % 3},site,Title of {day},author,news,2025-10-{day:02}')


class Background:
    """A step that runs beside the test."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answer: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._answer = work()
        except BaseException as error:  # noqa: BLE001 -- raised by result()
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Any:
        """What the step returned; raises what it raised."""
        self._thread.join(PATIENCE)
        assert not self.running, 'the step does not come to an end'
        if self._error:
            raise self._error
        return self._answer


class OpenLoad(Background):
    """A load whose rows are inserted and whose transaction is open until ``commit`` or ``fail``."""

    def __init__(self, settings: Settings, source_name: str, start: int, end: int | None = None) -> None:
        self.inserted, self._go, self._fail = threading.Event(), threading.Event(), False
        request, frames = load_request(settings, source_name, start, end)

        def walk() -> Iterator[pl.DataFrame]:
            yield from frames
            self.inserted.set()
            assert self._go.wait(PATIENCE)
            if self._fail:
                raise RuntimeError('told to fail')

        super().__init__(lambda: retrying(lambda: bronze.load(settings, request, walk())))

    def is_open(self) -> 'OpenLoad':
        """Wait until all its rows are inserted."""
        while not self.inserted.wait(0.01):
            if not self.running:
                self.result()
                raise AssertionError('the load is over already')
        return self

    def commit(self) -> Any:
        self._go.set()
        return self.result()

    def fail(self) -> None:
        self._fail = True
        self._go.set()
        try:
            self.result()
        except RuntimeError:
            return
        raise AssertionError('the load did not fail')


def load_request(
    settings: Settings, source_name: str, start: int, end: int | None = None, *, first: date = FIRST
) -> tuple[Request, list[pl.DataFrame]]:
    """What a load of these days hands to bronze, counted from ``first``: days of October without it."""
    source, days = SOURCES[source_name], Window(first + timedelta(start - 1), first + timedelta((end or start) - 1))
    found = landing.find_files(source, settings.data_dir, settings.timezone)
    files = landing.files_for(found, days, settings.late_days)
    frames = left_out.read(source, files, days, timezone=settings.timezone, late_days=settings.late_days, left_out={})
    hashed = [rowhash.distinct(rowhash.add_hashrow(frame, source), source) for frame in frames]
    return Request(
        source, days, files, [file.name for file in found], readers.undeclared_columns(source, files), 'test'
    ), hashed


def load(settings: Settings, source_name: str, start: int, end: int | None = None, *, first: date = FIRST) -> dict[str, Any]:
    """A whole load."""
    request, frames = load_request(settings, source_name, start, end, first=first)
    return bronze.load(settings, request, frames)


def mart_sql(name: str) -> str:
    """The text of a SQL block."""
    return runner.Block(name, 'data_exporter', 'sql', ()).sql()


def refresh(name: str) -> None:
    """Run a SQL block, as the pipelines do."""
    run_sql(mart_sql(name))


def wait_until_blocked(query: Query, step: Background, sessions: int = 1) -> None:
    """Wait until this many sessions of the database wait for a lock; the step must not have ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        (waiting,) = query(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )[0]
        if waiting >= sessions:
            return
        assert step.running, 'the step came to its end without waiting for anybody'
    raise AssertionError('nobody waits')


def run_days(start: int, end: int | None = None, *names: str) -> dict[str, Any]:
    """Both pipelines, or those named, over days of October."""
    days = {'start_date': date(2025, 10, start), 'end_date': date(2025, 10, end or start)}
    return runner.run(names or runner.names(), **days, started_by='test')


def deadlocks(query: Query) -> int:
    """Deadlocks PostgreSQL has seen in this database."""
    query('select pg_stat_force_next_flush()')
    return int(query('select deadlocks from pg_stat_database where datname = current_database()')[0][0])
