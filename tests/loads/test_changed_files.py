"""A file that changes after it was loaded: whoever loads again is told, ``repair`` alone makes gold what the files say."""

import os
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import UTC, Settings
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from tests.delivery import ad, ads, article, backfill, deliver, event
from tests.gold import assert_gold_is_exact
from tests.remedies import obey

Query = Callable[..., list[tuple[Any, ...]]]
FILE = 'gam_delivery_20251001.csv'
CHANGED = 'select file, day::text, rows, rows_now from ops.file_days where changed_by is not null order by file, day'


def exact(settings: Settings, query: Query) -> None:
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['reconcile', '--quiet']) == 0
    assert main(['verify']) == 0
    assert query(CHANGED) == []


@pytest.mark.parametrize(
    'then',
    [
        pytest.param([ad('a', '6')], id='shorter'),
        pytest.param([], id='emptied'),
        pytest.param([ad('a', '6'), ad('b', '1.5')], id='a number corrected'),
        pytest.param([ad('a', '6'), ad('c', '4')], id='a key corrected'),
        pytest.param([ad('b', '6'), ad('a', '4')], id='numbers swapped'),
        pytest.param([ad('a', '6'), ad('b', '4', clicks='1')], id='a count corrected'),
    ],
)
def test_a_changed_file_is_named_by_the_next_load_and_by_status_and_repair_alone_makes_gold_what_it_says(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], then: list[str]
) -> None:
    deliver(settings, FILE, ad('a', '6'), ad('b', '4'))
    assert ads() == 0
    deliver(settings, FILE, *then)
    capsys.readouterr()
    for _ in range(2):  # not only the first load says so
        assert ads() == 3
        told = capsys.readouterr()
        assert '1 file changed' in told.out
        was = f'gam_delivery/{FILE} is not what load 1 read: it had 2 rows (10 of money) of 2025-10-01'
        assert f'{was}, now it has' in told.err
    assert main(['status', '--source', 'gam_delivery']) == 3
    assert obey(told.err, 'repair') == 0
    exact(settings, query)
    capsys.readouterr()
    main(['status', '--source', 'gam_delivery'])
    assert 'file changed' not in capsys.readouterr().out
    ads()
    assert '1 file changed' not in capsys.readouterr().out


def test_a_file_that_has_its_old_rows_again_is_not_named_any_more(settings: Settings, query: Query) -> None:
    for rows, code in (([event('u1'), event('u2')], 0), ([event('u1')], 3), ([event('u2'), event('u1')], 0)):
        deliver(settings, 'ga4_events_20251001.csv', *rows)
        assert backfill('2025-10-01', None, '--pipeline', 'articles_performance') in (code, 3)
        assert len(query(CHANGED)) == (code == 3)


def test_a_file_that_grows_is_no_change_to_report(settings: Settings, query: Query) -> None:
    deliver(settings, FILE, ad('a', '6'), ad('b', '4'))
    ads()
    deliver(settings, FILE, ad('c', '1'), ad('a', '6'), ad('b', '4'), ad('d', '2'), ad('d', '2'))
    assert ads() == 0
    assert query('select rows, money from ops.file_days') == [(5, 15)]
    deliver(settings, FILE, ad('c', '1'), ad('b', '4'), ad('d', '2'), ad('d', '2'))
    assert ads() == 3


def test_each_day_of_a_file_is_compared_by_the_loads_of_that_day(settings: Settings, query: Query) -> None:
    late = [ad(day='2025-10-01'), ad('b', day='2025-10-01')]
    deliver(settings, 'gam_delivery_20251002.csv', *late, ad(day='2025-10-02'))
    for day in ('2025-10-01', '2025-10-02'):
        ads(day)
    deliver(settings, 'gam_delivery_20251002.csv', late[0], ad(day='2025-10-02'))
    ads('2025-10-02')
    assert query(CHANGED) == []
    assert ads('2025-10-01') == 3
    assert query(CHANGED) == [('gam_delivery/gam_delivery_20251002.csv', '2025-10-01', 2, 1)]


def test_a_shorter_file_of_articles_is_named_and_repaired(settings: Settings, query: Query) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('1'), article('2', published=''))
    backfill('2025-10-01', None, '--pipeline', 'articles_performance')
    deliver(settings, 'cms_articles_20251001.csv', article('2', 'Another title', published=''))
    assert backfill('2025-10-01', None, '--pipeline', 'articles_performance') == 3
    assert query(CHANGED) == [('cms_articles/cms_articles_20251001.csv', None, 2, 1)]
    main(['repair', '--quiet', '--source', 'cms_articles'])
    exact(settings, query)


def mage(settings: Settings, between: Callable[[], Any] = lambda: None, source: str = 'gam_delivery') -> dict[str, Any]:
    """The blocks of a lane as Mage runs them: one frame from each to the next."""
    asked = {'start_date': date(2025, 10, 1), 'end_date': date(2025, 10, 2)}
    rows = hash_rows(read_days(source, asked), source)
    between()
    return export_new_rows(rows, source, asked)


def test_mage_and_the_command_line_agree_on_what_files_held_where_rows_stand_in_several(
    settings: Settings, query: Query
) -> None:
    """Late rows of one day in the file of the next, delivered twice within it too."""
    both = [ad('a', '1'), ad('b', '2'), ad('b', '2'), ad('b', '3')]
    deliver(settings, FILE, *both)
    deliver(settings, 'gam_delivery_20251002.csv', *both, ad('a', day='2025-10-02'))
    deliver(settings, 'cms_articles_20251001.csv', article('1'), article('2'))
    deliver(settings, 'cms_articles_20251002.csv', article('1', 'Other'), article('2'), article('1'))
    ads('2025-10-01', '2025-10-02')
    backfill('2025-10-01', '2025-10-02', '--pipeline', 'articles_performance')
    before = query('select file, day, rows, checksum, money from ops.file_days order by 1, 2')
    for source in ('gam_delivery', 'cms_articles'):
        assert mage(settings, source=source)['files_changed'] == 0
    assert query('select file, day, rows, checksum, money from ops.file_days order by 1, 2') == before
    query('delete from ops.file_days')
    query('update ops.files set content = null')
    for source in ('gam_delivery', 'cms_articles'):
        mage(settings, source=source)
    assert query('select file, day, rows, checksum, money from ops.file_days order by 1, 2') == before
    assert_gold_is_exact(query, settings.data_dir)


def test_a_file_replaced_between_loader_and_exporter_is_noted_as_it_was_read(settings: Settings, query: Query) -> None:
    """The next load then finds it new, and takes its rows."""
    path = deliver(settings, FILE, ad('a', '6'))
    os.utime(path, (1_700_000_000, 1_700_000_000))

    def replaced() -> Path:
        return deliver(settings, FILE, ad('a', '6'), ad('b', '4'))

    assert mage(settings, replaced)['rows_new'] == 1
    seen = "select extract(epoch from modified_at)::bigint from ops.files where file = 'gam_delivery/' || %s"
    assert query(seen, FILE) == [(1_700_000_000,)]
    noted = "select file ->> 'modified_at' from ops.loads, jsonb_array_elements(files) as file"
    assert query(noted) == [('2023-11-14T22:13:20+00:00',)]
    assert query('select rows from ops.file_days') == [(1,)]
    assert ads() == 0
    assert_gold_is_exact(query, settings.data_dir)


@pytest.mark.parametrize('rows', [(), (ad('late', '1', day='2025-10-03'),)], ids=['no row', 'rows of another day'])
def test_a_file_without_rows_that_is_replaced_between_loader_and_exporter_is_not_taken_for_read(
    settings: Settings, query: Query, rows: tuple[str, ...]
) -> None:
    """It is noted as the loader saw it; what took its place waits for the next load, and is named until then."""
    deliver(settings, FILE, ad('a', '6'))
    deliver(settings, 'gam_delivery_20251004.csv', *rows)
    mage(settings, lambda: deliver(settings, 'gam_delivery_20251004.csv', *rows, ad('b', '4', day='2025-10-02')))
    seen = "select modified_at = %s from ops.files where file like '%%1004.csv'"
    path = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251004.csv'
    now = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    assert query(seen, now) == [(False,)]
    assert main(['status', '--source', 'gam_delivery', '--start', '2025-10-01']) == 0
    mage(settings)
    assert query(seen, now) == [(True,)]
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') in (
        [(6,)],
        [(None,)],
    )  # marts are blocks of their own
    assert query('select sum(revenue_usd) from bronze.gam_delivery') == [(10,)]


def test_a_version_whose_file_has_it_no_more_counts_no_longer_than_the_files_say_although_a_later_one_has_it(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, revenue in enumerate(('10', '12', '10'), start=1):
        deliver(settings, f'gam_delivery_2025100{number}.csv', ad('a', revenue))
    assert ads() == 3
    revenue_of = 'select sum(revenue_usd) from gold.gam_daily_summary'
    assert query(revenue_of) == [(10,)]
    deliver(settings, 'gam_delivery_20251001.csv', ad('b', '1'))
    assert ads() == 3
    assert '1 file changed' in capsys.readouterr().out
    assert main(['reconcile', '--source', 'gam_delivery', '--start', '2025-10-01']) == 3
    told = capsys.readouterr().out
    assert '1 row was counted in another version than the files say (gam_delivery/gam_delivery_20251002.csv, line 2)' in told
    assert main(['repair', '--quiet', '--source', 'gam_delivery', '--start', '2025-10-01']) in (0, 3)
    assert query(revenue_of) == [(1 + 12,)]
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    capsys.readouterr()
    main(['reconcile', '--source', 'gam_delivery'])
    assert 'counted in another version' not in capsys.readouterr().out


def test_the_first_version_that_was_loaded_stays_the_first_when_an_earlier_file_comes_later(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(settings, 'gam_delivery_20251001_b.csv', ad('a', '10'))
    assert ads() == 0
    deliver(settings, 'gam_delivery_20251001_a.csv', ad('a', '12'))
    assert ads() == 3
    capsys.readouterr()
    main(['reconcile', '--source', 'gam_delivery'])
    told = capsys.readouterr().out
    assert 'every cent accounted for' in told
    assert 'counted in another version' not in told
    assert main(['repair', '--quiet']) in (0, 3)
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(10,)]


@pytest.mark.parametrize('then', [pytest.param([article('8')], id='another article'), pytest.param([], id='emptied')])
def test_the_version_of_an_article_counts_that_the_files_as_they_are_have_last(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str], then: list[str]
) -> None:
    """An edit was taken back, and now that is taken back: every row of bronze is in a file, only the order is off."""
    articles = ('--pipeline', 'articles_performance')
    for number, title in enumerate(('First', 'Second', 'First'), start=1):
        deliver(settings, f'cms_articles_2025100{number}.csv', article('7', title))
    backfill('2025-10-01', '2025-10-03', *articles)
    assert query('select title from gold.articles') == [('First',)]
    deliver(settings, 'cms_articles_20251003.csv', *then)
    assert backfill('2025-10-01', '2025-10-03', *articles) == 3
    capsys.readouterr()
    assert main(['reconcile', '--source', 'cms_articles']) == 3
    told = capsys.readouterr().out
    assert '2 rows were counted in another version than the files say' in told
    assert 'python -m kly_mage repair --source cms_articles\n' in told
    assert main(['repair', '--quiet', '--source', 'cms_articles']) in (0, 3)  # a day without its file is missing
    assert query("select title from gold.articles where content_id = '7'") == [('Second',)]
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['verify']) == 0
    capsys.readouterr()
    main(['reconcile', '--source', 'cms_articles'])
    assert 'counted in another version' not in capsys.readouterr().out
