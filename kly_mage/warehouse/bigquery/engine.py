"""BigQuery as a warehouse (``warehouse/base.py``)."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime
from functools import cached_property
from typing import Any

import polars as pl

from kly_mage.common.errors import KlyError, OvertakenError, ReadAgainError, UsageError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.declared.marts import Joined, Mart
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import until_whole
from kly_mage.landing.unchanged import Kept
from kly_mage.rows.frames import Frames
from kly_mage.warehouse.account import Accounts
from kly_mage.warehouse.base import Reader
from kly_mage.warehouse.bigquery import (
    contents,
    costs,
    fixed,
    forget,
    ga4_tables,
    gold,
    ledger,
    reading,
    shown,
    standing,
    together,
    unchanged,
    unload,
    waiting,
)
from kly_mage.warehouse.bigquery.account import accounts
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.load import load, load_in_place
from kly_mage.warehouse.bigquery.removal import remove
from kly_mage.warehouse.bigquery.truth import mart_script, rebuild_script
from kly_mage.warehouse.bigquery.verify import verify
from kly_mage.warehouse.costs import Cost
from kly_mage.warehouse.forgetting import Removed
from kly_mage.warehouse.gold import Asked, Found, Kind, Rows
from kly_mage.warehouse.in_place import InPlace
from kly_mage.warehouse.report import Report
from kly_mage.warehouse.request import Request
from kly_mage.warehouse.standing import Accepted, Finding, Held, Load
from kly_mage.warehouse.unloading import Selection, Unloaded
from kly_mage.warehouse.waiting import Cause, Conflict, Waiting

logger = logging.getLogger('kly_mage')
_MOST_TURNS = 6  # of a load that finds each time that others have taken out what it counts on
_READY: set[tuple[str | None, str, str]] = set()  # projects whose tables this process has seen to


class BigQuery:
    """The project that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def client(self) -> Client:
        """A client, with all tables there."""
        known = self.settings
        client, place = Client(known), (known.bigquery_project, known.bigquery_prefix, known.timezone)
        if place not in _READY:
            fixed.hold(client, known)
            _READY.add(place)
        return client

    def reach(self) -> Settings:
        return self.settings

    def drop_everything(self) -> None:
        """Drop its data sets with all that is in them; only such with a prefix, which nobody else's have."""
        Client(self.settings).drop_everything()
        _READY.clear()

    def load(self, request: Request, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            return until_whole(lambda: load(self.settings, self.client, request, frames))

        return self._noted(request, lambda: _until_read(work, can_read=isinstance(frames, Frames)))

    def in_place(self, source: Source) -> InPlace | None:
        return ga4_tables.in_place(self.settings, source)

    def load_in_place(self, request: Request) -> dict[str, Any]:
        return self._noted(request, lambda: load_in_place(self.settings, self.client, request))

    def _noted(self, request: Request, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a load did, with what is out of the ordinary about its days, once its cost is written down."""
        source, days, zone = request.source, request.window, self.settings.timezone
        with costs.noted(self.client, f'load {source.name}') as noted:
            done = work()
            noted['load_id'] = done['load_id']
            try:
                done |= together.beside(self.client, source, days, zone, [done['load_id']], done)
            except KlyError as error:  # the rows are in
                logger.warning('%s %s is loaded; what its days are beside others is not known: %s', source.name, days, error)
        return done

    def refresh(self, mart: str, text: Callable[[], str]) -> None:
        script = mart_script(mart)
        if script is None:
            raise UsageError(f'gold.{mart} has no statements for BigQuery yet: KLY_WAREHOUSE=postgres refreshes it')
        with costs.noted(self.client, f'refresh gold.{mart}'):
            self.client.run(script, what='refresh')

    def last_refresh(self, mart: str) -> str | None:
        return shown.last_refresh(self.client, mart)

    def preview(self, mart: Joined | Mart, run: str) -> pl.DataFrame:
        """The rows of a table of gold that a run of a pipeline in Mage shows; see ``shown.preview``."""
        return shown.preview(self.client, mart, run)

    def look_up(self, table: Joined | Mart, asked: Asked) -> Found | None:
        return gold.look_up(self.client, table, asked)

    def taken(self, source: str) -> frozenset[str]:
        return waiting.taken(self.client, source)

    def files_read(self, source: Source) -> set[tuple[str, int, datetime]]:
        return ledger.files_read(self.client, source)

    def kept(self, source: Source, files: Collection[LandingFile]) -> dict[str, Kept]:
        return unchanged.kept(self.client, source, files)

    def first_waiting(self, source: Source, files: Iterable[LandingFile], days: Window) -> date | None:
        return ledger.first_waiting(self.client, source, files, days, self.settings.timezone)

    def missing_days(self, source: Source, files: Collection[LandingFile], days: Window) -> list[date]:
        return ledger.missing_days(self.client, source, files, days)

    def by_day(self, load_ids: Iterable[int]) -> dict[date, dict[str, dict[str, int]]]:
        return ledger.by_day(self.client, load_ids)

    def of_pipeline_runs(self, runs: list[str]) -> list[dict[str, Any]]:
        return together.of_runs(self.client, runs, self.settings.timezone)

    def rejects(self, load_id: int, limit: int) -> list[str]:
        return list(map(str, ledger.rejects(self.client, load_id, limit)))

    def outside(self, load_id: int, limit: int) -> list[str]:
        return list(map(str, ledger.outside(self.client, load_id, limit)))

    def changed(self, source: Source, days: Window, limit: int) -> list[str]:
        return [str(changed) for _, changed in contents.changed(self.client, [source.name], days)[:limit]]

    def loads(self, sources: Collection[Source]) -> dict[str, list[Load]]:
        return standing.loads(self.client, sources)

    def held(self, files: Mapping[str, list[LandingFile]], days: Window | None, asked: Window | None) -> dict[str, Held]:
        return standing.held(self.client, files, days, asked, self.settings.timezone)

    def accept_day(self, source: Source, finding: Finding, day: date, now: Accepted, by: str, why: str) -> None:
        standing.accept(self.client, source, finding, day, now, by, why)

    def refused_days(self, source: Source, days: Window) -> list[date]:
        return standing.refused(self.client, source, days)

    def costs(self, days: Window) -> list[Cost]:
        return costs.by_day(self.client, days, self.settings.timezone)

    def verify(self) -> Report | None:
        with costs.noted(self.client, 'verify'):
            report = verify(self.client, self.settings.timezone)
            return report if any(report.checked.values()) or ledger.is_loaded(self.client) else None

    def accounts(self) -> AbstractContextManager[Accounts]:
        return accounts(self.client, self.settings)

    def remove(self, source: Source, hashes: Collection[str], days: Window | None) -> set[date]:
        remove(self.client, source, list(hashes), days)
        return set()  # ``recount`` makes all of them anew

    def recount(self, days: Mapping[str, Collection[date]], text: Callable[[str], str]) -> None:
        self.rebuild(text)

    def source_of_load(self, load_id: int) -> Source:
        return unload.source_of(self.client, load_id)

    def unload(self, what: Selection, asked: str, text: Callable[[str], str], *, keep: bool) -> Unloaded:
        done = unload.unload(self.client, what, asked, keep=keep)
        if keep:
            costs.note(self.client, f'unload {what.source.name}')
        return done

    def forget(
        self, sources: Collection[Source], person: str, by: str, text: Callable[[str], str], *, keep: bool
    ) -> list[Removed]:
        done = forget.forget(self.client, sources, person, by, keep=keep)
        if keep:
            costs.note(self.client, 'forget')
        return done

    def holding_still(self) -> list[str]:
        return forget.holding_still(self.settings)

    def rebuild(self, text: Callable[[str], str]) -> dict[str, int]:
        with costs.noted(self.client, 'rebuild'):
            rows = self.client.run(rebuild_script(), what='rebuild')
        return {row['name']: row['amount'] for row in rows}

    def waiting_rejects(
        self, sources: Collection[str], days: Window | None, *, accepted_too: bool = False, limit: int | None = None
    ) -> Iterator[Waiting]:
        return waiting.rejects(self.client, sources, days, accepted_too=accepted_too, limit=limit)

    def causes(self, sources: Collection[str], days: Window | None) -> list[Cause]:
        return waiting.causes(self.client, sources, days)

    def accept_rejects(self, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
        return waiting.accept_rejects(self.client, sources, days, by, why)

    def take_rejects(self, rejects: Collection[Waiting]) -> None:
        waiting.mark(self.client, rejects, 'taken_at')

    def resolve_rejects(self, rejects: Collection[Waiting]) -> None:
        waiting.mark(self.client, rejects, 'resolved_at')

    def waiting_conflicts(
        self, sources: Collection[str], days: Window | None, *, limit: int | None = None
    ) -> Iterator[Conflict]:
        return waiting.conflicts(self.client, sources, days, limit)

    def count_conflicts(self, sources: Collection[str], days: Window | None) -> int:
        return waiting.count_conflicts(self.client, sources, days)

    def accept_conflicts(self, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
        return waiting.accept_conflicts(self.client, sources, days, by, why)

    def reader(self) -> Reader:
        return reading.reader(self.settings)

    def stream(self, table: Joined | Mart, days: Window | None) -> AbstractContextManager[tuple[dict[str, Kind], Rows]]:
        return nullcontext(gold.stream(self.client, table, days))


def _until_read(work: Callable[[], dict[str, Any]], *, can_read: bool) -> dict[str, Any]:
    """What a load did; again, as long as it finds that a file was not read that has to be.

    Args:
        can_read: whether the next try reads it.

    Raises:
        OvertakenError: it does not.
    """
    for turn in range(1, _MOST_TURNS + 1):
        try:
            return work()
        except ReadAgainError as error:
            if not can_read or turn == _MOST_TURNS:
                raise OvertakenError(str(error)) from error
            logger.warning('%s; trying again', error)
    raise AssertionError  # the last turn returns or raises
