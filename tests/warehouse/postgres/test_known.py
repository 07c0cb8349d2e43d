"""What bronze knows already: both ways to ask give the same answer, whatever the days, slices and amounts."""

import random
from typing import Any

import polars as pl
import pytest
from psycopg2 import sql

from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.landing import csv as landing_csv
from kly_mage.warehouse.postgres import known
from kly_mage.warehouse.postgres.connection import connect
from tests.delivery import backfill, deliver
from tests.gold import Query, assert_gold_is_exact

LEDGER = """
    select source, rows_read, rows_duplicate, rows_new, rows_already_loaded, rows_rejected, rows_conflicting, money_read
    from ops.loads order by load_id
"""


def rows(source: str, seed: int, days: range, count: int) -> list[str]:
    """Rows of these days, a third of them equal to others, some ads with other numbers for the same key."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        at = f'2025-10-{chance.choice(days):02}T{chance.randrange(12):02}:{chance.randrange(60):02}:00Z'
        who = chance.randrange(4)
        if source == 'ga4_events':
            made.append(f'{at},page_view,u{who},{chance.randrange(2)},a{chance.randrange(3)}')
        else:
            made.append(f'{at},/top,line,c,a{who},{chance.choice([10, 10, 10, 11])},0,0.5')
    return made


def loaded(settings: Settings, query: Query) -> list[tuple[Any, ...]]:
    """The ledger after a week, two days, and the week again with a late batch, in frames of some 30 rows."""
    for path in settings.data_dir.glob('*/*.csv'):
        path.unlink()
    for number, (days, count) in enumerate([(range(1, 8), 300), (range(3, 5), 200), (range(1, 8), 40)]):
        for source in ('ga4_events', 'gam_delivery'):
            deliver(settings, f'{source}_202510{7 + number:02}.csv', *rows(source, number % 3, days, count))
        assert backfill('2025-10-01', f'2025-10-{7 + number:02}', '--quiet') in (0, 3)
    return query(LEDGER)


def test_both_ways_to_ask_give_the_same_counts_and_gold(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing_csv, 'SLICE_BYTES', 200)
    monkeypatch.setenv('KLY_LATE_DAYS', '9')
    ledgers = []
    for fetched_per_lookup, most_kept in ((0, 20), (1, 1000), (8, 20), (8, 1000)):
        monkeypatch.setattr(known, 'FETCHED_PER_LOOKUP', fetched_per_lookup)
        monkeypatch.setattr(known, 'MOST_KEPT', most_kept)
        query('drop schema if exists bronze, gold, ops cascade')
        ledgers.append(loaded(settings, query))
        assert_gold_is_exact(query, settings.data_dir, late_days=9)
    assert all(sum(row[column] for row in ledgers[0]) for column in range(1, 5))  # of each kind there are some
    assert [ledger == ledgers[0] for ledger in ledgers] == [True] * 4


def test_what_is_cheaper_is_chosen(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that is delivered whole is fetched; one row against many known ones is looked up."""
    looked_up: list[int] = []
    look_up = known.KnownRows._look_up

    def spy(self: known.KnownRows, frame: Any, is_among_few: bool) -> Any:
        looked_up.append(frame.height)
        return look_up(self, frame, is_among_few)

    monkeypatch.setattr(known.KnownRows, '_look_up', spy)
    whole = rows('ga4_events', 1, range(1, 2), 3000)
    deliver(settings, 'ga4_events_20251001.csv', *whole)
    backfill('2025-10-01', '2025-10-01', '--pipeline', 'articles_performance')
    assert looked_up == []
    deliver(settings, 'ga4_events_20251001.csv', whole[0])
    backfill('2025-10-01', '2025-10-01', '--pipeline', 'articles_performance')
    assert looked_up == [1]


def test_a_few_rows_are_looked_up_one_by_one_however_many_are_known_between_them(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(settings, 'ga4_events_20251001.csv', *rows('ga4_events', 1, range(1, 2), 3000))
    backfill('2025-10-01', '2025-10-01', '--pipeline', 'articles_performance')
    every = [
        bytes.fromhex(text.replace('-', '')) for (text,) in query('select _hashrow::text from bronze.ga4_events order by 1')
    ]
    assert len(every) > 1_000
    asked = pl.DataFrame({'_hashrow': [every[0], every[0][:15] + b'?', every[-1]], '_utc_day': ['20251001'] * 3})
    monkeypatch.setattr(known, 'FETCHED_PER_LOOKUP', 0)
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('set local enable_hashjoin = off; set local random_page_cost = 1.1')  # as loads do
        found = known.KnownRows(cursor, SOURCES['ga4_events'], sql.Literal('infinity')).find(asked)
        cursor.execute("select idx_tup_fetch from pg_stat_xact_user_tables where relname = 'ga4_events_hashrow'")
        # Of the registry the two rows that are known, and up to one in 256 to guess how many there are.
        assert cursor.fetchone()[0] < 2 + len(every) / 20
    assert found.rows() == [(0, False, False), (2, False, False)]
