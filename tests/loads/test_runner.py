"""Running the pipelines' blocks without Mage."""

import shutil
from pathlib import Path

import pytest
import yaml

from kly_mage.__main__ import main
from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import PROJECT, REPOSITORY, Settings
from kly_mage.loads import runner
from tests.delivery import ad, ads, deliver
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


def test_a_block_added_in_the_editor_below_a_preview_does_not_stop_the_command_line(
    settings: Settings, query: Query, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = tmp_path / 'project'
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns('__pycache__'))
    metadata = project / 'pipelines' / 'ads_revenue' / 'metadata.yaml'
    pipeline = yaml.safe_load(metadata.read_text('utf-8'))
    last = pipeline['blocks'][-1]['uuid']
    assert last.startswith('preview_')
    for uuid, upstream in (('my_report', last), ('my_mail', 'my_report')):  # where Mage puts a new block: below the last one
        pipeline['blocks'].append({'uuid': uuid, 'type': 'transformer', 'language': 'python', 'upstream_blocks': [upstream]})
    metadata.write_text(yaml.safe_dump(pipeline), 'utf-8')
    before = [block.uuid for block in runner.blocks(['ads_revenue'])]
    monkeypatch.setattr(runner, 'PROJECT', project)
    assert [block.uuid for block in runner.blocks(['ads_revenue'])] == before
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    assert ads() == 0
    assert query('select sum(revenue_usd) from gold.daily_summary') == [(2,)]
    for uuid in ('my_report', 'my_mail'):
        assert f'block {uuid} takes the rows of a preview, which only Mage has: it is left out here' in caplog.text


def test_a_failing_study_case_does_not_hold_up_the_other(
    settings: Settings, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        for day in ('20251001', '20251002'):
            for path in (REPOSITORY / 'data' / source).glob(f'*_{day}*'):
                shutil.copy(path, settings.data_dir / source)
    whole = {path: path.read_bytes() for path in (settings.data_dir / 'gam_delivery').iterdir()}
    for path in whole:
        path.write_text('served_at,ad_unit\n')  # impressions, clicks and revenue are missing

    assert main(TWO_DAYS) == 1
    told = capsys.readouterr().err
    assert 'gam_delivery_20251001.csv: required column missing: impressions' in told
    assert told.rstrip().endswith('; 1 more file cannot be used either')
    assert query('select count(*) from gold.gam_daily_summary') == [(0,)]
    assert query('select sum(pageviews) from gold.daily_summary') == query(
        'select sum(pageviews) from gold.ga4_daily_summary'
    )

    for path, content in whole.items():
        path.write_bytes(content)
    assert main(TWO_DAYS) == 3  # these days of the sample hold conflicts
    assert_gold_is_exact(query, settings.data_dir)
