"""``export``: gold as a file, exact, whole or not there."""

import csv
import io
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres import summary
from tests.delivery import ad, article, backfill, deliver, event
from tests.gold import Query

Captured = pytest.CaptureFixture[str]


def loaded(settings: Settings) -> None:
    """Two days; the first with as many digits behind the point as money may have, and a title with a line break."""
    deliver(settings, 'cms_articles_20251001.csv', article('7', '"A ""title"",\nof two lines"'))
    for day, revenue in (('2025-10-01', '-1.000000000001'), ('2025-10-02', '123456789012345678.5')):
        name = day.replace('-', '')
        deliver(settings, f'ga4_events_{name}.csv', event(day=day))
        deliver(settings, f'gam_delivery_{name}.csv', ad(revenue=revenue, impressions=str(2**60), day=day))
    backfill('2025-10-01', '2025-10-02')


def test_parquet_holds_every_digit_and_the_types_of_the_columns(settings: Settings, tmp_path: Path) -> None:
    loaded(settings)
    path = tmp_path / 'gold.parquet'
    assert main(['export', str(path)]) == 0
    rows = pl.read_parquet(path)
    assert rows['date'].to_list() == [date(2025, 10, 1), date(2025, 10, 2)]
    assert rows['revenue_usd'].to_list() == [Decimal('-1.000000000001'), Decimal('123456789012345678.5')]
    assert rows['title'].to_list() == ['A "title",\nof two lines'] * 2
    assert (rows.schema['pageviews'], rows.schema['publish_timestamp']) == (pl.Int64, pl.Datetime('us', 'UTC'))


def test_csv_says_the_same_as_show(settings: Settings, tmp_path: Path, capfd: Captured) -> None:
    loaded(settings)
    path = tmp_path / 'gold.csv'
    assert main(['export', str(path), '--start', '2025-10-01']) == 0
    capfd.readouterr()
    assert main(['show', '--csv', '--day', '2025-10-01']) == 0
    exported, shown = (list(csv.DictReader(io.StringIO(text))) for text in (path.read_text(), capfd.readouterr().out))
    assert [row['revenue_usd'] for row in exported] == ['-1.000000000001']
    assert exported == shown


def test_rows_of_several_batches_are_all_written(
    settings: Settings, tmp_path: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(settings)
    monkeypatch.setattr(summary, 'BATCH_ROWS', 2)
    query(
        'insert into gold.gam_daily_summary'
        " select date '2025-11-01' + n, 'x', 1, 0, n, now() from generate_series(1, 5) as n"
    )
    for name in ('ads.csv', 'ads.parquet'):
        days = ('--start', '2025-11-01', '--end', '2025-12-01')
        assert main(['export', str(tmp_path / name), '--table', 'gam_daily_summary', *days]) == 0
    # 1 + 2 + 3 + 4 + 5 USD
    assert pl.read_parquet(tmp_path / 'ads.parquet')['revenue_usd'].sum() == 15
    assert len((tmp_path / 'ads.csv').read_text().splitlines()) == 1 + 5


@pytest.mark.parametrize('name', ['gold.csv', 'gold.parquet'])
def test_a_file_that_is_there_stays_unless_force_says_otherwise(
    settings: Settings, tmp_path: Path, capfd: Captured, name: str
) -> None:
    loaded(settings)
    path = tmp_path / name
    path.write_text('mine')
    assert main(['export', str(path)]) == 2
    assert f'{name} is there already: name another file, or --force' in capfd.readouterr().err
    assert path.read_text() == 'mine'
    assert main(['export', str(path), '--force']) == 0
    assert path.stat().st_size > 100
    assert not list(tmp_path.glob('.*.new'))


def test_an_export_that_fails_leaves_what_was_there(
    settings: Settings, tmp_path: Path, query: Query, capfd: Captured
) -> None:
    loaded(settings)
    path = tmp_path / 'ads.parquet'
    path.write_text('mine')
    # 27 digits before the point: more than a Parquet decimal with 12 behind it holds
    query('update gold.gam_daily_summary set revenue_usd = 1e27')
    assert main(['export', str(path), '--table', 'gam_daily_summary', '--force']) == 1
    assert path.read_text() == 'mine'
    assert not list(tmp_path.glob('.*.new'))


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('gold.xlsx', 'the name of the file ends in .parquet or .csv'),
        ('nowhere/gold.csv', 'cannot be written (No such file or directory): name a file in a folder that takes it'),
    ],
)
def test_a_file_that_cannot_be_meant_is_wrong_use(name: str, told: str, tmp_path: Path, capfd: Captured) -> None:
    assert main(['export', str(tmp_path / name)]) == 2
    assert told in capfd.readouterr().err


def test_without_gold_no_file_appears(settings: Settings, tmp_path: Path) -> None:
    assert main(['export', str(tmp_path / 'gold.csv')]) == 1
    assert not (tmp_path / 'gold.csv').exists()
