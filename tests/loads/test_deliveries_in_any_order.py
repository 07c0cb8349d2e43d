"""Random programs over GA4's export: deliveries in every order and slicing end in the last truth of each day.

The truth is worked out here from the files alone, with sets: of a day of the export the rows of the newest complete kind
that lies there, of a day without one all rows of its intraday files, and the rows of plain files.
"""

import random
from collections import defaultdict
from datetime import date
from typing import Any

import pytest

from kly_mage.checks.reconciliation.check import reconcile
from kly_mage.checks.reconciliation.repair import repair
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.loads import unload
from kly_mage.warehouse.postgres import ledger
from kly_mage.warehouse.postgres.server import server
from tests.gold import Query, empty_warehouse, gold
from tests.scenes import load, refresh, run_days

pytestmark = pytest.mark.one_version

HEADER = 'event_timestamp,event_name,user_pseudo_id,session_id,content_id,traffic_source,batch_event_index'
KINDS = ('events_intraday', 'events_fresh', 'events')
DAYS = 4
MANY = range(1000, 1250)  # what happens in them, test_deliveries_that_happen.py counts
Row = tuple[str, ...]


class CrashedError(Exception):
    """The load dies before it is written down."""


class Program:
    """One landing zone, and what happens to it: here, to GA4's export."""

    source, mart, pipeline, header = 'ga4_events', 'ga4_daily_summary', 'articles_performance', HEADER
    steps = (*('deliver',) * 6, *('run',) * 4, 'load', 'refresh', 'crash', 'rebuild', 'unload', 'repair')
    fewest, most = 12, 18
    begins = False  # whether nothing happens before the first delivery

    def __init__(self, seed: int, settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
        self.random, self.settings, self.query, self.monkeypatch = random.Random(seed), settings, query, monkeypatch
        self.files: dict[str, tuple[int, str, list[Row]]] = {}  # day, kind and rows, by name
        self.told: list[str] = []
        self.earlier: dict[int, list[list[Row]]] = {}  # what complete deliveries of a day have held
        empty_warehouse(query)
        for path in (settings.data_dir / self.source).iterdir():
            path.unlink()

    def row(self, day: int) -> Row:
        """An event of a few: the same one comes again, filled in, moved to another article, day or session."""
        pick = self.random.choice
        at = max(day - pick((0, 0, 0, 1)), 1)
        name = pick(('page_view', 'page_view', 'user_engagement', 'scroll'))
        n = pick(range(4))
        stamp = f'2025-10-{at:02}T{10 + n}:00:00+07:00'
        return (stamp, name, pick(('u1', 'u2', '')), pick(('s1', 's1', 's2')), pick(('a', 'b', '')), pick(('', 'g')), str(n))

    def deliver(self) -> str:
        day = self.random.choice((1, 2, 2, 2, 3, 3, DAYS))
        kind = self.random.choice((*KINDS, 'events', 'events', 'events', 'ga4_events'))
        rows = [self.row(day) for _ in range(self.random.randint(0, 5))]
        parts = 1 if kind in ('events_intraday', 'ga4_events') else self.random.randint(1, 2)
        name = f'{kind}_202510{day:02}'
        if parts == 1 and kind != 'events':  # only adds
            name += f'_{len(self.files)}'
            if kind == 'events_fresh':
                name = f'{kind}_202510{day:02}_0'
        kept = [self.again(row, day) for row in self.rows_of(day, kind) if self.random.random() < 0.8]
        if kind in KINDS[1:]:
            self.withdraw(day, kind)
            earlier = self.earlier.setdefault(day, [])
            rows = earlier[-2] if len(earlier) > 1 and self.random.random() < 0.5 else rows + kept
            earlier.append(rows)
        for part in range(parts):
            self.write(f'{name}-{part}.csv', day, kind, rows[part::parts])
        return f'deliver {name} in {parts}: {rows}'

    def again(self, row: Row, day: int) -> Row:
        """A row as a newer delivery may have it: mostly as it was, else filled in, or of another article, session or day."""
        stamp, name, user, session, content, source, n = row
        changed = self.random.choice(('', '', '', 'source', 'content', 'session', 'day'))
        if changed == 'source':
            source = 'g' if source == '' else ''
        elif changed == 'content':
            content = 'b' if content == 'a' else 'a'
        elif changed == 'session':
            session = 's2' if session == 's1' else 's1'
        elif changed == 'day':
            stamp = f'2025-10-{max(day - int(stamp[:10].endswith(f"{day:02}")), 1):02}{stamp[10:]}'
        return (stamp, name, user, session, content, source, n)

    def rows_of(self, day: int, kind: str) -> list[Row]:
        """What the delivery that is to be replaced holds, or the one before it."""
        for found in (kind, *reversed(KINDS)):
            if rows := [row for of, each, rows in self.files.values() if (of, each) == (day, found) for row in rows]:
                return rows
        return []

    def withdraw(self, day: int, kind: str) -> None:
        for name in [name for name, (of, each, _) in self.files.items() if (of, each) == (day, kind)]:
            del self.files[name]
            (self.settings.data_dir / self.source / name).unlink()

    def write(self, name: str, day: int, kind: str, rows: list[Row]) -> None:
        self.files[name] = (day, kind, rows)
        path = self.settings.data_dir / self.source / name
        path.write_text('\n'.join([self.header, *(','.join(row) for row in rows), '']), 'utf-8')

    def step(self) -> str:
        start = self.random.choice((1, 1, *range(1, DAYS + 1)))
        end = self.random.choice((DAYS, *range(start, DAYS + 1)))
        what = self.random.choice(self.steps)
        if what == 'deliver' or (self.begins and not self.files):
            return self.deliver()
        if not self.files:
            return 'nothing'
        return f'{self.do(what, start, end)} {start} {end}'

    def do(self, what: str, start: int, end: int) -> str:
        """A step other than a delivery; gives what it was."""
        if what == 'run':
            run_days(start, end, self.pipeline)
        elif what == 'load':
            load(self.settings, self.source, start, end)
        elif what == 'refresh':
            refresh(self.mart)
        elif what == 'crash':
            with self.monkeypatch.context() as patched:
                patched.setattr(ledger, 'finish', self.crash)
                with pytest.raises(CrashedError):
                    load(self.settings, self.source, start, end)
        elif what == 'rebuild':
            rebuild(self.settings)
        elif what == 'repair':
            report = reconcile(self.settings, [self.source], Window(date(2025, 10, start), date(2025, 10, end)))
            what += f': {list(repair(self.settings, report))}'
        elif done := self.query(
            f"select load_id from ops.loads where source = '{self.source}' and status = 'done' order by 1"
        ):
            (chosen,) = random.Random(len(self.told)).choice(done)  # so the next steps do not depend on the warehouse
            what += f' {chosen}'
            try:
                unload.of_load(self.settings, chosen)
            except UsageError as refused:
                what += f' is refused: {refused}'
        return what

    @staticmethod
    def crash(*args: Any) -> None:
        raise CrashedError

    def assert_gold_is_true(self) -> None:
        found = self.query(
            'select event_date::text, content_id, pageviews, sessions, user_engagements from gold.ga4_daily_summary'
        )
        assert sorted(found) == self.truth()

    def newest(self, day: int) -> str | None:
        """The newest kind that holds a day of the export whole."""
        return next(
            (kind for kind in ('events', 'events_fresh') if (day, kind) in {f[:2] for f in self.files.values()}), None
        )

    def counting(self, day: int) -> set[Row]:
        """The rows that count of the files of a day."""
        kinds = ('ga4_events', self.newest(day) or 'events_intraday')
        return {row for of, kind, rows in self.files.values() if of == day and kind in kinds for row in rows}

    def truth(self) -> list[tuple[Any, ...]]:
        rows = {row for day in range(1, DAYS + 1) for row in self.counting(day)}
        views, engaged, sessions = defaultdict(int), defaultdict(int), defaultdict(set)
        keys = set()
        for stamp, name, user, session, content, *_ in rows:
            key = (stamp[:10], content or '(not set)')
            keys.add(key)
            views[key] += name == 'page_view'
            engaged[key] += name == 'user_engagement'
            if user and session:
                sessions[key].add((user, session))
        return [(*key, views[key], len(sessions[key]), engaged[key]) for key in sorted(keys)]

    def end(self) -> None:
        """Whatever has happened: after all days have been loaded, gold is what the files say, and everything agrees."""
        run_days(1, DAYS, self.pipeline)
        self.assert_gold_is_true()
        assert verify(self.settings).differences == []
        before = gold(self.query)
        rebuild(self.settings)
        assert gold(self.query) == before
        report = reconcile(self.settings, [self.source])
        assert [each.text for each in report.findings if each.wrong and each.kind not in ('no file', 'file gone')] == []
        assert all(line.adds_up for line in report.lines)


def run_program(program: Program, seed: int) -> None:
    try:
        for _ in range(program.random.randint(program.fewest, program.most)):
            program.told.append(program.step())
            report = verify(program.settings)
            assert report is None or report.differences == []  # none: nothing was loaded yet; the end has one
        if program.files:
            program.end()
    except BaseException as error:
        error.add_note('\n'.join([f'program {seed}:', *program.told]))
        raise


def test_deliveries_in_any_order_end_in_the_last_truth_of_each_day(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_days(1, 1, 'articles_performance')
    for seed in range(10):
        run_program(Program(seed, server(settings), query, monkeypatch), seed)


def test_a_delivery_loaded_for_one_day_takes_its_rows_out_of_another_at_the_next_load(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_days(1, 1, 'articles_performance')
    program, name = Program(0, server(settings), query, monkeypatch), 'events_fresh_20251003_0-0.csv'
    stays = ('2025-10-03T11:00:00+07:00', 'page_view', 'u1', 's2', 'a', '', '1')
    goes = ('2025-10-02T12:00:00+07:00', 'page_view', 'u2', 's1', '', 'g', '2')
    program.write(name, 3, 'events_fresh', [stays, goes])
    run_days(2, 4, 'articles_performance')
    program.write(name, 3, 'events_fresh', [stays])
    run_days(3, 3, 'articles_performance')
    program.end()


@pytest.mark.slow
def test_many_more_programs(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    run_days(1, 1, 'articles_performance')
    for seed in MANY:
        run_program(Program(seed, server(settings), query, monkeypatch), seed)
