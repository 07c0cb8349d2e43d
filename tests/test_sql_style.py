"""The marts, which sqlfluff cannot parse as a whole: it knows no ``WITH`` before ``MERGE``, so their steps are checked."""

import re
from pathlib import Path

import pytest

from kly_mage.common.settings import PROJECT, REPOSITORY
from kly_mage.declared.marts import MARTS as DECLARED

MARTS = sorted(path for path in PROJECT.glob('data_exporters/*.sql') if '\nmerge into ' in path.read_text('utf-8'))


def test_every_mart_that_is_declared_is_looked_at() -> None:
    assert [path.stem for path in MARTS] == sorted(mart.name for mart in DECLARED) != []


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('path', MARTS, ids=lambda path: path.stem)
def test_the_steps_of_a_mart_keep_the_style(path: Path) -> None:
    import sqlfluff

    steps, _ = re.sub(r'^do \$\$ .*$', '', path.read_text('utf-8'), flags=re.MULTILINE).split('\nmerge into ')
    found = sqlfluff.lint(f'{steps.rstrip()}\n\nselect * from deltas\n', config_path=str(REPOSITORY / 'pyproject.toml'))
    assert [(each['start_line_no'], each['code'], each['description']) for each in found] == []
