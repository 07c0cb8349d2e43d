"""How a source stands: its loads, what waits for somebody, and what is not as it is declared to be."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from kly_mage.common.text import counted
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.warehouse.outside import Outside


@dataclass(frozen=True)
class Load:
    """One load.

    Attributes:
        status: as in ``ops.loads``.
        files: size and time of the files it looked at.
        error: why it failed.
        alive: it is at work now; one that is ``running`` and not alive has died.
    """

    load_id: int
    start: date
    end: date
    status: str
    files: dict[str, tuple[int, datetime]]
    finished_at: datetime | None
    error: str | None
    alive: bool


@dataclass
class Standing:
    """How a source stands, over all its loads.

    Attributes:
        last_load: number, days, end and initiator of the last finished load.
        newest_day: the newest day with rows in bronze.
        rejects: rows that wait as rejects; files left out are not among them.
        conflicts: rows that wait as conflicts.
        late: distinct rows by days of lateness, as the last reconcile found them.
        rules: new rows of all loads that break a rule, by rule.
    """

    last_load: dict[str, Any] | None = None
    newest_day: date | None = None
    rejects: int = 0
    conflicts: int = 0
    late: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Stale:
    """The newest day of a source's rows, how many days ago that is, and how many it may be."""

    newest: date
    age: int
    most: int

    def __str__(self) -> str:
        return f'nothing is newer than {self.newest}, {counted(self.age, "day")} ago; at most {self.most:,} are declared'

    @property
    def since(self) -> list[date]:
        """The days that have gone by without rows: those after the newest, today not among them."""
        return list(Window(moved(self.newest, 1), moved(self.newest, self.age - 1))) if self.age > 1 else []


def told_stale(stale: Stale | None) -> dict[str, Any]:
    """What a load says of it: the sentence, or None, and the days that have gone by."""
    return {'stale': stale and str(stale), 'stale_days': [day.isoformat() for day in stale.since] if stale else []}


def stale(source: Source, newest: date | None, today: date) -> Stale | None:
    """Whether the newest day of a source is older than it may be."""
    if source.freshness is None or newest is None or (today - newest).days <= source.freshness.days:
        return None  # of a source that has nothing, its missing days speak
    return Stale(newest, (today - newest).days, source.freshness.days)


Finding = Literal['volume', 'freshness']
"""What a day is out of the ordinary by."""


@dataclass(frozen=True)
class Accepted:
    """How many rows a day had when it was accepted, and how many were usual; None for whatever it brings."""

    rows: int | None
    usual: int | None

    def covers(self, rows: int) -> bool:
        """Whether so many rows are no farther off than those that were accepted."""
        if self.rows is None or self.usual is None:
            return True
        return min(self.rows, self.usual) <= rows <= max(self.rows, self.usual)


@dataclass(frozen=True)
class FarOff:
    """A day, its distinct usable rows, and how many the days around it bring in the middle."""

    day: date
    rows: int
    usual: int

    def __str__(self) -> str:
        return f'{self.day}: {counted(self.rows, "row")}, a day around it brings {self.usual:,}'


@dataclass(frozen=True)
class Changed:
    """A file that holds other rows of a day now than a load has loaded; ``day`` is None for a file of any days."""

    file: str
    day: date | None
    load_id: int
    rows: int
    rows_now: int
    money: Decimal | None
    money_now: Decimal | None

    def __str__(self) -> str:
        of_day = f' of {self.day}' if self.day else ''
        return (
            f'{self.file} is not what load {self.load_id} read: it had {_worth(self.rows, self.money)}{of_day}, '
            f'now it has {_worth(self.rows_now, self.money_now)}{"" if self.rows_now != self.rows else ", others"}'
        )


def _worth(rows: int, money: Decimal | None) -> str:
    worth = f' ({money:,f} of money)' if money is not None else ''
    return f'{counted(rows, "row")}{worth}'


@dataclass
class Held:
    """What a warehouse knows of a source and some days.

    Attributes:
        standing: over all its loads.
        left_out: those of the files that a load has left out and that are still as it found them, and why.
        seen: size and time of files as the last load that read them saw them.
        rows: the rows that each load has read of each day, and how many of them it had to reject.
        outside: what loads have met of days that their files may not hold.
        changed: files that hold other rows than those they were loaded with.
        rejected: files of which rows wait as rejects.
        usable: files of which a load has had usable rows, of whatever day.
        noted_since: the first load that has noted which files had usable rows; None if none has.
        far_off: days with far fewer or more rows than the days around them.
        stale: that nothing new has come for too long.
    """

    standing: Standing = field(default_factory=Standing)
    left_out: dict[LandingFile, str] = field(default_factory=dict)
    seen: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    rows: dict[tuple[int, date], tuple[int, int]] = field(default_factory=dict)
    outside: dict[int, list[Outside]] = field(default_factory=dict)
    changed: list[Changed] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    usable: set[str] = field(default_factory=set)
    noted_since: int | None = None
    far_off: list[FarOff] = field(default_factory=list)
    stale: Stale | None = None
