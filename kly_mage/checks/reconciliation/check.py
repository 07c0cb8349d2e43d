"""Reconciliation: every row and every cent of the source files, found again in bronze and in gold, or missed by name.

The files are read afresh, slice by slice, and hashed as a load hashes them (``read``); the warehouse says where each row
is (``warehouse/account.py``); this adds it up by day. The ledger is not summed up here: in a re-run, a copy of a known row
counts as known, so its counts are those of a load, not of the files. What the ledger does know is which load looked at which
day and file, and that is what it is asked.
"""

from collections.abc import Iterable
from datetime import date, datetime
from functools import partial

import polars as pl

from kly_mage.checks.reconciliation import findings
from kly_mage.checks.reconciliation.explain import explain
from kly_mage.checks.reconciliation.forgotten import ForgottenRows
from kly_mage.checks.reconciliation.model import MISSING, Line, Report
from kly_mage.checks.reconciliation.read import Reading, find_files
from kly_mage.common.settings import UTC, Settings
from kly_mage.common.text import counted
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.marts import mart_of
from kly_mage.landing.files import LandingFile
from kly_mage.loads.progress import Step, reading, silent
from kly_mage.rows.frames import Frames
from kly_mage.warehouse.account import Account, Count
from kly_mage.warehouse.choice import warehouse


def reconcile(
    settings: Settings,
    sources: Iterable[str] = tuple(SOURCES),
    window: Window | None = None,
    progress: Step = silent,
) -> Report:
    """Read the files again and find every row of them in the warehouse; leaves the result in ``ops.file_checks``.

    Args:
        settings: as ``warehouse.reach`` gives them.
        sources: their names.
        window: only rows of these days, and only the files a load of these days looks at; None for everything.
        progress: is told how many bytes of a source's files are read.
    """
    store = warehouse(settings)
    report = Report(
        window,
        datetime.now(UTC),
        sources=[name for name in SOURCES if name in set(sources)],
        conflict_limit=settings.conflict_limit,
    )
    files = {name: find_files(settings, SOURCES[name]) for name in report.sources}
    days = window or _delivered(files.values())
    with store.accounts() as accounts:
        for name in report.sources:
            read = Reading(settings, SOURCES[name], window)
            _Account(accounts.account(SOURCES[name], read.files, window), read, report, progress).settle()
            if days and files[name]:
                report.causes[name].without_file = store.missing_days(SOURCES[name], files[name], days)
        facts = accounts.facts(report.sources, window)
        report.days = accounts.days(window)
    for line in report.lines:
        line.facts = facts.get((line.source, line.day), {})
    report.lines.sort(key=lambda line: (report.sources.index(line.source), line.day is None, line.day or date.min))
    report.findings = findings.find(report)
    return report


def _delivered(files: Iterable[list[LandingFile]]) -> Window | None:
    """From the first to the last day of a file, of any source."""
    dated = [file.day for of_source in files for file in of_source if file.day]
    return Window(min(dated), max(dated)) if dated else None


class _Account:
    """The account of one source: a line per day, and the causes of what is not as it should be."""

    def __init__(self, account: Account, files: Reading, report: Report, progress: Step) -> None:
        self.account, self.reading, self.report, self.progress = account, files, report, progress
        mart = mart_of(files.source.name)
        self.name, self.money, self.measures = files.source.name, mart and mart.money, mart.additive if mart else ()
        self.lines: dict[date | None, Line] = {}

    def settle(self) -> None:
        """Fill in the report's lines and causes of this source."""
        self._read()
        steps = [
            self.account.place,
            self.account.settle,
            lambda: self._count(self.account.delivered()),
            lambda: self._count(self.account.same_file()),
            lambda: self._count(self.account.waiting()),
            self._count_rejects,
            self._count_stored,
            lambda: self._count(self.account.gold(), only_known_days=True),
            self._explain,
            self._keep,
        ]
        for done, step in enumerate(steps):
            self.progress(f'comparing {self.name}', done, len(steps))
            step()
        rows = sum(line.rows.get('read', 0) for line in self.lines.values())
        self.progress(
            f'comparing {self.name}',
            len(steps),
            len(steps),
            told=f'{counted(rows, "row")} of {counted(len(self.lines), "day")}',
        )
        self.account.close()
        self.report.lines += self.lines.values()

    def _read(self) -> None:
        """All rows of the files into the comparison."""
        files = self.reading.files
        forgotten = ForgottenRows(self.account, self.measures)
        frames = reading(Frames(partial(self.reading.frames, self.account)), self.progress, f'reading {self.name}', files)
        for each in frames.ahead():
            frame = forgotten.part(each)
            rejected = frame.filter(pl.col('_reject').is_not_null())
            rows = frame.filter(pl.col('_reject').is_null()) if rejected.height else frame
            if rows.height:
                self.account.put(rows)
            if rejected.height:
                self.account.put_rejects(rejected)
        if self.reading.left_out:
            self.account.leave_out(self.reading.left_out)
        self._count(forgotten.counts(self.reading.left_out))

    def _line(self, day: date | None) -> Line:
        if day not in self.lines:
            self.lines[day] = Line(self.name, day, sums={measure.name: {} for measure in self.measures})
        return self.lines[day]

    def _count(self, counts: Iterable[Count], *, only_known_days: bool = False) -> None:
        """Add counts to their days.

        Args:
            only_known_days: a day without a line gets one only for an amount: a mart has days that no file has.
        """
        for day, place, rows, amounts in counts:
            if only_known_days and day not in self.lines and not any(amounts):
                continue
            line = self._line(day)
            line.count(place, rows)
            for measure, amount in zip(self.measures, amounts, strict=False):
                line.add(measure.name, place, amount)

    def _count_rejects(self) -> None:
        """A reject is read, and in its place; of its numbers nothing but money can be told."""
        for day, place, rows, (amount,) in self.account.rejects():
            line = self._line(day)
            for name in ('read', place):
                line.count(name, rows)
                if self.money:
                    line.add(self.money, name, amount)

    def _count_stored(self) -> None:
        """What bronze holds by day, and what of it no file holds."""
        self._count(self.account.stored())
        found = sum(line.rows.get(place, 0) for line in self.lines.values() for place in ('bronze', 'changed'))
        if found != sum(line.rows.get('stored', 0) for line in self.lines.values()):
            self._count(self.account.in_no_file())

    def _explain(self) -> None:
        self.report.causes[self.name] = explain(self.account, self.reading, self.lines.values())

    def _keep(self) -> None:
        """Leave the counts for ``gold.reconciliation``."""
        if not self.reading.source.any_day:  # articles may be of any day when they are delivered
            for day, lag, rows in self.account.lateness():
                self._line(day).late[lag] = rows
        self.account.keep([self._record(line) for line in self.lines.values()])

    def _record(self, line: Line) -> dict[str, object]:
        """The columns of ``ops.file_checks``."""
        of = line.rows.get
        money = {
            'revenue_in_files': line.money_in('read'),
            'revenue_in_duplicate_rows': line.money_in('duplicate'),
            'revenue_missing': line.money_in(*MISSING),
            'revenue_in_no_file': line.money_in('in_no_file'),
        }
        return {
            'source': line.source,
            'day': line.day.isoformat() if line.day else None,
            'rows_in_files': of('read', 0),
            'rows_duplicate_same_file': of('duplicate_same_file', 0),
            'rows_duplicate_later_file': of('duplicate', 0) - of('duplicate_same_file', 0),
            'rows_conflicting_same_file': of('conflict_same_file', 0),
            'rows_not_loaded': of('not_loaded', 0),
            'rows_outside': of('outside', 0),
            'rows_forgotten': of('forgotten', 0),
            'rows_lost': of('lost', 0),
            'rows_changed': of('changed', 0),
            'rows_in_no_file': of('in_no_file', 0),
            'rows_late': {str(lag): rows for lag, rows in sorted(line.late.items())},
            **{name: str(amount) if self.money else None for name, amount in money.items()},
            'checked_at': self.report.checked_at.isoformat(),
        }
