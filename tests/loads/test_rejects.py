"""``rejects``: rows that cannot be used, listed; those that have become usable, loaded and marked as resolved."""

from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.gold import Query, assert_gold_is_exact
from tests.scenes import deliver

GOOD = '2025-10-01T05:00:00Z,/top,l,c,a1,10,1,0.5'
BAD_COUNT = '2025-10-01T05:00:01Z,/top,l,c,a1,-3,1,0.25'
BAD_DAY = 'yesterday,/top,l,c,a1,10,1,0.125'


@pytest.fixture
def delivered(settings: Settings) -> Path:
    """One file with a usable row and two others, loaded."""
    path = deliver(settings.data_dir, 'gam_delivery_20251001.csv', GOOD, BAD_COUNT, BAD_DAY)
    load()
    return path


def load() -> int:
    """The load of the day."""
    return main(['backfill', '--start', '2025-10-01', '--quiet'])


def repair(path: Path, *replacements: tuple[str, str]) -> None:
    """Deliver a file again, corrected."""
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


@pytest.mark.usefixtures('delivered')
def test_rejects_are_listed_with_file_line_column_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(['rejects']) == 3
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if 'gam_delivery_20251001.csv' in line]
    assert [line[:4] for line in lines] == [
        ['gam_delivery/gam_delivery_20251001.csv', '3', 'impressions', "'-3'"],
        ['gam_delivery/gam_delivery_20251001.csv', '4', 'served_at', "'yesterday'"],
    ]
    assert ' '.join(lines[0][4:]) == 'not a whole number of at least 0'
    assert main(['rejects', '--source', 'ga4_events']) == 0
    assert capsys.readouterr().out == '0 rejects wait\n'


def test_what_has_become_usable_is_loaded_and_resolved_not_deleted(
    delivered: Path, settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    repair(delivered, (',-3,', ',3,'), ('yesterday', '2025-10-01T06:00:00Z'))
    capsys.readouterr()
    assert main(['rejects', '--retry']) == 0
    assert capsys.readouterr().out == '2 rejects resolved, 2 rows loaded\n0 rejects wait\n'
    assert query('select line, resolved_at is not null from bronze.rejects order by line') == [(3, True), (4, True)]
    assert query('select sum(impressions), sum(revenue_usd)::text from gold.gam_daily_summary') == [(23, '0.875')]
    assert_gold_is_exact(query, settings.data_dir)
    assert main(['reconcile', '--quiet']) == 0


def test_what_is_still_broken_waits_on(delivered: Path, query: Query) -> None:
    repair(delivered, (',-3,', ',3,'))
    assert main(['rejects', '--retry']) == 3
    assert query('select line, resolved_at is not null from bronze.rejects order by line') == [(3, True), (4, False)]
    assert query('select count(*) from bronze.gam_delivery') == [(2,)]


def test_a_row_that_is_broken_in_another_way_is_another_reject(delivered: Path, query: Query) -> None:
    repair(delivered, (',-3,1,0.25', ',3,1,n/a'))
    assert main(['rejects', '--retry']) == 3
    assert query('select line, column_name, resolved_at is not null from bronze.rejects order by line, column_name') == [
        (3, 'impressions', True),
        (3, 'revenue_usd', False),
        (4, 'served_at', False),
    ]
    assert main(['reconcile', '--quiet']) == 0


def test_a_row_that_was_taken_out_of_its_file_waits_no_longer(delivered: Path, query: Query) -> None:
    delivered.write_text('\n'.join(delivered.read_text().splitlines()[:2]) + '\n')
    assert main(['rejects', '--retry']) == 0
    assert query('select count(*) from bronze.rejects where resolved_at is not null') == [(2,)]
    assert query('select count(*) from bronze.gam_delivery') == [(1,)]


def test_a_reject_whose_file_is_gone_waits(delivered: Path, settings: Settings, query: Query) -> None:
    delivered.rename(settings.data_dir / 'elsewhere.csv')
    assert main(['rejects', '--retry']) == 3
    assert query('select count(*) from bronze.rejects where resolved_at is null') == [(2,)]


def test_a_row_mended_and_broken_again_waits_again(delivered: Path, query: Query) -> None:
    repair(delivered, (',-3,', ',3,'))
    main(['rejects', '--retry'])
    repair(delivered, (',3,', ',-3,'))
    load()
    assert query('select line from bronze.rejects where resolved_at is null order by line') == [(3,), (4,)]


@pytest.mark.usefixtures('delivered')
def test_a_second_retry_finds_nothing_to_do(query: Query) -> None:
    loads = query('select count(*) from ops.loads')
    assert main(['rejects', '--retry']) == 3
    assert query('select count(*) from ops.loads') == loads


def test_an_article_is_tried_again_with_its_file(settings: Settings, query: Query) -> None:
    path = deliver(settings.data_dir, 'cms_articles_20251001.csv', 'a1,s,T,x,y,14 Okt 2024')
    load()
    repair(path, ('14 Okt 2024', '2024-10-14'))
    assert main(['rejects', '--retry']) == 0
    assert query('select content_id, publish_timestamp::date::text from gold.articles') == [('a1', '2024-10-13')]


def test_a_row_that_no_load_takes_waits_and_reconcile_names_it(delivered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repair(delivered, ('yesterday', '2025-09-01T06:00:00Z'), (',-3,', ',3,'))
    assert main(['rejects', '--retry']) == 3
    capsys.readouterr()
    assert main(['reconcile']) == 3
    assert 'line 4: 1 row dated 2025-09-01, outside the days this file may hold' in capsys.readouterr().out
