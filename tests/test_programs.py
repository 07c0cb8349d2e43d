"""Random programs of deliveries, loads, crashes and rebuilds, against the oracle; whatever the order, gold is exact.

A program delivers files in the order of time (a later file has a later day or a later name), and loads days whenever it
likes. At its end every day is loaded once more, as a daily run would: then gold has to be what the oracle reads from all
files.
"""

import itertools
import os
import random
import shutil
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kly_mage.__main__ import main
from kly_mage.checks.verify import rebuild, verify
from kly_mage.common.settings import Settings, load_settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.loads import runner
from kly_mage.warehouse.postgres import known, ledger
from kly_mage.warehouse.postgres.connection import connect
from tests import oracle
from tests.gold import Query, assert_gold_is_exact, empty_warehouse, gold
from tests.scenes import FIRST, deliver, load, refresh

DAYS = 4
# Where clocks change, and a first day shortly before they do: an hour twice, a day that begins at 01:00, no such day at all.
ZONES = {
    'Europe/Berlin': date(2025, 10, 24),
    'America/Sao_Paulo': date(2018, 11, 2),
    'Asia/Kolkata': FIRST,
    'Pacific/Apia': date(2011, 12, 28),
}
days = st.integers(1, DAYS)
people = st.sampled_from(['u1', 'u2', '', '""'])
sessions = st.sampled_from(['s1', 's2', ''])
contents = st.sampled_from(['a1', 'a2', '', '""', '(not set)'])
names = st.sampled_from(['page_view', 'user_engagement', 'scroll'])
spellings = st.sampled_from(
    ['{day}T05:0{minute}:00Z', '{day} 12:0{minute}:00', '{day}T12:0{minute}:00+07:00', '{day} 02:3{minute}:00', '{day}']
)
minutes = st.integers(0, 2)
lags = st.sampled_from([0, 0, 0, 1, 2, 3])
numbers = st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(['0.1', '0.10', '1e-6', '-0.05', '0']))
events = st.lists(st.tuples(lags, spellings, minutes, names, people, sessions, contents), min_size=1, max_size=5)
ads = st.lists(st.tuples(lags, spellings, minutes, contents, numbers), min_size=1, max_size=4)
titles = st.lists(
    st.tuples(st.sampled_from(['a1', 'a2', 'a3']), st.sampled_from(['First', 'Second', ''])), min_size=1, max_size=3
)


# Numbers are in the hash all or none: the mart's block names those whose changes it adds up.
HASH_RULES = (oracle.GAM_KEY, ('served_at', 'ad_unit'), GAM_DELIVERY.names)


def declare(hash_columns: tuple[str, ...]) -> None:
    """Hash the ads over these columns, for the product and for the oracle."""
    SOURCES['gam_delivery'] = replace(GAM_DELIVERY, hash_columns=hash_columns)
    oracle.GAM_KEY = hash_columns
    oracle.GAM_NUMBERS = tuple(column.name for column in SOURCES['gam_delivery'].value_columns)


class CrashedError(Exception):
    """What the program throws into an open transaction."""


def instant(first: date, day: int, lag: int, spelling: str, minute: int) -> str:
    return spelling.format(day=first + timedelta(max(1, day - lag) - 1), minute=minute)


def event_row(day: int, parts: tuple[Any, ...], first: date = FIRST) -> str:
    lag, spelling, minute, *values = parts
    return ','.join([instant(first, day, lag, spelling, minute), *values])


def ad_row(day: int, parts: tuple[Any, ...], first: date = FIRST) -> str:
    lag, spelling, minute, content, (impressions, clicks, revenue) = parts
    return f'{instant(first, day, lag, spelling, minute)},/top,l,c,{content},{impressions},{clicks},{revenue}'


class Programs(RuleBasedStateMachine):
    """What can happen to a warehouse, in any order."""

    database: Settings
    query: Query
    first = FIRST

    @initialize(fetched_per_lookup=st.sampled_from([0, 1, 8]))
    def empty(self, fetched_per_lookup: int) -> None:
        # Bronze's hashes are looked up, or fetched, or first this, then that.
        known.FETCHED_PER_LOOKUP = fetched_per_lookup
        self.landing = Path(tempfile.mkdtemp(prefix='kly_program_'))
        for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
            (self.landing / source).mkdir()
        os.environ['KLY_DATA_DIR'] = str(self.landing)
        self.names, self.day = itertools.count(), 1
        empty_warehouse(self.query)
        declare(HASH_RULES[0])
        assert main(['migrate']) == 0

    def teardown(self) -> None:
        if not hasattr(self, 'landing'):
            return
        try:
            self._run(0, DAYS)  # an evening in UTC is the day before where clocks are behind
            assert_gold_is_exact(self.query, self.landing, self.database.timezone)
            report = verify(load_settings())
            assert report is not None
            assert report.differences == []
        finally:
            shutil.rmtree(self.landing)

    @rule()
    def the_next_day_begins(self) -> None:
        self.day = min(self.day + 1, DAYS)

    @rule(rows=events)
    def deliver_events(self, rows: list[Any]) -> None:
        self._deliver('ga4_events', [event_row(self.day, row, self.first) for row in rows])

    @rule(rows=ads)
    def deliver_ads(self, rows: list[Any]) -> None:
        self._deliver('gam_delivery', [ad_row(self.day, row, self.first) for row in rows])

    @rule(rows=titles)
    def deliver_articles(self, rows: list[Any]) -> None:
        self._deliver('cms_articles', [f'{article},site,{title},author,news,2025-10-01' for article, title in rows])

    @rule(source=st.sampled_from(['ga4_events', 'gam_delivery', 'cms_articles']))
    def deliver_the_last_file_again(self, source: str) -> None:
        paths = sorted((self.landing / source).iterdir())
        if paths:
            _, *rows = paths[-1].read_text('utf-8').splitlines()
            self._deliver(source, rows)

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

    @rule(hash_columns=st.sampled_from(HASH_RULES))
    def change_what_makes_two_ads_the_same(self, hash_columns: tuple[str, ...]) -> None:
        declare(hash_columns)
        assert main(['migrate']) == 0

    @rule()
    def rebuild_gold(self) -> None:
        rebuild(load_settings())

    @rule()
    def set_the_clock_back(self) -> None:
        """What a clock ahead leaves behind: stamps and a watermark half an hour from now."""
        self.query("update ops.watermarks set watermark = now() + interval '30 minutes' where mart = 'bronze.cms_articles'")

    @invariant()
    def the_ledger_adds_up(self) -> None:
        sums = 'rows_duplicate + rows_new + rows_already_loaded + rows_rejected + rows_conflicting + rows_outside'
        assert self.query(f'select count(*) from ops.loads where rows_read <> {sums}') == [(0,)]

    def _deliver(self, source: str, rows: list[str]) -> None:
        day = self.first + timedelta(self.day - 1)
        deliver(self.landing, f'{source}_{day:%Y%m%d}_{next(self.names):03}.csv', *rows)

    def _run(self, start: int, end: int, pipeline: str | None = None) -> None:
        run(start, end, pipeline, self.first)


def run(start: int, end: int, pipeline: str | None = None, first: date = FIRST) -> None:
    wanted, begin, last = (
        [pipeline] if pipeline else runner.names(),
        first + timedelta(start - 1),
        first + timedelta(end - 1),
    )
    runner.run(wanted, start_date=begin, end_date=last, started_by='program')


@pytest.fixture
def prepared(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KLY_DATA_DIR', str(settings.data_dir))
    monkeypatch.setattr(known, 'FETCHED_PER_LOOKUP', known.FETCHED_PER_LOOKUP)  # programs change it and what follows
    monkeypatch.setitem(SOURCES, 'gam_delivery', GAM_DELIVERY)
    for name in ('GAM_KEY', 'GAM_NUMBERS'):
        monkeypatch.setattr(oracle, name, getattr(oracle, name))
    run(1, 1)
    Programs.database, Programs.query = settings, staticmethod(query)


def check(programs: int, steps: int) -> None:
    run_state_machine_as_test(
        Programs,
        settings=hypothesis_settings(
            max_examples=programs,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.usefixtures('prepared')
def test_random_programs_end_in_exact_numbers() -> None:
    check(programs=15, steps=8)


@pytest.mark.parametrize('zone', ZONES)
def test_random_programs_end_in_exact_numbers_where_clocks_change(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, zone: str
) -> None:
    monkeypatch.setenv('KLY_TIMEZONE', zone)
    request.getfixturevalue('prepared')
    monkeypatch.setattr(Programs, 'database', load_settings())
    monkeypatch.setattr(Programs, 'first', ZONES[zone])
    check(programs=6, steps=8)


@pytest.mark.slow
@pytest.mark.usefixtures('prepared')
def test_many_random_programs_end_in_exact_numbers() -> None:
    check(programs=250, steps=14)


@pytest.mark.parametrize('seed', range(3))
def test_all_orders_and_slicings_of_one_set_of_rows_end_in_the_same_gold(
    settings: Settings, query: Query, seed: int
) -> None:
    """Whole files or cut into pieces at any line, days in any order or all in one range: gold is the same, byte for byte."""
    chance = random.Random(seed)
    run(1, 1)
    files: dict[tuple[str, int], list[str]] = {}
    for day in range(1, DAYS + 1):
        files['ga4_events', day] = [
            event_row(
                day,
                (
                    chance.choice([0, 0, 1, 2, 3]),
                    '{day}T05:0{minute}:00Z',
                    chance.randrange(3),
                    chance.choice(['page_view', 'user_engagement']),
                    chance.choice(['u1', 'u2', '']),
                    chance.choice(['s1', 's2', '']),
                    chance.choice(['a1', 'a2', '']),
                ),
            )
            for _ in range(30)
        ]
        files['gam_delivery', day] = [
            ad_row(
                day,
                (
                    chance.choice([0, 0, 1, 2, 3]),
                    '{day}T05:0{minute}:00Z',
                    chance.randrange(3),
                    chance.choice(['a1', 'a2', '']),
                    (chance.randrange(3), chance.randrange(2), chance.choice(['0.1', '0.25', '-0.000001'])),
                ),
            )
            for _ in range(15)
        ]
        files['cms_articles', day] = [
            f'a{chance.randrange(3)},site,{chance.choice(["First", "Second"])},author,news,2025-10-01' for _ in range(4)
        ]
    seen = []
    for way in range(4):
        empty_warehouse(query)
        for (source, day), rows in files.items():
            for path in (settings.data_dir / source).glob(f'*_202510{day:02}*'):
                path.unlink()
            cuts = sorted(chance.sample(range(1, len(rows)), chance.randrange(3))) if way else []
            for number, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(rows)])):
                deliver(settings.data_dir, f'{source}_202510{day:02}_{number}.csv', *rows[start:end])
        if way % 2:
            order = list(range(1, DAYS + 1))
            chance.shuffle(order)
            for day in order:
                run(day, day)
        else:
            run(1, DAYS)
        seen.append(gold(query))
    assert_gold_is_exact(query, settings.data_dir)
    for other in seen[1:]:
        assert other == seen[0]
    assert main(['verify']) == 0
