"""Running the pipelines' blocks without Mage."""

import shutil
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from kly_mage.__main__ import main
from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import PROJECT, REPOSITORY, Settings
from kly_mage.loads import runner
from tests.delivery import ad, ads, deliver
from tests.gold import Query, assert_gold_is_exact

pytestmark = pytest.mark.one_version

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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, to add blocks to; the runner takes it for the real one."""
    copy = tmp_path / 'project'
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns('__pycache__'))
    monkeypatch.setattr(runner, 'PROJECT', copy)
    return copy


def add_block(project: Path, uuid: str, kind: str, upstream: str) -> None:
    metadata = project / 'pipelines' / 'ads_revenue' / 'metadata.yaml'
    pipeline = yaml.safe_load(metadata.read_text('utf-8'))
    pipeline['blocks'].append({'uuid': uuid, 'type': kind, 'language': 'python', 'upstream_blocks': [upstream]})
    metadata.write_text(yaml.safe_dump(pipeline), 'utf-8')


def test_a_block_added_in_the_editor_below_a_preview_does_not_stop_the_command_line(
    settings: Settings, query: Query, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = [block.uuid for block in runner.blocks(['ads_revenue'])]
    pipeline = yaml.safe_load((project / 'pipelines' / 'ads_revenue' / 'metadata.yaml').read_text('utf-8'))
    last = pipeline['blocks'][-1]['uuid']
    assert last.startswith('preview_')
    for uuid, upstream in (('my_report', last), ('my_mail', 'my_report')):  # where Mage puts a new block: below the last one
        add_block(project, uuid, 'transformer', upstream)
    assert [block.uuid for block in runner.blocks(['ads_revenue'])] == before
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    assert ads() == 0
    assert query('select sum(revenue_usd) from gold.daily_summary') == [(2,)]
    for uuid in ('my_report', 'my_mail'):
        assert f'block {uuid} takes the rows of a preview, which only Mage has: it is left out here' in caplog.text


TEMPLATE = """
if 'data_exporter' not in globals():
    raise AssertionError('Mage gives a block its decorators')


def own_words(load):
    return f'{load["rows_new"]} new'


@data_exporter
def export_data(data, *args, **kwargs):
    with open(PATH, 'a') as file:
        file.write(own_words(data))
    return {'mail': 'sent'}


@test
def test_output(output, *args):
    assert output is not None
"""


def test_a_block_runs_the_function_that_is_marked_in_it_whatever_its_name(settings: Settings, project: Path) -> None:
    add_block(project, 'my_mail', 'data_exporter', 'export_gam_delivery')
    block, mail = project / 'data_exporters' / 'my_mail.py', project / 'mail'
    block.write_text(TEMPLATE.replace('PATH', repr(str(mail))), 'utf-8')
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '2'))
    assert ads() == 0  # what the block returns is no load
    block.write_text(block.read_text('utf-8').replace('} new', '} new, edited'), 'utf-8')  # counts from the next run on
    assert ads() == 0
    assert mail.read_text('utf-8') == '1 new0 new, edited'
    block.write_text('def my_mail(data, *args, **kwargs): ...\n', 'utf-8')
    with pytest.raises(PipelineError, match=r'data_exporters/my_mail\.py has no function that is marked'):
        runner.run(['ads_revenue'], start_date='2025-10-01')


PANDAS = """
if 'transformer' not in globals():
    from mage_ai.data_preparation.decorators import transformer


@transformer
def transform(data, *args, **kwargs):
    data['ad_unit'] = [unit.upper() for unit in data['ad_unit'].tolist()]
    return data[data['impressions'] > 10]
"""
WHOLE = """
@data_exporter
def export_data(df, *args, **kwargs):
    df.to_csv(PATH, index=False, columns=['ad_unit', 'revenue_usd'])
"""


def test_blocks_written_for_pandas_run_on_the_command_line_too(
    settings: Settings, query: Query, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As Mage's templates are: a transformer within the lane, an exporter below it, and a kind that only Mage runs."""
    metadata, written = project / 'pipelines' / 'ads_revenue' / 'metadata.yaml', project / 'written.csv'
    add_block(project, 'my_units', 'transformer', 'load_gam_delivery')
    add_block(project, 'my_file', 'data_exporter', 'my_units')
    add_block(project, 'my_notes', 'custom', 'my_file')
    (project / 'transformers' / 'my_units.py').write_text(PANDAS, 'utf-8')
    (project / 'data_exporters' / 'my_file.py').write_text(WHOLE.replace('PATH', repr(str(written))), 'utf-8')
    pipeline = yaml.safe_load(metadata.read_text('utf-8'))
    (hashing,) = [block for block in pipeline['blocks'] if block['uuid'] == 'hash_gam_delivery']
    hashing['upstream_blocks'] = ['my_units']
    metadata.write_text(yaml.safe_dump(pipeline), 'utf-8')
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '0.100000000001', '11'), ad('b', '2', '10'), ad('c', '', '12'))
    assert ads() == 3  # c has no revenue
    assert query('select ad_unit, revenue_usd, impressions from bronze.gam_delivery') == [
        ('A', Decimal('0.100000000001'), 11)
    ]
    assert written.read_text('utf-8').splitlines() == ['ad_unit,revenue_usd', 'A,0.100000000001', 'C,']
    assert 'block my_notes is of a kind that only Mage runs: it is left out here' in caplog.text


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
