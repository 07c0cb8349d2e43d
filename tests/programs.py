"""What random programs do to a warehouse, and what has to hold after each step (``test_programs.py`` runs them).

A program delivers files in the order of time (a later file has a later day or a later name), or of a day gone by and under a
name that comes before those that lie there, changes some of them later on, changes what is set and declared, and loads days
whenever it likes. At its end every day is loaded once more, as a daily run would: then gold has to be what the oracle reads
from the files as they are. Where they are not what was loaded any more, somebody was told, and ``repair`` alone has made it
so.
"""

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kly_mage.__main__ import main
from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.model import MISSING
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import Settings, load_settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Column, Kind
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads import runner
from kly_mage.warehouse.postgres import known, ledger
from kly_mage.warehouse.postgres.connection import connect
from tests import oracle
from tests.gold import Query, assert_gold_is_exact, empty_warehouse
from tests.scenes import FIRST, HEADERS, load, refresh

DAYS = 4
days = st.integers(1, DAYS)
people = st.sampled_from(['u1', 'u2', '', '""'])
sessions = st.sampled_from(['s1', 's2', ''])
contents = st.sampled_from(['a1', 'a2', '', '""', '(not set)'])
names = st.sampled_from(['page_view', 'user_engagement', 'scroll'])
spellings = st.sampled_from(
    [
        '{day}T05:0{minute}:00Z',
        '{day} 12:0{minute}:00',
        '{day}T12:0{minute}:00+07:00',
        '{day} 02:3{minute}:00',
        '{day}',
        '{day} noon',
    ]
)
minutes = st.integers(0, 2)
lags = st.sampled_from([0, 0, 0, 1, 2, 3, -1])
numbers = st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(['0.1', '0.10', '1e-6', '-0.05', '0']))
events = st.lists(st.tuples(lags, spellings, minutes, names, people, sessions, contents), min_size=1, max_size=5)
ads = st.lists(st.tuples(lags, spellings, minutes, contents, numbers), min_size=1, max_size=4)
sources = st.sampled_from(list(HEADERS))
numbers_of_files = st.integers(0, 11)
titles = st.lists(
    st.tuples(st.sampled_from(['a1', 'a2', 'a3']), st.sampled_from(['First', 'Second', ''])), min_size=1, max_size=3
)


# Numbers are in the hash all or none: the mart's block names those whose changes it adds up. Where the newest version
# counts, the article is in it too: a restatement changes numbers, it does not move them.
HASH_RULES = (oracle.GAM_KEY, GAM_DELIVERY.names, ('served_at', 'ad_unit'))
LATE_DAYS = 3
# As which kinds a column may be declared one after the other: what was equal stays equal.
KINDS: tuple[Kind | None, ...] = (None, 'text', 'count', 'money')


@dataclass(frozen=True)
class Declaration:
    """What a program changes of the declarations, for the product and for the oracle."""

    hash_columns: tuple[str, ...] = HASH_RULES[0]
    restatements: Literal['keep', 'apply'] = 'keep'
    file_timezone: str | None = None
    early_days: int = 0
    engaged: Kind | None = None
    """How ``engaged``, a column that some files of events have, is declared; None if it is not."""

    def declare(self) -> None:
        """Put it into force; ``migrate`` carries it through."""
        files: dict[str, Any] = {'file_timezone': self.file_timezone, 'early_days': self.early_days}
        columns = GA4_EVENTS.columns
        if self.engaged:
            columns += (Column('engaged', self.engaged, 'Seconds of engagement.'),)
        SOURCES['ga4_events'] = replace(GA4_EVENTS, columns=columns, **files)
        oracle.COLUMNS['ga4_events'] = {column.name: column.kind for column in columns}
        SOURCES['gam_delivery'] = source = replace(
            GAM_DELIVERY, hash_columns=self.hash_columns, restatements=self.restatements, **files
        )
        oracle.GAM_KEY = self.hash_columns
        oracle.GAM_NUMBERS = tuple(column.name for column in source.value_columns)
        oracle.NEWEST_COUNTS = self.restatements == 'apply'
        for name in ('ga4_events', 'gam_delivery'):
            oracle.FILE_ZONE[name] = ZoneInfo(self.file_timezone or load_settings().timezone)
            oracle.EARLY_DAYS[name] = self.early_days


def write(path: Path, lines: list[str]) -> None:
    """A file of these lines, each with its end."""
    path.write_text('\n'.join([*lines, '']), 'utf-8')


class CrashedError(Exception):
    """What the program throws into an open transaction."""


def instant(first: date, day: int, lag: int, spelling: str, minute: int) -> str:
    return spelling.format(day=first + timedelta(min(max(1, day - lag), DAYS) - 1), minute=minute)


def event_row(day: int, parts: tuple[Any, ...], first: date = FIRST) -> str:
    lag, spelling, minute, *values = parts
    return ','.join([instant(first, day, lag, spelling, minute), *values])


def ad_row(day: int, parts: tuple[Any, ...], first: date = FIRST) -> str:
    lag, spelling, minute, content, (impressions, clicks, revenue) = parts
    return f'{instant(first, day, lag, spelling, minute)},/top,l,c,{content},{impressions},{clicks},{revenue}'


def article_row(parts: tuple[str, str]) -> str:
    article, title = parts
    return f'{article},site,{title},author,news,2025-10-01'


class Programs(RuleBasedStateMachine):
    """What can happen to a warehouse, in any order."""

    database: Settings
    query: Query
    first = FIRST

    @initialize(
        fetched_per_lookup=st.sampled_from([0, 1, 8]),
        restatements=st.sampled_from(['keep', 'apply']),
        late_days=st.sampled_from([LATE_DAYS, LATE_DAYS, 1]),
    )
    def empty(self, fetched_per_lookup: int, restatements: Literal['keep', 'apply'], late_days: int) -> None:
        # Bronze's hashes are looked up, or fetched, or first this, then that.
        known.FETCHED_PER_LOOKUP = fetched_per_lookup
        self.landing = Path(tempfile.mkdtemp(prefix='kly_program_'))
        for source in HEADERS:
            (self.landing / source).mkdir()
        self.late_days = late_days
        os.environ |= {'KLY_DATA_DIR': str(self.landing), 'KLY_LATE_DAYS': str(late_days), 'KLY_CONFLICT_LIMIT': '1'}
        self.names, self.others, self.day = itertools.count(), itertools.count(), 1
        self.is_changed = False  # whether a file has rows no more that it had, and nobody has repaired it
        empty_warehouse(self.query)
        self.declared = Declaration()
        self._declare(restatements=restatements)

    def teardown(self) -> None:
        if not hasattr(self, 'landing'):
            return
        try:
            loads = self._run(0, DAYS + 1)  # an evening in UTC is the day before where clocks are behind
            if self.is_changed:
                is_told = any(load['files_changed'] or load['rows_outside'] for load in loads.values())
                assert is_told or self._differences() is None, f'nobody was told: {self._differences()}'
                self.repair()
            else:
                assert not any(load['files_changed'] for load in loads.values()), 'a change of files that never was'
            assert self._differences() is None, self._differences()
            self._verify()
            self._reconcile()
        finally:
            shutil.rmtree(self.landing)

    @rule()
    def the_next_day_begins(self) -> None:
        self.day = min(self.day + 1, DAYS)

    @rule(rows=events)
    def deliver_events(self, rows: list[Any]) -> None:
        self._deliver('ga4_events', [event_row(self.day, row, self.first) for row in rows])

    @rule(rows=events, engaged=st.sampled_from(['1', '1.0', '', '""', '0']))
    def deliver_events_with_a_further_column(self, rows: list[Any], engaged: str) -> None:
        rows = [f'{event_row(self.day, row, self.first)},{engaged if row[2] else "2"}' for row in rows]
        self._deliver('ga4_events', rows, f'{HEADERS["ga4_events"]},engaged')

    @rule(rows=ads)
    def deliver_ads(self, rows: list[Any]) -> None:
        self._deliver('gam_delivery', [ad_row(self.day, row, self.first) for row in rows])

    @rule(rows=ads, device=st.sampled_from(['mobile', '', '""', 'tv']))
    def deliver_ads_with_a_further_column(self, rows: list[Any], device: str) -> None:
        rows = [f'{ad_row(self.day, row, self.first)},{device if row[2] else "mobile"}' for row in rows]
        self._deliver('gam_delivery', rows, f'{HEADERS["gam_delivery"]},device')

    @rule(rows=titles)
    def deliver_articles(self, rows: list[Any]) -> None:
        self._deliver('cms_articles', [article_row(row) for row in rows])

    @rule(source=st.sampled_from(['ga4_events', 'gam_delivery', 'cms_articles']))
    def deliver_the_last_file_again(self, source: str) -> None:
        paths = sorted((self.landing / source).iterdir())
        if paths:
            header, *rows = paths[-1].read_text('utf-8').splitlines()
            self._deliver(source, rows, header)

    @rule(source=sources, day=days, ads=ads, events=events, titles=titles)
    def deliver_a_file_whose_name_comes_before(self, source: str, day: int, **rows: list[Any]) -> None:
        day = min(day, self.day)
        if source == 'cms_articles':
            lines = [article_row(row) for row in rows['titles']]
        elif source == 'gam_delivery':
            lines = [ad_row(day, row, self.first) for row in rows['ads']]
            lines = [line for line in lines if self._is_alone(source, line)]
        else:
            lines = [event_row(day, row, self.first) for row in rows['events']]
        self._deliver(source, lines, day=day, is_before=True)

    @rule(start=days, end=days, pipeline=st.sampled_from([None, 'ads_revenue', 'articles_performance']))
    def run_a_range(self, start: int, end: int, pipeline: str | None) -> None:
        self._run(min(start, end), max(start, end), pipeline)

    @rule(source=st.sampled_from(['ga4_events', 'gam_delivery']), day=days)
    def load_a_day_without_its_refresh(self, source: str, day: int) -> None:
        load(load_settings(), source, day, first=self.first)

    @rule(mart=st.sampled_from(['ga4_daily_summary', 'gam_daily_summary']))
    def refresh_a_mart(self, mart: str) -> None:
        refresh(mart)

    @rule(source=st.sampled_from(['ga4_events', 'gam_delivery']), day=days)
    def crash_inside_a_load(self, source: str, day: int) -> None:
        def crash(*values: object) -> None:
            raise CrashedError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, 'finish', crash)
            with pytest.raises(CrashedError):
                load(load_settings(), source, day, first=self.first)

    @rule(mart=st.sampled_from(['ga4_daily_summary', 'gam_daily_summary']))
    def crash_inside_a_refresh(self, mart: str) -> None:
        text = runner.Block(mart, 'data_exporter', 'sql', ()).sql()
        with connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute(text)
            connection.rollback()

    @rule(source=sources, which=numbers_of_files, change=st.sampled_from(['numbers', 'another row', 'a broken row']))
    def replace_a_file(self, source: str, which: int, change: str) -> None:
        """By one that has a row corrected: in its numbers, so that it is another row, or so that it cannot be used."""
        if found := self._file_with_rows(source, which):
            path, rows = found
            row = rows[which % len(rows)].split(',')
            if change == 'a broken row' and source != 'cms_articles':
                row[0] = 'no day'
            elif change == 'numbers' and source == 'gam_delivery':
                row[7] = f'{next(self.others)}.5'
            else:
                row[2] = f'another {next(self.others)}'
            rows[which % len(rows)] = ','.join(row)
            self._replace(path, rows)

    @rule(source=sources, which=numbers_of_files, kept=st.integers(0, 2))
    def remove_rows(self, source: str, which: int, kept: int) -> None:
        """A file gets shorter, to the point that nothing is left of it."""
        if found := self._file_with_rows(source, which):
            path, rows = found
            self._replace(path, rows[:kept])

    @rule()
    def repair(self) -> None:
        """Alone it makes bronze and gold what the files say."""
        assert main(['repair', '--quiet']) in (0, 3)
        self.is_changed = False
        assert self._differences() is None, self._differences()

    @rule(file_timezone=st.sampled_from([None, 'UTC']), early_days=st.integers(0, 1))
    def shift_the_zone_in_which_files_are_cut(self, file_timezone: str | None, early_days: int) -> None:
        """Rows outside come in, or rows that were loaded are outside now, until ``repair`` takes them out."""
        self.is_changed |= (file_timezone, early_days) != (self.declared.file_timezone, self.declared.early_days)
        self._declare(file_timezone=file_timezone, early_days=early_days)

    @rule(late_days=st.integers(0, LATE_DAYS))
    def rows_may_be_so_late(self, late_days: int) -> None:
        self.is_changed |= late_days < self.late_days
        self.late_days = late_days
        os.environ['KLY_LATE_DAYS'] = str(self.late_days)

    @rule()
    def days_of_another_zone_are_refused(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('KLY_TIMEZONE', 'Pacific/Kiritimati')
            assert main(['backfill', '--start', f'{self.first}', '--end', f'{self.first + timedelta(DAYS)}']) == 1

    @rule(limit=st.sampled_from(['0', '1', '100']))
    def set_the_limit_for_conflicts(self, limit: str) -> None:
        os.environ['KLY_CONFLICT_LIMIT'] = limit

    @rule(what=st.sampled_from(['rejects', 'conflicts']))
    def accept(self, what: str) -> None:
        assert main([what, '--accept', 'as it should be', '--by', 'Ani']) == 0
        assert main([what]) == 0

    @rule(kind=st.sampled_from(KINDS))
    def declare_a_column(self, kind: Kind | None) -> None:
        """One that the files have had before, or not; or give it another type."""
        self._declare(engaged=max(kind, self.declared.engaged, key=KINDS.index))

    @rule(hash_columns=st.sampled_from(HASH_RULES))
    def change_what_makes_two_ads_the_same(self, hash_columns: tuple[str, ...]) -> None:
        if self.declared.restatements == 'keep' or 'content_id' in hash_columns:
            self._declare(hash_columns=hash_columns)

    @rule()
    def rebuild_gold(self) -> None:
        rebuild(load_settings())

    @rule()
    def set_the_clock_back(self) -> None:
        """What a clock ahead leaves behind: stamps and a watermark half an hour from now."""
        self.query("update ops.watermarks set watermark = now() + interval '30 minutes' where mart = 'bronze.cms_articles'")

    @invariant()
    def the_ledger_adds_up(self) -> None:
        sums = 'rows_duplicate + rows_new + rows_already_loaded + rows_rejected + rows_conflicting'
        sums += ' + rows_outside + rows_forgotten + rows_unchanged + rows_restated + rows_superseded'
        assert self.query(f'select count(*) from ops.loads where rows_read <> {sums}') == [(0,)]

    def _deliver(
        self, source: str, rows: list[str], header: str | None = None, day: int | None = None, *, is_before: bool = False
    ) -> None:
        named, number = self.first + timedelta((day or self.day) - 1), next(self.names)
        end = f'-{999 - number:03}' if is_before else f'_{number:03}'  # a hyphen comes before an underscore
        write(self.landing / source / f'{source}_{named:%Y%m%d}{end}.csv', [header or HEADERS[source], *rows])

    def _run(self, start: int, end: int, pipeline: str | None = None) -> dict[str, Any]:
        return run(start, end, pipeline, self.first)

    def _declare(self, **changes: Any) -> None:
        self.declared = replace(self.declared, **changes)
        self.declared.declare()
        assert main(['migrate']) == 0

    def _file_with_rows(self, source: str, which: int) -> tuple[Path, list[str]] | None:
        """One of the files that have rows, and these."""
        files = [(path, path.read_text('utf-8').splitlines()[1:]) for path in sorted((self.landing / source).iterdir())]
        files = [(path, rows) for path, rows in files if rows]
        return files[which % len(files)] if files else None

    def _replace(self, path: Path, rows: list[str]) -> None:
        header, *_ = path.read_text('utf-8').splitlines()
        write(new := self.landing / 'new', [header, *rows])
        new.replace(path)
        self.is_changed = True

    def _is_alone(self, source: str, row: str) -> bool:
        """Whether no row of the files can have its key: where the first version counts, one that was loaded stays it."""
        if source != 'gam_delivery' or self.declared.restatements == 'apply':
            return True
        others = [line for path in (self.landing / source).iterdir() for line in path.read_text('utf-8').splitlines()[1:]]
        return [self._instant(other) for other in others].count(self._instant(row)) == 0

    def _instant(self, row: str) -> datetime | str:
        text = row.partition(',')[0]
        try:
            return oracle.instant_of(text, ZoneInfo(self.database.timezone))
        except oracle.BrokenRowError:
            return text

    def _differences(self) -> str | None:
        """What gold has otherwise than the oracle; None if it is exact."""
        try:
            assert_gold_is_exact(self.query, self.landing, self.database.timezone, self.late_days)
        except AssertionError as error:
            return str(error)
        return None

    def _verify(self) -> None:
        report = verify(load_settings())
        assert report is not None
        assert report.differences == []

    def _reconcile(self) -> None:
        """Every row of the files has its place, and none is missing but those outside."""
        report = reconcile(load_settings())
        for line in report.lines:
            assert not line.rows_unexplained
            missing = {place: line.rows[place] for place in (*MISSING, 'in_no_file') if line.rows.get(place)}
            assert missing.keys() <= {'outside'}, f'{line.source} {line.day}: {missing}'
            assert not any(line.gold_difference(name) for name in line.sums), f'{line.source} {line.day}: {line.sums}'


def run(start: int, end: int, pipeline: str | None = None, first: date = FIRST) -> dict[str, Any]:
    """Pipelines, or both, over days counted from the first; what each load did."""
    wanted, begin, last = (
        [pipeline] if pipeline else runner.names(),
        first + timedelta(start - 1),
        first + timedelta(end - 1),
    )
    return runner.run(wanted, start_date=begin, end_date=last, started_by='program')
