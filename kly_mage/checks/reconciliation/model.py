"""The account of a reconciliation: per source and day, in which place how many rows and how much money are.

Each row of a file is in exactly one place:

- ``duplicate``: repeats a row that another line has already delivered
- ``bronze``: stands in bronze as the file has it, and counts; or has come to count in place of what bronze has of its row
- ``conflict``: stands in the conflicts table, and waits: a row that counts shares its hash and has other numbers
- ``rejected``: stands in ``bronze.rejects``
- ``superseded``: stands in a file of an export in whose place a newer delivery of the day is in force, or is a version of a
  row in whose place that of a newer file counts
- ``not_loaded``: was not loaded (yet)
- ``outside``: is dated outside the days its file may hold, so no load takes it
- ``forgotten``: is of a person who was forgotten, so no load takes it
- ``lost``: was loaded, but its bronze row is gone
- ``changed``: was loaded, but its bronze row was changed afterwards

Beside them bronze keeps what counts no longer: ``replaced`` by another version in a newer delivery, or ``withdrawn``,
because the newest of its day has none.

Gold holds ``bronze``, and what has been put into bronze without any file (``in_no_file``).
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared.marts import mart_of

PLACES = (
    *('duplicate', 'bronze', 'conflict', 'rejected', 'superseded'),
    *('not_loaded', 'outside', 'forgotten', 'lost', 'changed'),
)
EARLIER = ('replaced', 'withdrawn')  # rows of bronze that count no longer
MISSING = ('not_loaded', 'outside', 'lost', 'changed')
NO_FILE = 'no file'  # the kind of a finding about days that lack their file


@dataclass
class Line:
    """One source and day: how many rows are in which place, and what they amount to.

    ``rows`` and each of ``sums`` map a place to a number; ``read`` is what the files hold in all, ``stored`` what of
    bronze counts, ``in_no_file`` what of it no file holds, ``gold`` what the mart says, ``summary`` what
    ``gold.daily_summary`` says. Of the duplicate and the conflicting rows, ``duplicate_same_file`` and
    ``conflict_same_file`` stand in the file of the row they repeat or contradict. ``waiting`` are the conflicting
    rows that wait for a decision. ``late`` counts distinct rows by the
    days from their own to that of the file that brought them first. ``facts`` is the day's row of
    ``gold.reconciliation``.
    """

    source: str
    day: date | None
    rows: dict[str, int] = field(default_factory=dict)
    sums: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    late: dict[int, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def count(self, place: str, rows: int) -> None:
        """Add rows to a place."""
        self.rows[place] = self.rows.get(place, 0) + rows

    def add(self, measure: str, place: str, amount: Decimal | int | None) -> None:
        """Add an amount to a place."""
        of = self.sums.setdefault(measure, {})
        of[place] = of.get(place, Decimal(0)) + Decimal(amount or 0)

    def sum(self, measure: str, *places: str) -> Decimal:
        """What a measure amounts to in these places together."""
        return sum((self.sums.get(measure, {}).get(place, Decimal(0)) for place in places), Decimal(0))

    @property
    def money(self) -> str | None:
        """The measure of this source that finance asks for; None if it brings no money."""
        mart = mart_of(self.source)
        return mart.money if mart else None

    def money_in(self, *places: str) -> Decimal:
        """The money in these places together; 0 for a source without."""
        return self.sum(self.money, *places) if self.money else Decimal(0)

    def is_beyond(self, percent: Decimal) -> bool:
        """Whether more than so much of the rows or of the money waits for a decision."""
        shares = [(Decimal(self.rows.get(place, 0)) for place in ('waiting', 'read'))]
        shares.append(abs(self.money_in(place)) for place in ('waiting', 'read'))
        return any(waiting * 100 > percent * read for waiting, read in shares)

    @property
    def rows_unexplained(self) -> int:
        """Rows of the files that are in no place: 0, or this program is wrong, or bronze holds a row twice."""
        return self.rows.get('read', 0) - sum(self.rows.get(place, 0) for place in PLACES)

    def gold_difference(self, measure: str) -> Decimal:
        """How far the mart is from what it should have counted; what was changed in bronze it has counted before."""
        return self.sum(measure, 'gold') - self.sum(measure, 'bronze', 'lost', 'changed', 'in_no_file')

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, changed, or counted otherwise than it should be."""
        return (
            not any(self.rows.get(place) for place in (*MISSING, 'in_no_file'))
            and not self.rows_unexplained
            and not any(self.gold_difference(measure) for measure in self.sums)
        )


@dataclass(frozen=True)
class Finding:
    """One thing to know, in one line, with the command that repairs it.

    Attributes:
        kind: what sort of thing, for programs.
        source: whose.
        text: the line.
        command: what repairs it, or shows more of it; None if nothing can be done.
        wrong: whether numbers are not right until it is repaired.
    """

    kind: str
    source: str
    text: str
    command: str | None = None
    wrong: bool = True


@dataclass
class Causes:
    """What is known of one source besides its lines, for the findings: places, files, loads.

    Attributes:
        covered: days that a finished load was asked for.
        not_loaded: per file: its day, rows that were not loaded, their first and last day.
        outside: per file: its day, rows that no load takes, their first and last day, line of the first.
        damaged: per place (lost, changed, unregistered, restated, in_no_file): rows with their day, file and line if a file
            has them, and hash; at most ``account.NAMED`` per place.
        changed: files that are not as the last load that read them saw them: name, day, size then, size now.
        gone: files that loads have read and that are not there any more, and their day.
        without_file: days of the range that have and had no file of their own.
        unreadable: files that cannot be read, in a sentence each, with the days they may hold, None for any.
        uncounted: rows of bronze beyond the mart's watermark.
        stale_rejects: rejects that wait although their file no longer has that row.
        same_file: the columns that tell conflicting rows of one file apart.
    """

    source: str
    covered: set[date] = field(default_factory=set)
    not_loaded: list[tuple[str, date | None, int, date | None, date | None]] = field(default_factory=list)
    outside: list[tuple[str, date, int, date, date, int]] = field(default_factory=list)
    damaged: dict[str, list[tuple[date | None, str | None, int | None, str]]] = field(default_factory=dict)
    changed: list[tuple[str, date | None, int, int]] = field(default_factory=list)
    gone: list[tuple[str, date | None]] = field(default_factory=list)
    without_file: list[date] = field(default_factory=list)
    unreadable: list[tuple[str, Window | None]] = field(default_factory=list)
    uncounted: int = 0
    stale_rejects: int = 0
    same_file: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What a reconciliation found.

    Attributes:
        window: the days looked at; None for all.
        checked_at: when it began.
        sources: what was looked at, in the order of the declaration.
        lines: one per source and day, ordered.
        causes: per source.
        findings: what is to be said about it (``findings.find``), the wrong things first.
        conflict_limit: percent of a day's rows or money that may wait for a decision.
        days: per mart and day what gold shows, for the charts: every measure of the mart.
    """

    window: Window | None
    checked_at: datetime
    sources: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    causes: dict[str, Causes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    conflict_limit: Decimal = Decimal(1)
    days: dict[str, dict[date, dict[str, Decimal]]] = field(default_factory=dict)

    @property
    def accounted(self) -> bool:
        """Whether every row and every cent is where it belongs, and no day lacks its file."""
        return self.equal and not self.without_file

    @property
    def equal(self) -> bool:
        """Whether what was delivered is where it belongs, to the cent."""
        wrong = any(finding.wrong and finding.kind != NO_FILE for finding in self.findings)
        return not wrong and all(line.adds_up for line in self.lines)

    @property
    def without_file(self) -> dict[str, list[date]]:
        """The days that lack their file, by source."""
        return {name: causes.without_file for name, causes in self.causes.items() if causes.without_file}

    @property
    def undecided(self) -> list[Line]:
        """The days of which too much waits for a decision."""
        return [line for line in self.lines if line.is_beyond(self.conflict_limit)]

    @property
    def is_good(self) -> bool:
        """Whether nobody has to look: everything is where it belongs, and next to nothing waits for a decision."""
        return self.accounted and not self.undecided

    def lines_of(self, source: str) -> list[Line]:
        """The lines of a source."""
        return [line for line in self.lines if line.source == source]

    def total(self, source: str) -> Line:
        """All days of a source as one line, facts left out."""
        total = Line(source, None)
        mart = mart_of(source)
        for measure in mart.additive if mart else ():
            total.sums[measure.name] = {}
        for line in self.lines_of(source):
            for place, rows in line.rows.items():
                total.count(place, rows)
            for name, places in line.sums.items():
                for place, amount in places.items():
                    total.add(name, place, amount)
            for lag, rows in line.late.items():
                total.late[lag] = total.late.get(lag, 0) + rows
        return total

    def fact(self, source: str, name: str) -> Decimal:
        """The sum over the days of a column of ``gold.reconciliation``."""
        return sum((Decimal(line.facts.get(name) or 0) for line in self.lines_of(source)), Decimal(0))

    def rejects(self, source: str) -> dict[str, int]:
        """Rows that wait in bronze.rejects, by reason."""
        reasons: dict[str, int] = {}
        for line in self.lines_of(source):
            for reason, rows in (line.facts.get('rejects') or {}).items():
                reasons[reason] = reasons.get(reason, 0) + rows
        return reasons
