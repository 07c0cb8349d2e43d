"""A file that ends within its last number, ``…,12`` of ``…,1234.50``: never 12, unless somebody says that it is whole."""

from pathlib import Path

import pandas as pd
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.loads import runner
from tests.delivery import HEADERS, ad, ads, article, backfill, deliver
from tests.gold import Query, assert_gold_is_exact

pytestmark = pytest.mark.one_version

FILE = 'gam_delivery/gam_delivery_20251001.csv'
DAYS = {'start_date': '2025-10-01', 'end_date': '2025-10-01'}


def cut_file(settings: Settings, row: str = '') -> Path:
    """A good row, and one of 1,234.50 of which the last five characters are not there."""
    path = deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'), row or ad('b', '1234.50'))
    path.write_bytes(path.read_bytes()[: -len('34.50\n')])
    return path


def revenue(query: Query) -> str:
    """In gold."""
    return str(query('select sum(revenue_usd) from gold.gam_daily_summary')[0][0].normalize())


def as_mage() -> None:
    """The lane of the ads as Mage runs it: whole frames from block to block."""
    rows = runner.Block('load_gam_delivery', 'data_loader', 'python', ()).function()(**DAYS)
    assert isinstance(rows, pd.DataFrame)
    hashed = runner.Block('hash_gam_delivery', 'transformer', 'python', ()).function()(rows, **DAYS)
    runner.Block('export_gam_delivery', 'data_exporter', 'python', ()).function()(hashed, **DAYS)


def test_a_cut_number_is_held_back_named_and_replaced_by_the_whole_one(
    settings: Settings, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    cut_file(settings)
    assert ads() == 3
    assert f"{FILE}, line 3: revenue_usd '12' is in the last line of its file, which has no end: it may be cut" in (
        capfd.readouterr().err
    )
    assert ads() == 3
    assert revenue(query) == '2'
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'), ad('b', '1234.50'))
    assert ads() == 0
    assert revenue(query) == '1236.5'
    assert main(['rejects', '--retry']) == 0
    assert revenue(query) == '1236.5'
    assert_gold_is_exact(query, settings.data_dir)


@pytest.mark.parametrize('way', ['command line', 'blocks'])
def test_whoever_retries_it_says_that_it_is_whole_and_every_later_load_agrees(
    settings: Settings, query: Query, capfd: pytest.CaptureFixture[str], way: str
) -> None:
    path = deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'), ad('b', '12'))
    path.write_bytes(path.read_bytes().rstrip(b'\n'))  # an exporter that never writes the last end
    ads()
    capfd.readouterr()
    assert main(['rejects', '--retry']) == 0
    written = capfd.readouterr()
    assert f'{FILE}, line 3: taken as it stands, though it has no end' in written.err
    assert written.out == '1 reject resolved, 1 row loaded\n0 rejects wait\n'
    assert revenue(query) == '14'
    if way == 'blocks':
        as_mage()
    else:
        assert ads() == 0
    assert query('select count(*) from bronze.rejects where resolved_at is null') == [(0,)]
    assert query('select rows_already_loaded, rows_rejected from ops.loads order by load_id desc limit 1') == [(2, 0)]
    # And it is in its place: not missing, nor in no file.
    capfd.readouterr()
    assert main(['reconcile', '--source', 'gam_delivery']) == 0
    assert 'every cent accounted for' in capfd.readouterr().out
    # Another row in that line is another question.
    path.write_bytes(path.read_bytes()[:-1] + b'7')
    assert ads() == 3
    assert revenue(query) == '14'


def test_blocks_hold_it_back_too(settings: Settings, query: Query) -> None:
    cut_file(settings)
    as_mage()
    assert query('select ad_unit from bronze.gam_delivery') == [('a',)]
    assert query('select line, value from bronze.rejects') == [(3, '12')]


def test_what_is_held_back_is_a_reject_for_the_reconciliation(
    settings: Settings, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    cut_file(settings)
    ads()
    capfd.readouterr()
    main(['reconcile', '--source', 'gam_delivery'])
    told = capfd.readouterr().out
    assert '1 row rejected (1 in the last line of its file, which has no end: it may be cut), 12.00 USD readable' in told
    assert query('select sum(rows_rejected), sum(rows_not_loaded) from gold.reconciliation') == [(1, 0)]


def test_an_article_without_the_end_of_its_line_is_taken_by_a_retry_whatever_its_day(
    settings: Settings, query: Query
) -> None:
    path = settings.data_dir / 'cms_articles' / 'cms_articles_20251001.csv'
    path.write_text('\n'.join([HEADERS['cms_articles'], article('1'), article('2', published='2019-05-05')]))
    articles = ('--pipeline', 'articles_performance')
    backfill('2025-10-01', '2025-10-01', *articles)
    assert query('select content_id from gold.articles') == [('1',)]
    assert main(['rejects', '--retry', '--source', 'cms_articles']) == 0
    assert query('select content_id from gold.articles order by 1') == [('1',), ('2',)]


WHY = ['--accept', 'the exporter breaks off there', '--by', 'Ani']


def test_who_accepts_it_is_not_asked_again_and_it_does_not_count_until_the_whole_one_comes(
    settings: Settings, query: Query
) -> None:
    cut_file(settings)
    assert ads() == 3
    assert main(['rejects', *WHY]) == 0
    assert ads() == 0
    assert main(['reconcile', '--quiet', '--source', 'gam_delivery']) == 0
    assert revenue(query) == '2'
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'), ad('b', '1234.50'))
    assert ads() == 0
    assert revenue(query) == '1236.5'
    assert_gold_is_exact(query, settings.data_dir)


def test_a_cut_line_that_was_accepted_is_not_accepted_where_it_is_cut_elsewhere(settings: Settings, query: Query) -> None:
    path = cut_file(settings)
    ads()
    main(['rejects', *WHY])
    path.write_bytes(path.read_bytes() + b'34')
    assert ads() == 3
    assert main(['rejects']) == 3
    assert revenue(query) == '2'


def test_what_was_accepted_can_still_be_taken(settings: Settings, query: Query) -> None:
    cut_file(settings)
    ads()
    main(['rejects', *WHY])
    assert main(['rejects', '--retry']) == 0
    assert revenue(query) == '14'
    assert ads() == 0
    assert main(['verify']) == 0


@pytest.mark.parametrize(
    ('chosen', 'left'),
    [(['--load', '1'], ['12']), (['--load', '2'], ['2']), (['--start', '2025-10-01'], []), (['--file', FILE], [])],
)
def test_that_somebody_has_called_it_whole_outlives_unload(
    settings: Settings, query: Query, chosen: list[str], left: list[str]
) -> None:
    cut_file(settings)
    ads()
    assert main(['rejects', '--retry']) == 0
    assert main(['unload', *chosen]) == 0
    assert query('select trim_scale(revenue_usd)::text from bronze.gam_delivery') == [(each,) for each in left]
    assert ads() == 0
    assert revenue(query) == '14'
    assert query('select count(*) from bronze.rejects where resolved_at is null') == [(0,)]
    assert main(['verify']) == 0
    assert main(['reconcile', '--quiet', '--source', 'gam_delivery']) == 0
