"""``forget``, whichever warehouse it is: a person's rows go for good, and everything else stays exact."""

import hashlib
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.verify import verify
from kly_mage.common.settings import Settings
from kly_mage.loads import steps
from kly_mage.warehouse.choice import warehouse
from tests.delivery import HEADERS, article, backfill, deliver
from tests.gold import Query, assert_gold_is_exact
from tests.warehouse.both import *  # noqa: F403 -- fixtures
from tests.warehouse.test_corrections import event, events, exported

Captured = pytest.CaptureFixture[str]
WHO = '1234567890.1690000000'
OTHERS = ('98.1', '1234567890.169000000', '234567890.1690000000', 'u1')
DAYS = ('2025-10-01', '2025-10-02')
PLACES = ('new', 'already_loaded', 'duplicate', 'rejected', 'conflicting', 'restated', 'superseded', 'outside', 'forgotten')


def row(who: str, day: str, minute: int, name: str = 'page_view', session: str = '1', content: str = '7') -> str:
    return f'{day}T12:{minute:02}:00+07:00,{name},{who},{session},{content}'


def rejected(who: str) -> list[str]:
    """Rows that cannot be used: by their values, and by their form."""
    return [
        f'never,page_view,{who},1,7',
        f'2025-10-01T12:00:00+07:00,,{who},1,7',
        f'2025-10-01T12:00:00+07:00,page_view,{who},1,7,8,9',
    ]


def delivered() -> dict[str, list[str]]:
    """Two days of events of some persons, each with a row twice; rejects; and one row late, in the second day's file."""
    of = random.Random(1)
    found = {}
    for day in DAYS:
        found[day] = [
            row(who, day, minute, of.choice(['page_view', 'user_engagement']), of.choice('12'), of.choice('78'))
            for who in (WHO, *OTHERS)
            for minute in of.sample(range(60), 4)
        ]
        found[day] += [found[day][0], found[day][-1]]
    found[DAYS[0]] += [*rejected(WHO), *rejected('u1'), f'2025-10-01T12:00:00+07:00,,u9,{WHO},7']  # a session of that number
    found[DAYS[1]] += [row(WHO, DAYS[0], 59), row('u1', DAYS[0], 59)]
    return found


def land(settings: Settings, files: dict[str, list[str]]) -> None:
    for day, rows in files.items():
        deliver(settings, f'ga4_events_{day.replace("-", "")}.csv', *rows)


def without(files: dict[str, list[str]], folder: Path) -> Path:
    """A landing zone without the person, for the oracle."""
    for source in HEADERS:
        (folder / source).mkdir(parents=True)
    (folder / 'cms_articles/cms_articles.csv').write_text(f'{HEADERS["cms_articles"]}\n{article("7")}\n', 'utf-8')
    for day, rows in files.items():
        own = [HEADERS['ga4_events'], *(each for each in rows if each.split(',')[2] != WHO)]
        (folder / f'ga4_events/ga4_events_{day.replace("-", "")}.csv').write_text('\n'.join([*own, '']), 'utf-8')
    return folder


def everything(settings: Settings, query: Query) -> str:
    """What any table of ours says, as one text."""
    tables = ['bronze.ga4_events', 'bronze.ga4_events_corrections', 'bronze.rejects', 'ops.loads', 'ops.forgotten']
    tables += ['ops.file_days', 'ops.settings', 'gold.ga4_daily_summary', 'gold.daily_summary', 'gold.reconciliation']
    as_text = 'to_json_string(t)' if settings.warehouse == 'bigquery' else 't::text'
    return ' '.join(text for table in tables for (text,) in query(f'select {as_text} from {table} as t'))


def named(settings: Settings, query: Query) -> list[str]:
    """Where he is named, with what stands before."""
    return [before[-40:] for before in everything(settings, query).split(WHO)[:-1]]


def of_last_load(query: Query, *names: str) -> tuple[Any, ...]:
    names = tuple(f'rows_{name}' for name in names)
    found = query(f"select {', '.join(names)} from ops.loads where source = 'ga4_events' order by load_id desc limit 1")
    return found[0]


def checked(settings: Settings) -> None:
    report = verify(warehouse(settings).reach())
    assert report
    assert (report.differences, report.waiting) == ([], [])
    assert main(['reconcile', '--quiet', '--source', 'ga4_events']) == 0


def test_gold_is_that_of_the_files_without_the_person_and_no_load_brings_the_rows_back(
    settings: Settings, query: Query, capsys: Captured, tmp_path: Path
) -> None:
    files = delivered()
    deliver(settings, 'cms_articles.csv', article('7'))
    land(settings, files)
    assert backfill(*DAYS) == 3
    others = without(files, tmp_path / 'others')
    theirs = len({each for rows in files.values() for each in rows if each.split(',')[2] == WHO} - {*rejected(WHO)})
    assert WHO in everything(settings, query)
    capsys.readouterr()
    assert main(['forget', '--user', WHO, '--dry-run']) == 0
    assert capsys.readouterr().out == f'{theirs} rows would go; --dry-run takes nothing out\n'
    assert query('select count(*) from ops.forgotten') == [(0,)]
    assert main(['forget', '--user', WHO, '--by', 'Ani']) == 0
    said = capsys.readouterr()
    assert said.out == f'{theirs} rows taken out of bronze and gold, for good\n'
    assert said.err.splitlines()[0] == f'ga4_events: {theirs} rows, 3 rejects'
    # Nothing of him is left but a keyed hash.
    assert len(named(settings, query)) == 1, named(settings, query)  # the session of u9
    asked = "select value from ops.settings where name = 'person_key'"
    ((person, by, rows, rejects, key),) = query(
        f'select person, forgotten_by, rows_removed, rejects_removed, ({asked}) from ops.forgotten'
    )
    assert (by, rows, rejects) == ('Ani', theirs, 3)
    assert person == hashlib.sha256(f'{key}{WHO}'.encode()).hexdigest()
    ratios = settings.warehouse == 'postgres'
    assert_gold_is_exact(query, others, ratios=ratios)
    checked(settings)
    # The files still have the rows.
    assert backfill(*DAYS) == 3
    left_out = sum(each.split(',')[2] == WHO for rows in files.values() for each in rows)
    assert of_last_load(query, 'forgotten', 'new') == (left_out, 0)
    sum_over_places = ' + '.join(f'rows_{place}' for place in PLACES) + ' + rows_unchanged'
    assert query(f'select count(*) from ops.loads where rows_read <> {sum_over_places}') == [(0,)]
    by_day = 'select day, rows_forgotten from ops.load_days where rows_forgotten > 0 order by 1'
    # Four rows each and one twice; of the first day the late one as well, and a reject with a day.
    assert query(by_day) == [(date(2025, 10, 1), 7), (date(2025, 10, 2), 5)]
    assert_gold_is_exact(query, others, ratios=ratios)
    checked(settings)
    told = 'select rows_forgotten, rows_duplicate, rows_not_in_last_load from gold.reconciliation'
    assert query(f"{told} where source = 'ga4_events' and day = date '2025-10-02'") == [(5, 1, 0)]
    capsys.readouterr()
    assert main(['status', '--source', 'ga4_events']) == 0
    assert 'file changed' not in capsys.readouterr().out
    outcomes = warehouse(settings).reader().query('rows_by_outcome', {}).rows
    assert [rows for _, place, rows in outcomes if place == 'forgotten'] == [left_out]
    assert len(named(settings, query)) == 1, named(settings, query)  # the session of u9


def test_a_file_that_is_left_out_stays_so_and_says_nothing_of_the_person_whom_its_fault_quotes(
    settings: Settings, query: Query, capsys: Captured
) -> None:
    # The first row of a file without a header is taken for it; somebody else has the number of its bytes as his id.
    headless = deliver(settings, 'ga4_events_20251002.csv', row('u1', DAYS[1], 1), header=row(WHO, DAYS[1], 1))
    size = f'{headless.stat().st_size}'
    deliver(settings, 'ga4_events_20251001.csv', row(WHO, DAYS[0], 1), row('u1', DAYS[0], 1), row(size, DAYS[0], 1))
    run = (*DAYS, '--pipeline', 'articles_performance')
    assert backfill(*run) == 3
    faults = 'select reason from bronze.rejects where line = 0 and resolved_at is null'
    ((fault,),) = query(faults)
    assert WHO in fault
    assert main(['forget', '--user', WHO]) == main(['forget', '--user', size]) == 0
    for _ in range(2):
        assert query(faults) == [(fault.replace(WHO, '(forgotten)'),)]
        assert named(settings, query) == []
        capsys.readouterr()
        assert backfill(*run) == 3
        assert '1 file left out' in capsys.readouterr().out
    assert of_last_load(query, 'forgotten', 'rejected') == (2, 0)


@pytest.mark.slow_on_bigquery
def test_what_was_corrected_of_him_goes_too_and_a_load_that_began_before_leaves_him_out(
    settings: Settings, query: Query
) -> None:
    theirs, other = [event(1, user=WHO), event(2, user=WHO)], event(3)
    exported(settings, 'events_intraday_20251001.csv', *theirs, other)
    events()
    exported(settings, 'events_20251001.csv', theirs[0], other)  # his second one is withdrawn
    events()
    named = f"from bronze.ga4_events_corrections where user_pseudo_id = '{WHO}'"
    corrections = (
        f'select why {named}' if settings.warehouse == 'bigquery' else 'select why from bronze.ga4_events_corrections'
    )
    assert query(corrections) == [('withdrawn',)]
    exported(settings, 'events_20251001.csv', *theirs, theirs[0], other, event(4))
    asked = {'start_date': DAYS[0], 'end_date': DAYS[0], 'reread': True}
    frame = steps.hash_rows(steps.read_days('ga4_events', asked), 'ga4_events')
    assert main(['forget', '--user', WHO]) == 0
    assert query('select count(*) from bronze.ga4_events_corrections') == [(0,)]
    views = 'select content_id, pageviews, sessions from gold.ga4_daily_summary'
    assert query(views) == [('7', 1, 1)]
    load = steps.export_new_rows(frame, 'ga4_events', asked)
    assert (load['rows_new'], load['rows_returned'], load['rows_withdrawn']) == (1, 0, 0)
    assert load['rows_forgotten'] == 5  # two and three
    assert '5 forgotten' in load['line']
    events()
    assert query('select distinct user_pseudo_id from bronze.ga4_events') == [('u1',)]
    assert query(views) == [('7', 2, 1)]
    checked(settings)
    assert main(['forget', '--user', 'u1']) == 0
    assert main(['forget', '--user', 'u1']) == 0  # again: nothing is there, and the first number stays
    assert query('select count(*) from bronze.ga4_events union all select count(*) from gold.daily_summary') == [(0,), (0,)]
    assert query('select rows_removed from ops.forgotten order by 1') == [(2,), (2,)]
