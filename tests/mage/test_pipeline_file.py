"""``metadata.yaml`` as a person writes it: what Mage fills in by itself is left out, and nothing else."""

from pathlib import Path

import pytest
import yaml

from kly_mage.common.settings import PROJECT
from kly_mage.mage.pipeline_file import dump, slim

FILES = sorted(PROJECT.glob('pipelines/*/metadata.yaml'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.parent.name)
def test_the_files_are_as_they_would_be_saved(path: Path) -> None:
    text = path.read_text('utf-8')
    assert dump(yaml.safe_load(text), allow_unicode=True) == text


def test_what_mage_fills_in_by_itself_is_left_out() -> None:
    block = {
        'uuid': 'load', 'name': 'load', 'type': 'data_loader', 'language': 'python', 'status': 'executed', 'color': None,
        'executor_type': 'local_python', 'all_upstream_blocks_executed': True, 'configuration': {}, 'upstream_blocks': [],
    }  # fmt: skip
    saved = {'uuid': 'p', 'name': 'p', 'executor_count': 1, 'tags': [], 'variables_dir': '/somewhere', 'blocks': [block]}
    assert slim(saved) == {'uuid': 'p', 'blocks': [{'uuid': 'load', 'type': 'data_loader', 'language': 'python'}]}


def test_what_somebody_has_set_is_kept() -> None:
    block = {'uuid': 'load', 'name': 'Loader', 'type': 'custom', 'executor_type': 'k8s', 'timeout': 600, 'color': 'teal'}
    saved = {'uuid': 'p', 'name': 'P', 'executor_count': 2, 'tags': ['daily'], 'blocks': [block]}
    assert slim(saved) == saved


def test_other_files_are_written_as_they_are() -> None:
    assert yaml.safe_load(dump({'uuid': 'x', 'status': None})) == {'uuid': 'x', 'status': None}
