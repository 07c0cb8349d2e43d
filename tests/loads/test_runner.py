"""Running the pipelines' blocks without Mage."""

import shutil

import pytest

from kly_mage.__main__ import main
from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.loads import runner
from tests.gold import Query, assert_gold_is_exact

TWO_DAYS = ['backfill', '--start', '2025-10-01', '--end', '2025-10-02', '--quiet']


def test_every_block_comes_after_what_it_hangs_on() -> None:
    seen: set[str] = set()
    for block in runner.blocks(runner.names()):
        assert seen.issuperset(block.upstream), block.uuid
        seen.add(block.uuid)
    assert 'daily_summary' in seen
    assert not any(uuid.startswith('preview_') for uuid in seen)


def test_a_pipeline_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(PipelineError, match=r'no pipeline sports.*ads_revenue.*articles_performance'):
        runner.blocks(['sports'])


def test_a_failing_study_case_does_not_hold_up_the_other(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        for day in ('20251001', '20251002'):
            for path in (REPOSITORY / 'data' / source).glob(f'*_{day}*'):
                shutil.copy(path, settings.data_dir / source)
    broken = settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.csv'
    whole = broken.read_bytes()
    broken.write_text('served_at,ad_unit\n')  # impressions, clicks and revenue are missing

    assert main(TWO_DAYS) == 1
    assert 'gam_delivery_20251002.csv: required column missing: impressions' in capsys.readouterr().err
    assert query('select count(*) from gold.gam_daily_summary') == [(0,)]
    assert query('select sum(pageviews) from gold.daily_summary') == query(
        'select sum(pageviews) from gold.ga4_daily_summary'
    )

    broken.write_bytes(whole)
    assert main(TWO_DAYS) == 3  # these days of the sample hold conflicts
    assert_gold_is_exact(query, settings.data_dir)
