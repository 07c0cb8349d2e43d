"""What blocks hand on in Mage of a day that is large: its first rows, and in bronze are all of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import PROJECT, Settings
from kly_mage.declared import SOURCES
from kly_mage.loads import first_rows, runner
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from tests.delivery import ad, deliver
from tests.gold import Query

pytestmark = pytest.mark.one_version

ADS = SOURCES['gam_delivery']
DAY = {'start_date': '2025-10-01'}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pages and their wiring, for the process to find instead of the project's."""
    for folder in ('pipelines', 'data_loaders', 'transformers', 'data_exporters'):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns('__pycache__'))
    for module in (first_rows, runner):
        monkeypatch.setattr(module, 'PROJECT', tmp_path)
    return tmp_path


def test_a_large_day_shows_its_first_rows_and_is_loaded_whole(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_rows, 'LARGE', 4)
    monkeypatch.setattr(first_rows, 'SHOWN', 3)
    deliver(settings, 'gam_delivery_20251001.csv', ad('a', '1'), ad('a', '1'), ad('b', '2'), ad('c', 'x'), ad('d', '4'))
    rows = read_days('gam_delivery', DAY)
    assert rows['ad_unit'].tolist() == ['a', 'a', 'b']
    hashed = hash_rows(rows, 'gam_delivery')
    assert hashed['ad_unit'].tolist() == ['a', 'b']
    said = capsys.readouterr().out
    assert 'gam_delivery 2025-10-01: more than 4 rows of 1 file; the first 3 rows shown here, all taken by export_' in said
    assert 'gam_delivery: the first 2 rows shown here, all taken by export_gam_delivery' in said
    done = export_new_rows(hashed, 'gam_delivery', DAY)
    # a (twice), b and d; c cannot be used.
    assert done['line'].startswith('gam_delivery 2025-10-01: 5 read, 3 distinct, 3 new, 0 already loaded, 1 rejected, 0 ')
    assert query('select ad_unit, revenue_usd from bronze.gam_delivery order by 1') == [('a', 1), ('b', 2), ('d', 4)]


def test_a_day_that_is_not_large_is_handed_on_whole(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_rows, 'LARGE', 3)  # two rows, and what is known of their file, which is said last
    monkeypatch.setattr(first_rows, 'SHOWN', 1)
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b'))
    rows = read_days('gam_delivery', DAY)
    assert rows['ad_unit'].dropna().tolist() == ['a', 'b']
    assert first_rows.are_all(ADS, rows)


def test_the_lanes_of_the_project_are_as_delivered() -> None:
    """What a page of the project does has changed if this fails: ``DELIVERED`` takes what ``digest`` says of it now."""
    told = {page: {first_rows.digest(source, page) for source in SOURCES.values()} for page in first_rows.DELIVERED}
    assert told == {page: {known} for page, known in first_rows.DELIVERED.items()}
    assert all(first_rows.are_enough(source) for source in SOURCES.values())


def _edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(project: Path) -> None:
        text = (project / path).read_text('utf-8')
        assert old in text
        (project / path).write_text(text.replace(old, new, 1))

    return edit


_FILTER = 'transformers/hash_gam_delivery.py', 'return hash_rows(rows', "return hash_rows(rows[rows['site'] == 'a']"
_TEST = 'data_loaders/load_gam_delivery.py', '@test\n', '@test\ndef mine(rows, *args):\n    assert len(rows)\n\n\n@test\n'
_PIPELINE = 'pipelines/ads_revenue/metadata.yaml'
_PREVIEW = '- {uuid: mine, type: data_loader, language: sql, upstream_blocks: [hash_gam_delivery]}\n'
_CHART = '- {uuid: mine, type: chart, language: python, upstream_blocks: [load_gam_delivery]}\n'


@pytest.mark.parametrize(
    'edit',
    [
        _edit(*_FILTER),
        _edit(*_TEST),
        _edit('data_exporters/export_gam_delivery.py', 'return tell(', 'print(len(rows))\n    return tell('),
        _edit(_PIPELINE, 'blocks:\n', f'blocks:\n{_PREVIEW}'),
        _edit(_PIPELINE, 'widgets:\n', f'widgets:\n{_CHART}'),
    ],
    ids=['edited', 'a test', 'a side look', 'a further block', 'a chart'],
)
def test_whoever_may_look_at_all_rows_gets_them(project: Path, edit: Callable[[Path], None]) -> None:
    assert first_rows.are_enough(ADS)
    edit(project)
    assert not first_rows.are_enough(ADS)
    assert first_rows.are_enough(SOURCES['ga4_events'])


def test_a_comment_edits_nothing(project: Path) -> None:
    _edit('transformers/hash_gam_delivery.py', '@test\n', '# ours\n@test\n')(project)
    _edit('transformers/hash_gam_delivery.py', '"""Exactly', '"""Truly')(project)
    assert first_rows.are_enough(ADS)


def test_a_page_that_is_edited_between_two_blocks_stops_them(
    settings: Settings, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_rows, 'LARGE', 1)
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), ad('b'))
    rows = read_days('gam_delivery', DAY)
    hashed = hash_rows(rows, 'gam_delivery')
    _edit(*_FILTER)(project)
    with pytest.raises(PipelineError, match='run it again, for all its rows'):
        hash_rows(rows, 'gam_delivery')
    with pytest.raises(PipelineError, match='run it again, for all its rows'):
        export_new_rows(hashed, 'gam_delivery', DAY)
    assert first_rows.are_all(ADS, read_days('gam_delivery', DAY))
