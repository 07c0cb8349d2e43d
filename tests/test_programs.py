"""Random programs of deliveries, changes, loads, crashes and rebuilds end in what the oracle reads from the files.

What a program may do stands in ``programs.py``.
"""

import itertools
import random
from copy import copy
from datetime import date

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings, load_settings
from kly_mage.declared import SOURCES
from kly_mage.declared.ga4_events import GA4_EVENTS
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.postgres import known
from tests import oracle
from tests.gold import Query, assert_gold_is_exact, empty_warehouse, gold
from tests.programs import DAYS, Programs, ad_row, event_row, run
from tests.scenes import FIRST, deliver

pytestmark = pytest.mark.one_version

# Where clocks change, and a first day shortly before they do: an hour twice, a day that begins at 01:00, no such day at all.
ZONES = {
    'Europe/Berlin': date(2025, 10, 24),
    'America/Sao_Paulo': date(2018, 11, 2),
    'Asia/Kolkata': FIRST,
    'Pacific/Apia': date(2011, 12, 28),
}


@pytest.fixture
def prepared(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KLY_DATA_DIR', str(settings.data_dir))
    monkeypatch.setattr(known, 'FETCHED_PER_LOOKUP', known.FETCHED_PER_LOOKUP)  # programs change it and what follows
    for name in ('KLY_LATE_DAYS', 'KLY_CONFLICT_LIMIT'):
        monkeypatch.setenv(name, '')
    monkeypatch.setitem(SOURCES, 'ga4_events', GA4_EVENTS)
    monkeypatch.setitem(SOURCES, 'gam_delivery', GAM_DELIVERY)
    for name in ('COLUMNS', 'GAM_KEY', 'GAM_NUMBERS', 'NEWEST_COUNTS', 'FILE_ZONE', 'EARLY_DAYS'):
        monkeypatch.setattr(oracle, name, copy(getattr(oracle, name)))
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
    check(programs=300, steps=14)


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
