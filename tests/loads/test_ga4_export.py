"""Loads of GA4's export: beside the plain files, again, and with another list of where the article is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from tests.delivery import backfill, deliver, event
from tests.ga4_export import SAMPLE, events, write_parquet
from tests.gold import gold
from tests.remedies import obey

Query = Callable[..., list[tuple[Any, ...]]]
AUDIENCE = ('--pipeline', 'articles_performance')


@pytest.fixture
def export(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample as the only delivery."""
    monkeypatch.setenv('KLY_SETTLE_SECONDS', '0')
    return write_parquet(settings.data_dir / 'ga4_events/events_20251001.parquet', events(SAMPLE))


def test_events_count_once_whichever_table_and_shards_they_come_in(settings: Settings, query: Query, export: Path) -> None:
    backfill('2025-10-01', None, *AUDIENCE)
    before = gold(query)
    assert query('select content_id, pageviews from gold.ga4_daily_summary where pageviews > 0 order by 1') == [
        ('(not set)', 1),
        ('7000001', 2),
        ('7000002', 1),
        ('7000003', 1),
        ('7000007', 1),
    ]
    for shard, part in enumerate((events(SAMPLE)[:5], events(SAMPLE)[5:])):
        write_parquet(export.with_name(f'events_intraday_20251001-{shard:012}.parquet'), part)
    backfill('2025-10-01', None, *AUDIENCE)
    assert gold(query) == before
    assert main(['verify']) == 0


def test_another_list_of_articles_is_refused_until_the_events_are_taken_out(
    settings: Settings, query: Query, export: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backfill('2025-10-01', None, *AUDIENCE)
    before = gold(query)
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'article_id')
    for command in (['backfill', '--start', '2025-10-01', '--end', '2025-10-01', *AUDIENCE], ['reconcile'], ['status']):
        assert main(command) == 1
        told = capsys.readouterr().err
        assert "KLY_GA4_ARTICLE='content_id article_id post_id' finds, not 'article_id': set it back" in told
    monkeypatch.delenv('KLY_GA4_ARTICLE')
    assert gold(query) == before
    assert obey(told) == 0
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'article_id')
    backfill('2025-10-01', None, *AUDIENCE)
    assert query('select content_id from gold.ga4_daily_summary order by 1') == [('(not set)',), ('7000002',)]


def test_plain_files_leave_the_list_open(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(settings, 'ga4_events_20251001.csv', event())
    backfill('2025-10-01', None, *AUDIENCE)
    monkeypatch.setenv('KLY_GA4_ARTICLE', 'article_id')
    assert main(['status']) != 1
    assert query("select count(*) from ops.settings where name = 'ga4_article'") == [(0,)]


def test_inspect_shows_an_export_as_it_is_flattened(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['inspect', str(export)]) == 0
    said = capsys.readouterr().out
    assert "ga4_events, read as GA4's export, flattened: 14 columns, 12 rows" in said
    assert 'event_params' not in said
