"""One file that cannot be used: it is left out as a whole and named, the others are loaded, its days are incomplete."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kly_mage.__main__ import main
from kly_mage.checks.status import status
from kly_mage.common.errors import LandingError
from kly_mage.common.settings import Settings
from kly_mage.declared import GAM_DELIVERY
from kly_mage.loads import runner
from kly_mage.loads.rejects import retry
from kly_mage.warehouse.postgres import ledger
from tests.delivery import HEADERS, ad, ads, article, backfill, deliver, event
from tests.gold import Query, assert_gold_is_exact

pytestmark = pytest.mark.one_version

DAYS = {'start_date': '2025-10-01', 'end_date': '2025-10-04'}
BAD = 'gam_delivery/gam_delivery_20251002.csv'


def four_days(settings: Settings, *, header: str | None = None) -> Path:
    """A file of the ads for each of four days; the second lacks what it needs. Gives its path."""
    for day in range(1, 5):
        deliver(settings, f'gam_delivery_2025100{day}.csv', ad('a', str(day), day=f'2025-10-0{day}'))
    return deliver(settings, 'gam_delivery_20251002.csv', 'x', header=header or 'served_at,ad_unit')


def loaded(query: Query) -> list[tuple[str, int]]:
    """Day and rows in bronze."""
    return query('select _partition_date::text, count(*) from bronze.gam_delivery group by 1 order by 1')


def as_mage() -> Any:
    """The lane of the ads as Mage runs it: whole frames from block to block. Gives what the exporter does."""
    rows = runner.Block('load_gam_delivery', 'data_loader', 'python', ()).function()(**DAYS)
    assert isinstance(rows, pd.DataFrame)
    hashed = runner.Block('hash_gam_delivery', 'transformer', 'python', ()).function()(rows, **DAYS)
    return runner.Block('export_gam_delivery', 'data_exporter', 'python', ()).function()(hashed, **DAYS)


def waiting(query: Query) -> list[tuple[str, int]]:
    """File and line of the rejects that wait."""
    return query('select file, line from bronze.rejects where resolved_at is null order by 1, 2')


# --- the rest is loaded ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('way', ['command line', 'blocks'])
def test_the_other_days_are_loaded_and_the_file_is_named(
    settings: Settings,
    query: Query,
    capfd: pytest.CaptureFixture[str],
    way: str,
) -> None:
    four_days(settings)
    if way == 'blocks':
        assert list(as_mage()['left_out']) == [BAD]
        told = capfd.readouterr().out
    else:
        assert ads('2025-10-01', '2025-10-04') == 3
        told = capfd.readouterr().err
    assert told.count(f'{BAD} is left out, its days are incomplete: required column missing: impressions') == 1
    assert loaded(query) == [('2025-10-01', 1), ('2025-10-03', 1), ('2025-10-04', 1)]
    ((left_out, files),) = query("select left_out, files from ops.loads where source = 'gam_delivery'")
    assert list(left_out) == [BAD]
    assert BAD not in [file['file'] for file in files]
    assert query('select count(*) from ops.files where file = %s', BAD) == [(0,)]
    assert waiting(query) == [(BAD, 0)]


def broken_late(settings: Settings, name: str = 'gam_delivery_20251002.csv') -> Path:
    """A file of 3 MB whose last line is no UTF-8: many of its rows are on their way before that is seen."""
    day = f'{name[-12:-8]}-{name[-8:-6]}-{name[-6:-4]}'
    return deliver(settings, name, *(ad(f'{n:060}', '0.01', day=day) for n in range(30_000)), b'caf\xe9')


@pytest.mark.parametrize('way', ['command line', 'blocks'])
def test_nothing_of_a_file_that_turns_out_broken_at_its_end_is_loaded(settings: Settings, query: Query, way: str) -> None:
    four_days(settings)
    broken_late(settings)
    broken_late(settings, 'gam_delivery_20251003.csv')
    if way == 'blocks':
        assert list(as_mage()['left_out']) == [BAD, BAD.replace('02.csv', '03.csv')]
    else:
        assert ads('2025-10-01', '2025-10-04') == 3
        # Both are found by the first walk, whose rows are rolled back.
        assert query('select status, split_part(error, %s, 1) from ops.loads order by load_id', ' is not') == [
            ('failed', f'begins anew without {BAD}: line 30002'),
            ('done', None),
        ]
    assert loaded(query) == [('2025-10-01', 1), ('2025-10-04', 1)]
    assert query('select count(*) from bronze.gam_delivery_hashrow') == [(2,)]
    assert [line for _, line in waiting(query)] == [0, 0]


def test_a_broken_file_of_articles_is_left_out_of_every_load_until_it_is_repaired(
    settings: Settings, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    old = deliver(settings, 'cms_articles_20240105.csv.gz', article('1'))
    whole = old.read_bytes()
    old.write_bytes(whole[:-6])
    deliver(settings, 'cms_articles_20251001.csv', article('2'))
    deliver(settings, 'ga4_events_20251001.csv', event())
    deliver(settings, 'ga4_events_20251002.csv', event(day='2025-10-02'))
    articles = ('--pipeline', 'articles_performance')
    for day in ('2025-10-01', '2025-10-02'):  # of the second there is no other file of articles at all
        assert backfill(day, day, *articles) == 3
        assert 'cms_articles/cms_articles_20240105.csv.gz is left out' in capfd.readouterr().err
    assert query('select content_id from gold.articles') == [('2',)]
    assert query('select count(*) from gold.ga4_daily_summary') == [(2,)]
    old.write_bytes(whole)
    assert backfill('2025-10-01', '2025-10-01', *articles) == 0
    assert query('select content_id from gold.articles order by 1') == [('1',), ('2',)]
    assert waiting(query) == []


def test_if_none_of_several_files_can_be_used_the_load_fails(settings: Settings, query: Query) -> None:
    for day in (1, 2, 3):
        deliver(settings, f'gam_delivery_2025100{day}.csv', header='a,b')
    assert ads('2025-10-01', '2025-10-02') == 1
    with pytest.raises(LandingError, match=r'^gam_delivery/gam_delivery_20251001.csv: .*; 2 more files cannot be used eith'):
        as_mage()
    assert query('select count(*) from bronze.rejects') == [(0,)]


def test_a_dry_run_names_the_file(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    four_days(settings)
    assert ads('2025-10-01', '2025-10-04', '--dry-run') == 3
    assert f'cannot be used: {BAD}: required column missing: impressions' in capfd.readouterr().out


def test_what_the_runs_of_a_mage_backfill_have_left_out_is_told_together(settings: Settings, query: Query) -> None:
    path = four_days(settings)
    as_mage()
    path.rename(path.with_name('gam_delivery_20251032.csv'))
    as_mage()
    as_mage()
    query('update ops.loads set pipeline_run = load_id')  # the number is Mage's: each run loads once
    (told,) = ledger.of_pipeline_runs(settings, ['1', '2'])
    assert (told['source'], told['rows_new'], told['rows_unchanged']) == ('gam_delivery', 3, 3)
    assert {name: reason[:8] for name, reason in told['left_out'].items()} == {
        BAD: 'required',
        BAD.replace('1002', '1032'): '20251032',
    }


# --- its days are incomplete -----------------------------------------------------------------------------------------------


def states(settings: Settings) -> dict[str, str]:
    """State by day of the ads."""
    (standing,) = status(settings, [GAM_DELIVERY])
    return {f'{day.day}': day.state for day in standing.days}


def test_the_days_it_may_hold_are_incomplete_until_it_is_delivered_again(
    settings: Settings, query: Query, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('KLY_LATE_DAYS', '1')
    settings = replace(settings, late_days=1)
    path = four_days(settings)
    assert ads('2025-10-01', '2025-10-04') == 3
    assert states(settings) == {
        '2025-10-01': 'incomplete',
        '2025-10-02': 'incomplete',
        '2025-10-03': 'loaded',
        '2025-10-04': 'loaded',
    }
    capfd.readouterr()
    assert main(['status', '--source', 'gam_delivery']) == 3
    told = capfd.readouterr().out
    assert f'{BAD} is left out: required column missing: impressions' in told
    assert '2025-10-01 to 2025-10-02: incomplete, loaded without a file that may hold rows of it' in told
    assert told.endswith('days missing: gam_delivery 2\n')
    assert main(['rejects']) == 3
    assert f'{BAD}                ' in capfd.readouterr().out.replace('│', ' ')
    # Another fault takes the place of the first one.
    path.write_text('served_at,served_at\n')
    assert ads('2025-10-01', '2025-10-04') == 3
    assert query('select count(*), count(resolved_at) from bronze.rejects') == [(2, 1)]
    # Delivered again it waits for a load, and is as if nothing had been.
    deliver(settings, path.name, ad('a', '2', day='2025-10-02'))
    assert list(states(settings).values()) == ['late', 'not loaded', 'loaded', 'loaded']
    assert ads('2025-10-01', '2025-10-04') == 0
    assert set(states(settings).values()) == {'loaded'}
    assert waiting(query) == []
    assert_gold_is_exact(query, settings.data_dir)


def test_a_retry_of_the_rejects_loads_all_days_of_a_file_that_can_be_used_now(settings: Settings, query: Query) -> None:
    path = four_days(settings)
    ads('2025-10-01', '2025-10-04')
    assert retry(settings, ['gam_delivery']).still == 1  # nothing has changed
    deliver(settings, path.name, ad('late', '0.5', day='2025-10-01'), ad('a', '2', day='2025-10-02'))
    outcome = retry(settings, ['gam_delivery'])
    assert (outcome.resolved, outcome.still) == (1, 0)
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(10.5,)]
    assert set(states(settings).values()) == {'loaded'}


@pytest.mark.parametrize('how', ['retry', 'load'])
def test_a_file_that_was_taken_away_holds_nothing_up(settings: Settings, query: Query, how: str) -> None:
    path = four_days(settings)
    ads('2025-10-01', '2025-10-04')
    path.rename(path.with_suffix('.broken'))
    if how == 'retry':
        assert retry(settings, ['gam_delivery']).resolved == 1
    else:
        ads('2025-10-04')
    assert waiting(query) == []
    assert states(settings)['2025-10-02'] == 'missing file'


# --- it is accounted for ---------------------------------------------------------------------------------------------------


def test_reconcile_names_the_file_and_counts_no_part_of_it(
    settings: Settings, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    four_days(settings)
    broken_late(settings)
    assert ads('2025-10-01', '2025-10-04') == 3
    capfd.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery', '--json']) == 3
    told = capfd.readouterr().out
    assert f'{BAD}: line 30002 is not UTF-8' in told
    assert query('select sum(rows_in_files), sum(rows_not_loaded), sum(rows_rejected) from gold.reconciliation') == [
        (3, 0, 0)
    ]
    assert main(['reconcile', '--source', 'gam_delivery']) == 3
    shown = capfd.readouterr().out
    assert 'rejected once' not in shown
    assert 'never loaded' not in shown


def test_a_packed_file_that_is_cut_gives_nothing_though_all_its_rows_can_be_read(settings: Settings, query: Query) -> None:
    four_days(settings)
    rows = [HEADERS['gam_delivery'], ad('a', '2', day='2025-10-02'), '']
    packed = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv.gz'
    packed.write_bytes(gzip.compress('\n'.join(rows).encode())[:-4])  # its checksum is there, its length is cut
    assert ads('2025-10-01', '2025-10-04') == 3
    assert [day for day, _ in loaded(query)] == ['2025-10-01', '2025-10-03', '2025-10-04']
