"""``forget``: a person's rows go for good, the files that hold them are explained, and everything else stays exact."""

import random
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared import SOURCES
from kly_mage.loads import steps
from kly_mage.loads.forget import forget
from tests.delivery import HEADERS, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact, gold
from tests.scenes import PATIENCE, Background

Captured = pytest.CaptureFixture[str]
WHO = '1234567890.1690000000'
OTHERS = ['98.1', '1234567890.169000000', '234567890.1690000000', 'u1']
EVERYTHING = """
    select string_agg(t::text, ' ') from (
        select to_jsonb(b) as t from bronze.ga4_events as b union all select to_jsonb(r) from bronze.rejects as r
        union all select to_jsonb(l) from ops.loads as l union all select to_jsonb(f) from ops.forgotten as f
        union all select to_jsonb(s) from ops.settings as s
    ) as every
"""


def events(users: list[str], days: int = 3, rows: int = 60, seed: int = 1) -> dict[date, list[str]]:
    """Random events, some of them twice, by day."""
    of = random.Random(seed)
    found = {}
    for number in range(1, days + 1):
        day = date(2025, 10, number)
        found[day] = [
            f'{day}T{of.randrange(24):02}:{of.randrange(60):02}:00+07:00,'
            f'{of.choice(["page_view", "user_engagement", "scroll"])},{of.choice([*users, ""])},'
            f'{of.randrange(4)},{of.randrange(5)}'
            for _ in range(rows)
        ]
        found[day] += of.choices(found[day], k=5)
    return found


def land(settings: Settings, of_days: dict[date, list[str]]) -> None:
    for day, rows in of_days.items():
        deliver(settings, f'ga4_events_{day:%Y%m%d}.csv', *rows)


def without(of_days: dict[date, list[str]], who: str) -> dict[date, list[str]]:
    return {day: [row for row in rows if row.split(',')[2] != who] for day, rows in of_days.items()}


def reconciled(source: str = 'ga4_events') -> int:
    """0 where every row has its place; days without ads are nobody's business here."""
    return main(['reconcile', '--quiet', '--source', source])


@pytest.fixture
def three_days(settings: Settings) -> dict[date, list[str]]:
    """Three days of events, loaded, and those of the others."""
    found = events([WHO, *OTHERS])
    land(settings, found)
    assert backfill('2025-10-01', '2025-10-03', '--pipeline', 'articles_performance') in (0, 3)
    return found


@pytest.mark.parametrize('seed', range(4))
def test_gold_is_what_the_files_without_the_person_give_and_no_load_brings_the_rows_back(
    settings: Settings, query: Query, capsys: Captured, tmp_path: Path, seed: int
) -> None:
    delivered = events([WHO, *OTHERS], seed=seed)
    land(settings, delivered)
    backfill('2025-10-01', '2025-10-03')
    theirs = query('select count(*) from bronze.ga4_events where user_pseudo_id = %s', WHO)[0][0]
    assert theirs > 0
    capsys.readouterr()
    assert main(['forget', '--user', WHO, '--by', 'Ani']) == 0
    assert capsys.readouterr().out == f'{theirs} rows taken out of bronze and gold, for good\n'
    zone = tmp_path / 'others' / 'ga4_events'
    zone.mkdir(parents=True)
    for day, rows in without(delivered, WHO).items():
        (zone / f'ga4_events_{day:%Y%m%d}.csv').write_text('\n'.join([HEADERS['ga4_events'], *rows, '']), 'utf-8')
    for folder in ('cms_articles', 'gam_delivery'):
        (zone.parent / folder).mkdir()
    assert_gold_is_exact(query, zone.parent)
    assert (main(['verify']), reconciled()) == (0, 0)
    then = gold(query)
    backfill('2025-10-01', '2025-10-03')
    left_out = sum(len(rows) for rows in delivered.values()) - sum(len(rows) for rows in without(delivered, WHO).values())
    assert query(
        'select rows_forgotten, rows_new from ops.loads where source = %s order by load_id desc limit 1', 'ga4_events'
    ) == [(left_out, 0)]
    (places,) = query(
        'select rows_read = rows_new + rows_unchanged + rows_duplicate + rows_already_loaded + rows_rejected'
        ' + rows_conflicting + rows_outside + rows_forgotten from ops.loads where source = %s order by load_id desc limit 1',
        'ga4_events',
    )
    assert places == (True,)
    assert gold(query) == then
    assert (main(['verify']), reconciled(), main(['rebuild'])) == (0, 0, 0)
    assert gold(query) == then


@pytest.mark.usefixtures('three_days')
def test_nothing_of_the_person_stays_in_the_database_but_a_keyed_hash(query: Query) -> None:
    assert WHO in query(EVERYTHING)[0][0]
    query(
        'update ops.loads set error = %s, status = %s where source = %s', f"line 5: '{WHO}' is odd", 'failed', 'cms_articles'
    )
    query("update ops.loads set source = 'ga4_events' where status = 'failed'")
    assert main(['forget', '--user', WHO, '--by', 'Ani']) == 0
    assert WHO not in query(EVERYTHING)[0][0].replace(OTHERS[0], '')
    assert query("select error from ops.loads where error <> ''") == [("line 5: '(forgotten)' is odd",)]
    ((source, person, by, key),) = query(
        "select source, person, forgotten_by, (select value from ops.settings where name = 'person_key') from ops.forgotten"
    )
    assert (source, by) == ('ga4_events', 'Ani')
    assert query('select encode(sha256((%s || %s)::bytea), %s)', key, WHO, 'hex') == [(person,)]
    assert all(other in query(EVERYTHING)[0][0] for other in OTHERS)


def test_rejects_of_the_person_go_and_stay_away_whatever_is_wrong_with_them(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    def rows(who: str) -> list[str]:
        return [
            f'never,page_view,{who},1,7',  # no timestamp
            f'2025-10-01T12:00:00+07:00,,{who},1,7',  # no name
            f'2025-10-01T12:00:00+07:00,page_view,{who},1,7,8,9',  # too many fields
        ]

    session = f'2025-10-01T12:00:00+07:00,,u9,{WHO},7'  # of another person, whose session has that number
    deliver(settings, 'ga4_events_20251001.csv', *rows(WHO), event(), *rows('u1'), session)
    assert backfill('2025-10-01') == 3
    assert query('select count(*) from bronze.rejects') == [(7,)]
    capsys.readouterr()
    assert main(['forget', '--user', WHO]) == 0
    assert 'ga4_events: 0 rows, 3 rejects\n' in capsys.readouterr().err
    assert query('select count(*) from bronze.rejects') == [(4,)]
    backfill('2025-10-01')
    assert query('select count(*) from bronze.rejects') == [(4,)]
    assert query(
        "select rows_read, rows_rejected, rows_already_loaded, rows_forgotten from ops.loads where source = 'ga4_events'"
        ' order by load_id desc limit 1'
    ) == [(8, 4, 1, 3)]
    capsys.readouterr()
    assert main(['reconcile', '--json', '--source', 'ga4_events']) == 0
    assert '"forgotten": 3' in capsys.readouterr().out


def test_reconcile_and_the_view_say_forgotten(settings: Settings, query: Query, capsys: Captured) -> None:
    deliver(settings, 'ga4_events_20251001.csv', event(WHO), event(WHO), event('u1'))
    backfill('2025-10-01', '2025-10-01', '--pipeline', 'articles_performance')
    assert main(['forget', '--user', WHO]) == 0
    capsys.readouterr()
    assert main(['reconcile', '--source', 'ga4_events']) == 0
    told = capsys.readouterr().out
    assert [line.split() for line in told.splitlines() if line.startswith('forgotten')] == [
        ['forgotten', '2'],
        ['forgotten', '2', '0'],
    ]
    assert 'every row accounted for' in told
    backfill('2025-10-01', '2025-10-01', '--pipeline', 'articles_performance')
    assert query(
        'select rows_read, rows_in_bronze, rows_forgotten, rows_duplicate, rows_not_in_last_load from gold.reconciliation'
        " where source = 'ga4_events'"
    ) == [(3, 1, 2, 0, 0)]
    assert main(['status', '--source', 'ga4_events']) == 0  # the file is not said to have changed


def test_a_load_that_began_before_leaves_the_rows_out_as_well(
    settings: Settings, three_days: dict[date, list[str]], query: Query
) -> None:
    """As in Mage, where minutes lie between a loader and its exporter."""
    deliver(settings, 'ga4_events_20251004.csv', event(WHO, day='2025-10-04'), event('u1', day='2025-10-04'))
    asked = {'start_date': '2025-10-01', 'end_date': '2025-10-04', 'reread': True}
    frame = steps.hash_rows(steps.read_days('ga4_events', asked), 'ga4_events')
    assert main(['forget', '--user', WHO]) == 0
    load = steps.export_new_rows(frame, 'ga4_events', asked)
    of_three_days = sum(len(rows) for rows in three_days.values()) - sum(
        len(rows) for rows in without(three_days, WHO).values()
    )
    assert (load['rows_new'], load['rows_forgotten']) == (1, of_three_days + 1)
    assert f'{of_three_days + 1} forgotten' in load['line']
    assert query('select count(*) from bronze.ga4_events where user_pseudo_id = %s', WHO) == [(0,)]


def test_loads_of_the_same_days_at_the_same_time_bring_nothing_back(
    settings: Settings, three_days: dict[date, list[str]], query: Query
) -> None:
    deliver(settings, 'ga4_events_20251004.csv', *(event(WHO, day='2025-10-04', session=f'{n}') for n in range(500)))
    loads = [Background(lambda: backfill('2025-10-01', '2025-10-04')) for _ in range(2)]
    forget(settings, ['ga4_events'], WHO, 'Ani')
    assert {load.result() for load in loads} <= {0, 3}
    assert query('select count(*) from bronze.ga4_events where user_pseudo_id = %s', WHO) == [(0,)]
    assert (main(['verify']), reconciled()) == (0, 0)
    assert len(three_days) == 3


@pytest.mark.parametrize('step', ['removal.note_removed', 'contents.note_anew', 'recount.recount'])
def test_killed_in_between_all_of_it_is_there_and_the_next_try_takes_it(
    three_days: dict[date, list[str]], query: Query, step: str
) -> None:
    before = gold(query)
    module, _, name = step.partition('.')
    dying = (
        f'import os, signal; from kly_mage.warehouse.postgres import {module}; from kly_mage.__main__ import main;'
        f"{module}.{name} = lambda *_: os.kill(os.getpid(), signal.SIGKILL); main(['forget', '--user', '{WHO}'])"
    )
    assert (
        subprocess.run([sys.executable, '-c', dying], cwd=REPOSITORY, check=False, timeout=PATIENCE).returncode
        == -signal.SIGKILL
    )
    assert gold(query) == before
    assert query('select count(*) from ops.forgotten') == [(0,)]
    assert main(['forget', '--user', WHO]) == 0
    assert query('select count(*) from bronze.ga4_events where user_pseudo_id = %s', WHO) == [(0,)]
    assert (main(['verify']), reconciled(), len(three_days)) == (0, 0, 3)


@pytest.mark.usefixtures('three_days')
def test_a_dry_run_says_what_would_go_and_takes_nothing(query: Query, capsys: Captured) -> None:
    before = query(EVERYTHING)
    capsys.readouterr()
    assert main(['forget', '--user', WHO, '--dry-run']) == 0
    assert capsys.readouterr().out.endswith(' rows would go; --dry-run takes nothing out\n')
    assert query(EVERYTHING) == before


def test_a_person_of_whom_nothing_is_there_is_left_out_of_what_comes(settings: Settings, query: Query) -> None:
    assert main(['forget', '--user', WHO]) == 0
    deliver(settings, 'ga4_events_20251001.csv', event(WHO), event('u1'))
    backfill('2025-10-01')
    assert query('select user_pseudo_id from bronze.ga4_events') == [('u1',)]
    assert main(['forget', '--user', 'u1']) == 0
    assert query('select count(*) from bronze.ga4_events') == [(0,)]
    assert main(['verify']) == 0


@pytest.mark.usefixtures('settings')
def test_who_and_a_source_that_knows_persons_are_asked_for(capsys: Captured) -> None:
    assert main(['forget']) == 2
    assert main(['forget', '--user', ' ']) == 2
    capsys.readouterr()
    assert main(['forget', '--user', WHO, '--source', 'gam_delivery']) == 2
    assert 'no column of this source stands for persons' in capsys.readouterr().err


def test_a_file_that_had_changed_before_is_still_said_to_have(
    settings: Settings, three_days: dict[date, list[str]], capsys: Captured
) -> None:
    day = date(2025, 10, 1)
    land(settings, {day: [row for row in three_days[day] if row.split(',')[2] != OTHERS[0]]})
    assert backfill('2025-10-01') == 3
    assert main(['forget', '--user', WHO]) == 0
    capsys.readouterr()
    assert main(['status', '--source', 'ga4_events']) == 3
    assert 'file changed' in capsys.readouterr().out


def test_one_column_of_a_source_at_most_stands_for_persons_and_it_is_an_id() -> None:
    for source in SOURCES.values():
        assert [column.kind for column in source.columns if column.person] in ([], ['id'])
