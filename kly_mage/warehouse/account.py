"""What a reconciliation asks of a warehouse: one source's files beside its tables, whichever warehouse it is.

The files' rows go in (``put``, ``put_rejects``), each is placed once (``place``), and counts come out, and what explains
them, all from one picture of the warehouse. In which places rows are says ``checks/reconciliation/model.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kly_mage.declared.marts import mart_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import date, datetime
    from decimal import Decimal

    import polars as pl

    from kly_mage.common.window import Window
    from kly_mage.declared.base import Source
    from kly_mage.landing.files import LandingFile
    from kly_mage.rows.persons import Forgotten

NAMED = 100_000
"""So many damaged rows of a source are named in each place, and no more."""


LINE_BITS = 40
"""A place in the order of delivery is one number: that of the file, and the line in so many lowest bits."""

_MOST_DAYS = 31


def is_few(source: Source, window: Window | None) -> bool:
    """Whether days are looked at by themselves, by the loads that brought their rows: of more, all of bronze is read.

    There is a way to the rows of a source that a mart adds up; others are of any day.
    """
    return bool(window and mart_of(source.name) and (window.end - window.start).days < _MOST_DAYS)


class Count(NamedTuple):
    """So many rows of a day are in a place, and amount to so much: one amount per additive measure of the mart."""

    day: date | None
    place: str
    rows: int
    amounts: tuple[Decimal | None, ...]


class Missing(NamedTuple):
    """Rows of a file, by its number, that were not loaded, or are outside its days; and the line of the first."""

    place: str
    file: int
    rows: int
    first: date
    last: date
    line: int


class Amiss(NamedTuple):
    """A row that is not as it should be: the file, by its number, and the line that say so."""

    place: str
    day: date | None
    file: int
    line: int
    row: str


class Accounts(Protocol):
    """A reconciliation of some sources; nobody else's is at work meanwhile."""

    def account(self, source: Source, files: Sequence[LandingFile], window: Window | None) -> Account:
        """The account of one source.

        Args:
            files: all that are read, in the order of their delivery: a row's ``_number`` is its file's place here.
            window: only these days are asked for; None for all.
        """

    def facts(self, sources: Collection[str], window: Window | None) -> dict[tuple[str, date | None], dict[str, Any]]:
        """What ledger, bronze and gold say side by side, by source and day: the columns of ``gold.reconciliation``."""

    def days(self, window: Window | None) -> dict[str, dict[date, dict[str, Decimal]]]:
        """What each mart shows by day: its measures, summed up over its articles."""


class Account(Protocol):
    """One source."""

    # --- the files' rows go in ----------------------------------------------------------------------------------------

    def persons(self) -> Forgotten | None:
        """The persons who were forgotten; None if there are none."""

    def days_of_newer(self, file: str) -> list[date]:
        """The local days of which a newer delivery than a file's is in force."""

    def put(self, rows: pl.DataFrame) -> None:
        """Usable, hashed rows; ``_number`` is their file's, ``_outside`` marks rows that no load takes from it,
        ``_superseded`` those in whose place a newer delivery stands.
        """

    def put_rejects(self, rows: pl.DataFrame) -> None:
        """Rejected rows; one without a readable day goes with ``_file_day``, that of its file."""

    def leave_out(self, numbers: list[int]) -> None:
        """Take back the rows of these files: no load takes a part of a file."""

    def place(self) -> None:
        """Find each distinct version of a row in bronze, the registry and the conflicts table."""

    def settle(self) -> None:
        """Say which of several versions of a row counts, by the files."""

    # --- counts come out ----------------------------------------------------------------------------------------------

    def delivered(self) -> Iterator[Count]:
        """All rows of the files (``read``), and the versions in their places with the rows that repeat them."""

    def same_file(self) -> Iterator[Count]:
        """Of the duplicate and the conflicting rows, those in the file of the row they repeat or contradict."""

    def waiting(self) -> Iterator[Count]:
        """Of the conflicting rows, those that wait for a decision (``waiting``)."""

    def rejects(self) -> Iterator[Count]:
        """The files' rejected rows by place; the one amount is the source's money, as far as it can be read."""

    def stored(self) -> Iterator[Count]:
        """What of bronze counts (``stored``), and what counts no longer (``replaced``, ``withdrawn``)."""

    def in_no_file(self) -> Iterator[Count]:
        """What of bronze counts and no file holds (``in_no_file``)."""

    def gold(self) -> Iterator[Count]:
        """What the mart says (``gold``), and what the joined view says (``summary``)."""

    def lateness(self) -> list[tuple[date, int, int]]:
        """Distinct rows by the days from their own to that of the file that brought them first: day, days late, rows."""

    # --- what explains them -------------------------------------------------------------------------------------------

    def days_asked_for(self) -> set[date]:
        """The days of all finished loads; a load without bounds was asked for no day in particular."""

    def missing(self) -> list[Missing]:
        """The rows not loaded, or outside the days of their file, by file."""

    def damaged(self) -> list[Amiss]:
        """Rows lost or changed in bronze."""

    def unsourced(self) -> list[tuple[date | None, str, bool]]:
        """Rows of bronze that no file holds: day, hash, whether the registry has it."""

    def not_the_newest(self) -> list[tuple[date | None, str]]:
        """Rows of which another version counts than the newest of the files, where that one should: day, hash."""

    def other_versions(self) -> list[Amiss]:
        """Rows of which another version counts than the files say came first, and versions of articles, last."""

    def files_as_loaded(self) -> dict[str, tuple[int, datetime]]:
        """Size and time of the files as the last load that read them saw them."""

    def waiting_for_refresh(self) -> int:
        """Rows that the mart has not taken in yet."""

    def stale_rejects(self) -> int:
        """Rejected rows that wait although their file no longer has them, or not with that fault."""

    def conflicting_in_one_file(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of one file and key that are several versions: what each says in text columns, and its version ``_at``."""

    # --- what stays ---------------------------------------------------------------------------------------------------

    def keep(self, records: list[dict[str, object]]) -> None:
        """Replace what ``ops.file_checks`` has of this source and these days.

        Args:
            records: the columns of ``ops.file_checks``, one per day.
        """

    def close(self) -> None:
        """Forget what was put in; what was kept stays."""
