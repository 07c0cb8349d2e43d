"""Where restatements apply, the newest version of an ad row counts, exactly once, in any order of loads and crashes."""

import itertools
import json
import random
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.checks.verify import rebuild
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.warehouse.postgres import ledger
from kly_mage.warehouse.postgres import load as bronze
from kly_mage.warehouse.postgres.reading import ask
from kly_mage.warehouse.postgres.reading import query as question
from tests.gold import Query
from tests.scenes import deliver, load, load_request, refresh, run_days


@pytest.fixture(autouse=True)
def applying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))


def row(key: int, impressions: int, revenue: str, content: str = 'a1') -> str:
    return f'2025-10-0{key % 2 + 1}T05:00:00Z,/top,l{key},c,{content},{impressions},0,{revenue}'


def newest(landing: Path) -> dict[tuple[date, str], tuple[int, Decimal]]:
    """Per day and content the sums over the newest version of each key: of the last file that has it, its first row."""
    versions: dict[str, tuple[date, str, int, Decimal]] = {}
    for path in sorted((landing / 'gam_delivery').iterdir()):
        in_file: dict[str, tuple[date, str, int, Decimal]] = {}
        for line in path.read_text('utf-8').splitlines()[1:]:
            at, _, key, _, content, impressions, _, revenue = line.split(',')
            in_file.setdefault(key, (date.fromisoformat(at[:10]), content, int(impressions), Decimal(revenue)))
        versions |= in_file
    sums: dict[tuple[date, str], tuple[int, Decimal]] = {}
    for day, content, impressions, revenue in versions.values():
        before = sums.get((day, content), (0, Decimal(0)))
        sums[day, content] = (before[0] + impressions, before[1] + revenue)
    return sums


def found(query: Query) -> dict[tuple[date, str], tuple[int, Decimal]]:
    rows = query('select served_date, content_id, impressions, revenue_usd from gold.gam_daily_summary')
    return {(day, content): (impressions, revenue) for day, content, impressions, revenue in rows}


PLACES = (
    'select rows_read, rows_new, rows_already_loaded + rows_unchanged, rows_restated, rows_superseded, rows_duplicate,'
    ' rows_conflicting from ops.loads'
)


def test_a_restatement_counts_once_and_one_taken_back_too(settings: Settings, query: Query) -> None:
    versions = [(10, '1.00'), (12, '1.50'), (10, '1.00'), (11, '0.25')]
    for day, (impressions, revenue) in enumerate(versions, start=1):
        deliver(settings.data_dir, f'gam_delivery_2025100{day}.csv', row(0, impressions, revenue))
        for _ in range(2):  # the second time everything is known
            run_days(1, 1, 'ads_revenue')
            assert found(query) == {(date(2025, 10, 1), 'a1'): (impressions, Decimal(revenue))}
    assert query('select count(*), sum(impressions) from bronze.gam_delivery') == [(1, 10)]  # append-only: the first
    assert query('select rows_replaced from ops.loads order by load_id') == [(0,), (0,), (1,), (0,), (1,), (0,), (1,), (0,)]
    assert query(f'{PLACES} order by load_id') == [
        (1, 1, 0, 0, 0, 0, 0),
        (1, 0, 1, 0, 0, 0, 0),
        (2, 0, 1, 1, 0, 0, 0),
        (2, 0, 2, 0, 0, 0, 0),
        (3, 0, 2, 1, 0, 0, 0),
        (3, 0, 3, 0, 0, 0, 0),
        (4, 0, 3, 1, 0, 0, 0),
        (4, 0, 4, 0, 0, 0, 0),
    ]
    changes = query('select served_date, count_rows, impressions, revenue_usd from gold.gam_restatements order by load_id')
    day = date(2025, 10, 1)
    assert changes == [
        (day, 1, 2, Decimal('0.50')),
        (day, 1, -2, Decimal('-0.50')),
        (day, 1, 1, Decimal('-0.75')),
    ]
    rebuild(settings)
    assert found(query) == {(day, 'a1'): (11, Decimal('0.25'))}
    assert main(['verify']) == 0


def test_two_rows_of_one_file_are_no_restatement(settings: Settings, query: Query) -> None:
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 1, '1'), row(0, 2, '2'))
    run_days(1, 1, 'ads_revenue')
    assert found(query) == {(date(2025, 10, 1), 'a1'): (1, Decimal(1))}
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 5, '5'), row(0, 6, '6'), row(0, 5, '5'))
    for _ in range(2):
        run_days(1, 1, 'ads_revenue')
        assert found(query) == {(date(2025, 10, 1), 'a1'): (5, Decimal(5))}
    assert query('select sign, impressions from bronze.gam_delivery_corrections order by 1') == [(-1, 1), (1, 5)]
    conflicts = query('select impressions from bronze.gam_delivery_conflicts')
    assert {(2,), (6,)} <= set(conflicts)  # the table keeps every further version, restated or not


def test_a_row_that_moves_to_another_article_takes_its_numbers_along(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tuple(name for name in GAM_DELIVERY.hash_columns or () if name != 'content_id')
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, hash_columns=key, restatements='apply'))
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 10, '1.00'))
    run_days(1, 1, 'ads_revenue')
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 12, '1.50', 'a2'))
    run_days(1, 1, 'ads_revenue')
    day = date(2025, 10, 1)
    assert found(query) == {(day, 'a2'): (12, Decimal('1.50'))}  # nothing is left of a1
    moved = "select content_id, before, after from gold.restatements where measure = 'impressions' order by 1"
    assert query(moved) == [('a1', 10, 0), ('a2', 0, 12)]
    assert main(['verify']) == 0
    rebuild(settings)
    assert found(query) == {(day, 'a2'): (12, Decimal('1.50'))}


def test_a_row_that_moves_to_another_day_takes_its_numbers_along(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ('ad_unit', 'line_item', 'creative', 'content_id')
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, hash_columns=key, restatements='apply'))
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 10, '1.00'), row(2, 1, '0.10'))
    # The same day in UTC, 3 in the morning of the next one in Jakarta.
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 12, '1.50').replace('T05', 'T20'))
    run_days(1, 2, 'ads_revenue')
    truth = {(date(2025, 10, 1), 'a1'): (1, Decimal('0.1')), (date(2025, 10, 2), 'a1'): (12, Decimal('1.5'))}
    assert found(query) == truth
    assert main(['verify']) == 0
    rebuild(settings)
    assert found(query) == truth


def test_the_pages_of_ads_show_the_versions_that_count(settings: Settings, query: Query) -> None:
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 10, '1.00'), row(2, 1, '0.10'))
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 12, '1.50'))
    run_days(1, 2, 'ads_revenue')
    days = {'start': date(2025, 10, 1), 'end': date(2025, 10, 2), 'article': ''}
    span = ask(settings, question('span'), days | {'source': 'gam_delivery'})
    brought = dict(zip(span.columns, span.rows[0], strict=True))
    by_line_item = ask(settings, question('ads'), days | brought | {'by': 'line_item'}).rows
    assert [(name, rows, impressions) for name, rows, impressions, *_ in by_line_item] == [('l0', 1, 12), ('l2', 1, 1)]
    by_day = ask(settings, question('days_of_ads'), days | brought | {'by': 'line_item', 'wanted': 'l0'}).rows
    assert [(day, impressions, money) for day, impressions, _, money in by_day] == [(date(2025, 10, 1), 12, Decimal('1.5'))]
    line_items = "select line_item, impressions from bronze.gam_delivery_counted(array['2025-10-01'::date]) order by 1"
    assert query(line_items) == [('l0', 12), ('l2', 1)]


def test_by_default_the_first_version_counts(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', GAM_DELIVERY)
    for day in (1, 2):
        deliver(settings.data_dir, f'gam_delivery_2025100{day}.csv', row(0, day, '1'))
    run_days(1, 1, 'ads_revenue')
    assert found(query) == {(date(2025, 10, 1), 'a1'): (1, Decimal(1))}
    assert query('select count(*) from gold.gam_restatements') == [(0,)]


DAMAGES = {
    'a row of bronze': "update bronze.gam_delivery set revenue_usd = 99 where line_item = 'l0'",
    'a change is there twice': 'insert into bronze.gam_delivery_corrections select * from bronze.gam_delivery_corrections',
    'a change is gone': 'delete from bronze.gam_delivery_corrections',
    'a change is another': 'update bronze.gam_delivery_corrections set revenue_usd = 14, impressions = 20 where sign > 0',
    'half of a change is gone': 'delete from bronze.gam_delivery_corrections where sign < 0',
    'the version in force is another': "update bronze.gam_delivery_hashrow set revenue_usd = 7 where revenue_usd = '12'",
    'a conflict is gone': 'delete from bronze.gam_delivery_conflicts',
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_what_counts_is_held_against_the_files_and_repaired_from_them(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 10, '10'), row(2, 1, '1'))
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 12, '12'))
    run_days(1, 2, 'ads_revenue')
    truth = newest(settings.data_dir)
    assert truth == {(date(2025, 10, 1), 'a1'): (13, Decimal(13))}  # 12 in place of 10, and 1
    asked = ['--source', 'gam_delivery', '--quiet']
    assert (main(['verify']), main(['reconcile', *asked])) == (0, 0)
    query(DAMAGES[damage])
    if damage != 'a conflict is gone':  # what counts still follows from the rest; the files know better
        assert main(['verify']) == 1
    assert main(['reconcile', *asked]) == 3
    capsys.readouterr()
    assert main(['repair', *asked]) == 0
    assert capsys.readouterr().out == 'every cent accounted for\n'
    assert found(query) == truth
    assert main(['verify']) == 0
    assert query('select sign, revenue_usd from bronze.gam_delivery_corrections order by 1') == [(-1, 10), (1, 12)]


def test_gold_that_is_not_the_newest_version_is_named_although_the_warehouse_agrees_with_itself(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 10, '10'))
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 12, '12'))
    run_days(1, 2, 'ads_revenue')
    # Somebody takes the restatement back, everywhere in the warehouse.
    query(
        'delete from bronze.gam_delivery_corrections;'
        'update bronze.gam_delivery_hashrow set revenue_usd = 10, impressions = 10'
    )
    rebuild(settings)
    assert main(['verify']) == 0
    capsys.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery']) == 3
    told = capsys.readouterr().out
    assert 'gam_delivery 2025-10-01: 1 row was counted in another version than the files say' in told
    assert 'revenue_usd off by -2; not the newest versions of the files' in told
    assert told.rstrip().endswith('not accounted for: gold and bronze differ by 2.00 USD')
    assert main(['repair', '--source', 'gam_delivery', '--quiet']) == 0
    assert found(query) == newest(settings.data_dir)


def test_a_load_that_restates_says_so_and_needs_no_look_unless_the_day_was_final(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply', finality=None))

    def told(*words: str) -> tuple[int, str, str]:
        code = main([*words])
        out, err = capsys.readouterr()
        return code, out, err

    load = ('backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue')
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 10, '10'), row(2, 1, '1'))
    assert told(*load)[0] == 0
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 12, '12'))
    code, out, err = told(*load)
    assert (code, 'needs a look' in out + err) == (0, False)
    assert '2025-10-01  gam_delivery 3 rows (2 already loaded (file unchanged), 1 restated)' in err
    code, out, _ = told('status', '--source', 'gam_delivery', '--start', '2025-10-01', '--end', '2025-10-01')
    assert (code, 'conflict' in out) == (0, False)
    assert told('conflicts')[:2] == (0, '0 conflicts wait\n')
    days = 'select rows_conflicting, rows_superseded, rows_duplicate, revenue_in_conflicts from gold.reconciliation'
    assert query(f"{days} where source = 'gam_delivery' and day = '2025-10-01'") == [(0, 1, 0, None)]
    code, out, err = told(*load, '--reread')
    assert '2025-10-01  gam_delivery 3 rows (2 already loaded, 1 superseded)' in err
    assert (code, query(f"{days} where source = 'gam_delivery' and day = '2025-10-01'")) == (0, [(0, 1, 0, None)])
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    deliver(settings.data_dir, 'gam_delivery_20251003.csv', row(0, 13, '13'))
    code, out, err = told(*load)
    assert (code, '1 restated' in err, 'days that were final are corrected: 2025-10-01' in err) == (3, True, True)
    assert err.count('needs a look') <= 1
    # Where the first version counts again, whatever else was delivered waits for somebody.
    monkeypatch.setitem(SOURCES, 'gam_delivery', GAM_DELIVERY)
    assert told('migrate')[0] == 0
    assert told('conflicts')[1].endswith('2 conflicts wait\n')


def test_of_rows_of_one_file_the_first_counts_and_the_others_wait(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    load = ['backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue']
    deliver(settings.data_dir, 'gam_delivery_20251001.csv', row(0, 1, '1'), row(0, 2, '2'))
    assert main(load) == 3
    told = capsys.readouterr().err
    assert 'gam_delivery: 1 row with the key of another row of their file but other values' in told
    assert 'the first row of the newest file counts' in told
    # Another file has what has waited, and a third row: the one takes the place, the other waits.
    deliver(settings.data_dir, 'gam_delivery_20251002.csv', row(0, 3, '3'), row(0, 2, '2'), row(0, 4, '4'))
    assert main(load) == 3
    assert query(f'{PLACES} order by load_id desc limit 1') == [(5, 0, 1, 1, 0, 1, 2)]  # 3 restated, 2 (twice) and 4 wait
    capsys.readouterr()
    assert (main(['conflicts', '--accept', 'one report, two line items']), main(['conflicts'])) == (0, 0)
    assert capsys.readouterr().out.startswith('2 conflicts accepted')
    assert main(load) == 0  # nobody is asked again


@pytest.mark.one_version
@pytest.mark.parametrize('seed', range(6))
def test_any_order_of_restatements_runs_crashes_and_rebuilds_ends_in_the_newest_versions(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    chance, names = random.Random(seed), itertools.count()
    for day in chance.sample(range(1, 5), 4):  # files come in any order
        for _ in range(chance.randint(1, 3)):
            rows = [
                row(chance.randrange(6), chance.randrange(4), chance.choice(['0.1', '0.10', '-1', '3.000001']))
                for _ in range(chance.randint(1, 8))
            ]
            late = [text for text in rows if int(text[8:10]) <= day]  # a file holds its own day and earlier ones
            deliver(settings.data_dir, f'gam_delivery_2025100{day}_{next(names):02}.csv', *late)
            for _ in range(chance.randrange(4)):
                match chance.randrange(5):
                    case 0:
                        run_days(1, 2, 'ads_revenue')
                    case 1:
                        run_days(chance.randint(1, 2), None, 'ads_revenue')
                    case 2:
                        load(settings, 'gam_delivery', 1, 2)
                    case 3:
                        rebuild(settings)
                    case 4:
                        crash(settings, monkeypatch)
    run_days(1, 2, 'ads_revenue')
    truth = newest(settings.data_dir)
    assert found(query) == truth
    assert main(['verify']) == 0
    main(['backfill', '--start', '2025-10-01', '--end', '2025-10-02', '--pipeline', 'ads_revenue', '--reread'])
    capsys.readouterr()
    main(['reconcile', '--source', 'gam_delivery', '--json'])
    report = json.loads(capsys.readouterr().out)
    assert report['verdict'].startswith('every cent accounted for')
    rows = report['sources']['gam_delivery']['total']['rows']
    of_load = query('select rows_conflicting, rows_superseded, rows_restated from ops.loads order by load_id desc limit 1')
    assert of_load == [(rows['conflict'], rows['superseded'], 0)]
    assert query('select count(*) from bronze.gam_delivery_conflicts where not is_restatement') == [(rows['conflict'],)]
    # One frame with all files, as Mage hands it on, into an empty warehouse, ends in the same.
    request, frames = load_request(settings, 'gam_delivery', 1, 2)
    query(
        'delete from bronze.gam_delivery; delete from bronze.gam_delivery_hashrow; delete from bronze.gam_delivery_conflicts'
    )
    query('delete from bronze.gam_delivery_corrections; delete from ops.load_days; delete from ops.files')
    bronze.load(settings, request, frames)
    rebuild(settings)
    refresh('gam_daily_summary')
    assert found(query) == truth


def crash(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*values: object) -> None:
        raise RuntimeError('crash')

    with monkeypatch.context() as patch:
        patch.setattr(ledger, 'finish', fail)
        with pytest.raises(RuntimeError, match='crash'):
            load(settings, 'gam_delivery', 1, 2)
