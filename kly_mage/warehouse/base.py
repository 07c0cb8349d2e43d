"""What loads and commands ask of a warehouse: one method per unit of work, whichever warehouse it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # whoever asks for a warehouse has imported what he hands over
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import date, datetime

    import polars as pl

    from kly_mage.common.settings import Settings
    from kly_mage.common.window import Window
    from kly_mage.declared.base import Source
    from kly_mage.declared.marts import Joined, Mart
    from kly_mage.landing.files import LandingFile
    from kly_mage.landing.unchanged import Kept
    from kly_mage.warehouse.account import Accounts
    from kly_mage.warehouse.costs import Cost
    from kly_mage.warehouse.forgetting import Removed
    from kly_mage.warehouse.gold import Asked, Found, Kind, Rows, Table
    from kly_mage.warehouse.in_place import InPlace
    from kly_mage.warehouse.report import Report
    from kly_mage.warehouse.request import Request
    from kly_mage.warehouse.standing import Accepted, Finding, Held, Load
    from kly_mage.warehouse.unloading import Selection, Unloaded
    from kly_mage.warehouse.waiting import Cause, Conflict, Waiting


class Warehouse(Protocol):
    """A warehouse with its tables. Errors are ``KlyError``; what passes is tried again inside."""

    def reach(self) -> Settings:
        """Have it there, and say to this process where; gives the settings that lead to it."""

    def load(self, request: Request, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
        """Load rows, all or nothing; gives what ``warehouse/postgres/load.py`` says of a load."""

    def in_place(self, source: Source) -> InPlace | None:
        """What stands of a source in the warehouse itself; None if its rows come from files."""

    def load_in_place(self, request: Request) -> dict[str, Any]:
        """Load rows of such tables, which the request names as its files; gives what ``load`` does."""

    def refresh(self, mart: str, text: Callable[[], str]) -> None:
        """Bring a table of gold up to date.

        Args:
            mart: the table, which the SQL block is named after.
            text: reads that block; a warehouse that has its own statements does not ask for it.
        """

    def last_refresh(self, mart: str) -> str | None:
        """One line about what the last refresh of a table of gold has left; None if there is no such table."""

    def look_up(self, table: Joined | Mart, asked: Asked) -> Found | None:
        """The lines of a table of gold; None if it has not the columns that are asked for."""

    def taken(self, source: str) -> frozenset[str]:
        """The ids of the rejects of which somebody has said that they are whole rows."""

    def files_read(self, source: Source) -> set[tuple[str, int, datetime]]:
        """Signatures of the files that loads have read, in the state they had then."""

    def kept(self, source: Source, files: Collection[LandingFile]) -> dict[str, Kept]:
        """What finished loads have kept of some files, by their names, for who is about to read them."""

    def first_waiting(self, source: Source, files: Iterable[LandingFile], days: Window) -> date | None:
        """The first of these days that no load was asked for, or whose file none has seen."""

    def missing_days(self, source: Source, files: Collection[LandingFile], days: Window) -> list[date]:
        """The days without a file of their own, now or when they were loaded."""

    def by_day(self, load_ids: Iterable[int]) -> dict[date, dict[str, dict[str, int]]]:
        """Per day and source: rows read, and what became of them."""

    def of_pipeline_runs(self, runs: list[str]) -> list[dict[str, Any]]:
        """Per source what the finished loads of these runs of pipelines in Mage did, as ``load`` tells it of one."""

    def rejects(self, load_id: int, limit: int) -> list[str]:
        """The first rows that a load was the first to reject, a line each."""

    def outside(self, load_id: int, limit: int) -> list[str]:
        """What a load has met of days that its files may not hold, a line per file."""

    def changed(self, source: Source, days: Window, limit: int) -> list[str]:
        """The files that hold other rows than those they were loaded with, a line each."""

    def loads(self, sources: Collection[Source]) -> dict[str, list[Load]]:
        """All loads of each source, the first one first."""

    def held(self, files: Mapping[str, list[LandingFile]], days: Window | None, asked: Window | None) -> dict[str, Held]:
        """What is known of each source, for ``status``.

        Args:
            files: all there are, by source.
            days: those that are looked at; without them nothing that is of days.
            asked: those that somebody asked for; None for all.
        """

    def accept_day(self, source: Source, finding: Finding, day: date, now: Accepted, by: str, why: str) -> None:
        """Note that a day that is out of the ordinary needs no further look, as it is now."""

    def refused_days(self, source: Source, days: Window) -> list[date]:
        """The days whose last load has failed: of one that its volume stopped nothing else is known."""

    def costs(self, days: Window) -> list[Cost]:
        """What these days have cost, the last one first; of one without a bill, nothing."""

    def verify(self) -> Report | None:
        """Compare gold with bronze, bronze with its hashes, registries and ledger; None if nothing was ever loaded."""

    def accounts(self) -> AbstractContextManager[Accounts]:
        """A reconciliation of the landing zone with the warehouse; a second one waits until it ends."""

    def remove(self, source: Source, hashes: Collection[str], days: Window | None) -> set[date]:
        """Take rows out of bronze with all their versions, and note it in the ledger of their loads.

        Args:
            hashes: of these rows, as texts.
            days: what files held of them is forgotten: loads that follow note it anew. None for all.

        Returns:
            The days on which they may have counted, for ``recount``.
        """

    def recount(self, days: Mapping[str, Collection[date]], text: Callable[[str], str]) -> None:
        """Make gold what bronze gives for these days of sources: readers see the old rows, then the new.

        Args:
            days: by source; of one without any, what joins it is made anew.
            text: as for ``rebuild``.
        """

    def source_of_load(self, load_id: int) -> Source:
        """The source of a load that has ended well and is not taken out yet.

        Raises:
            UsageError: there is no such load.
        """

    def unload(self, what: Selection, asked: str, text: Callable[[str], str], *, keep: bool) -> Unloaded:
        """Take out what is selected, and build gold anew: all or nothing.

        Args:
            asked: the command, for the ledger.
            text: reads the SQL block of a name, as for ``refresh``.
            keep: False only finds out what would go.
        """

    def forget(
        self, sources: Collection[Source], person: str, by: str, text: Callable[[str], str], *, keep: bool
    ) -> list[Removed]:
        """Take out all rows of a person, and have loads leave out what files bring of him later: all or nothing.

        Args:
            sources: each with a ``person_column``.
            person: as they know him, to the character.
            by: who asks for it, for the ledger.
            text: as for ``unload``.
            keep: False only finds out what would go.
        """

    def holding_still(self) -> list[str]:
        """What of the warehouse still holds for a while what was taken out, a line each."""

    def rebuild(self, text: Callable[[str], str]) -> dict[str, int]:
        """Empty the marts and fill them from all of bronze: readers see the old rows, then the new.

        Args:
            text: reads the SQL block of a name, as for ``refresh``.

        Returns:
            Rows by table of gold.
        """

    def waiting_rejects(
        self, sources: Collection[str], days: Window | None, *, accepted_too: bool = False, limit: int | None = None
    ) -> Iterator[Waiting]:
        """The rejects that wait, by source, file and line, as they come; on request accepted ones as well.

        Args:
            days: only of these; a row without a readable day goes with its file.
            limit: no more than so many.
        """

    def causes(self, sources: Collection[str], days: Window | None) -> list[Cause]:
        """How many rejects wait for the same reason in the same column of a file; the most first."""

    def accept_rejects(self, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
        """Note that the rejects that wait need no further look; gives how many."""

    def take_rejects(self, rejects: Collection[Waiting]) -> None:
        """Note that these rows, held back because their lines have no end, are whole."""

    def resolve_rejects(self, rejects: Collection[Waiting]) -> None:
        """Mark rejects as resolved; they are never deleted."""

    def waiting_conflicts(
        self, sources: Collection[str], days: Window | None, *, limit: int | None = None
    ) -> Iterator[Conflict]:
        """The conflicts that wait, by source, file and line, as they come; of each source no more than ``limit``."""

    def count_conflicts(self, sources: Collection[str], days: Window | None) -> int:
        """How many conflicts wait."""

    def accept_conflicts(self, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
        """Note that the conflicts that wait need no further look; gives how many."""

    def reader(self) -> Reader:
        """What pages ask."""

    def stream(self, table: Joined | Mart, days: Window | None) -> AbstractContextManager[tuple[dict[str, Kind], Rows]]:
        """All rows of a table of gold in the order of its key, as they were at one moment, some at a time.

        Returns:
            What each column holds, by its name, and the rows.

        Raises:
            NotBuiltError: the table is not built yet.
        """


class Reader(Protocol):
    """A warehouse as pages see it: whoever asks it can change nothing, and waits for no load."""

    def query(self, name: str, values: Mapping[str, Any]) -> Table:
        """The answer to a named query: ``queries/NAME.sql`` of the warehouse, with these values for its parameters.

        Raises:
            NotBuiltError: nothing was loaded so far.
            UsageError: the warehouse has no query of that name yet.
        """

    def look_up(self, table: Joined | Mart, asked: Asked) -> Found | None:
        """As ``Warehouse.look_up``."""
