"""PostgreSQL as a warehouse (``warehouse/base.py``)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from typing import Any

import polars as pl
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import OvertakenError, ReadAgainError
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
from kly_mage.warehouse.costs import Cost
from kly_mage.warehouse.forgetting import Removed
from kly_mage.warehouse.gold import Asked, Found, Kind, Rows
from kly_mage.warehouse.in_place import InPlace
from kly_mage.warehouse.postgres import blocks, decisions, ledger, outside, rejects, summary
from kly_mage.warehouse.postgres.recall import recall
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.server import export_environment, server
from kly_mage.warehouse.report import Report
from kly_mage.warehouse.request import Request
from kly_mage.warehouse.standing import Accepted, Finding, Held, Load
from kly_mage.warehouse.unloading import Selection, Unloaded
from kly_mage.warehouse.waiting import Cause, Conflict, Waiting


class Postgres:
    """The server that the settings name, or the embedded one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def reach(self) -> Settings:
        export_environment()
        return server(self.settings)

    def load(self, request: Request, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
        from kly_mage.warehouse.postgres.load import load  # commands that load nothing do not pay for it

        def work() -> dict[str, Any]:
            try:
                return until_whole(lambda: load(server(self.settings), request, frames))
            except ReadAgainError as error:
                if isinstance(frames, Frames):  # walked again, it reads them
                    raise
                raise OvertakenError(str(error)) from error

        return retrying(work)

    def in_place(self, source: Source) -> InPlace | None:
        return None  # PostgreSQL has nothing that a load did not bring

    def load_in_place(self, request: Request) -> dict[str, Any]:
        raise AssertionError(request.source.name)  # there is nothing

    def refresh(self, mart: str, text: Callable[[], str]) -> None:
        blocks.run_sql(text())

    def last_refresh(self, mart: str) -> str | None:
        from kly_mage.warehouse.postgres import refreshes

        return retrying(lambda: refreshes.last_refresh(server(self.settings), mart))

    def look_up(self, table: Joined | Mart, asked: Asked) -> Found | None:
        return summary.look_up(self.settings, table, asked)

    def taken(self, source: str) -> frozenset[str]:
        return rejects.taken(self.settings, source)

    def files_read(self, source: Source) -> set[tuple[str, int, datetime]]:
        return ledger.files_read(self.settings, source)

    def kept(self, source: Source, files: Collection[LandingFile]) -> dict[str, Kept]:
        return recall(self.settings, source, files)

    def first_waiting(self, source: Source, files: Iterable[LandingFile], days: Window) -> date | None:
        return ledger.first_waiting(self.settings, source, files, days)

    def missing_days(self, source: Source, files: Collection[LandingFile], days: Window) -> list[date]:
        return retrying(lambda: ledger.missing_days(self.settings, source, files, days))

    def by_day(self, load_ids: Iterable[int]) -> dict[date, dict[str, dict[str, int]]]:
        numbers = list(load_ids)
        return retrying(lambda: ledger.by_day(self.settings, numbers))

    def of_pipeline_runs(self, runs: list[str]) -> list[dict[str, Any]]:
        return retrying(lambda: ledger.of_pipeline_runs(server(self.settings), runs))

    def rejects(self, load_id: int, limit: int) -> list[str]:
        return list(map(str, retrying(lambda: ledger.rejects(self.settings, load_id, limit))))

    def outside(self, load_id: int, limit: int) -> list[str]:
        return list(map(str, retrying(lambda: outside.of_loads(self.settings, [load_id]))[:limit]))

    def changed(self, source: Source, days: Window, limit: int) -> list[str]:
        from kly_mage.warehouse.postgres import contents

        return list(map(str, retrying(lambda: contents.changed(self.settings, source, days))[:limit]))

    def loads(self, sources: Collection[Source]) -> dict[str, list[Load]]:
        from kly_mage.warehouse.postgres import standing

        return standing.loads(server(self.settings), sources)

    def held(self, files: Mapping[str, list[LandingFile]], days: Window | None, asked: Window | None) -> dict[str, Held]:
        from kly_mage.warehouse.postgres import standing

        return standing.held(server(self.settings), files, days, asked)

    def accept_day(self, source: Source, finding: Finding, day: date, now: Accepted, by: str, why: str) -> None:
        from kly_mage.warehouse.postgres import accepted

        with self._cursor() as cursor:
            accepted.accept(cursor, source, finding, day, now, by, why)

    def refused_days(self, source: Source, days: Window) -> list[date]:
        from kly_mage.warehouse.postgres import accepted

        with self._cursor() as cursor:
            return accepted.refused(cursor, source, days)

    def costs(self, days: Window) -> list[Cost]:
        return []  # the server asks nothing for what it reads

    def verify(self) -> Report | None:
        from kly_mage.warehouse.postgres import verify

        return retrying(lambda: verify.verify(server(self.settings)))

    def accounts(self) -> AbstractContextManager[Accounts]:
        from kly_mage.warehouse.postgres.account import accounts

        return accounts(server(self.settings))

    def remove(self, source: Source, hashes: Collection[str], days: Window | None) -> set[date]:
        from kly_mage.warehouse.postgres.removal import remove

        return remove(server(self.settings), source, list(hashes), days)

    def recount(self, days: Mapping[str, Collection[date]], text: Callable[[str], str]) -> None:
        from kly_mage.warehouse.postgres import verify

        retrying(lambda: verify.recount(server(self.settings), days, text))

    def source_of_load(self, load_id: int) -> Source:
        from kly_mage.warehouse.postgres import unload

        with self._cursor() as cursor:
            return unload.source_of(cursor, load_id)

    def unload(self, what: Selection, asked: str, text: Callable[[str], str], *, keep: bool) -> Unloaded:
        from kly_mage.warehouse.postgres import unload

        def work() -> Unloaded:
            with self._cursor() as cursor:
                done = unload.unload(cursor, what, asked, text)
                if not keep:
                    cursor.connection.rollback()
                return done

        return retrying(work)

    def forget(
        self, sources: Collection[Source], person: str, by: str, text: Callable[[str], str], *, keep: bool
    ) -> list[Removed]:
        from kly_mage.warehouse.postgres import forgotten

        def work() -> list[Removed]:
            with self._cursor() as cursor:
                done = forgotten.forget(cursor, sources, person, by, text)
                if not keep:
                    cursor.connection.rollback()
                return done

        return retrying(work)

    def holding_still(self) -> list[str]:
        return []  # what was deleted is gone with the next vacuum

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        """A transaction over a warehouse whose tables are there."""
        from kly_mage.warehouse.postgres.connection import connect
        from kly_mage.warehouse.postgres.ddl import ensure_schema

        settings = server(self.settings)
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            yield cursor

    def rebuild(self, text: Callable[[str], str]) -> dict[str, int]:
        from kly_mage.warehouse.postgres import verify

        return retrying(lambda: verify.rebuild(server(self.settings), text))

    def waiting_rejects(
        self, sources: Collection[str], days: Window | None, *, accepted_too: bool = False, limit: int | None = None
    ) -> Iterator[Waiting]:
        return rejects.waiting(server(self.settings), sources, days, accepted_too=accepted_too, limit=limit)

    def causes(self, sources: Collection[str], days: Window | None) -> list[Cause]:
        return rejects.causes(server(self.settings), sources, days)

    def accept_rejects(self, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
        return decisions.accept_rejects(server(self.settings), sources, days, by, why)

    def take_rejects(self, found: Collection[Waiting]) -> None:
        rejects.take(server(self.settings), found)

    def resolve_rejects(self, found: Collection[Waiting]) -> None:
        rejects.resolve(server(self.settings), [(reject.source, reject.reject_id) for reject in found])

    def waiting_conflicts(
        self, sources: Collection[str], days: Window | None, *, limit: int | None = None
    ) -> Iterator[Conflict]:
        return decisions.conflicts(server(self.settings), sources, days, limit=limit)

    def count_conflicts(self, sources: Collection[str], days: Window | None) -> int:
        return decisions.conflicts_waiting(server(self.settings), sources, days)

    def accept_conflicts(self, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
        return decisions.accept_conflicts(server(self.settings), sources, days, by, why)

    def reader(self) -> Reader:
        from kly_mage.warehouse.postgres import reading

        return reading.Reader(server(self.settings))

    def stream(self, table: Joined | Mart, days: Window | None) -> AbstractContextManager[tuple[dict[str, Kind], Rows]]:
        return summary.stream(self.settings, table, days)
