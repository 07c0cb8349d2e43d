"""A fourth source, added to a copy of the project as docs/declarations.md says: loaded, verified, rebuilt, shown."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kly_mage.common.settings import REPOSITORY, Settings
from tests.gold import Query

pytestmark = pytest.mark.one_version

FILLED_IN = {'happened_at': 'sent_at', 'amount': 'opened'}
DECLARED = (
    'declared/newsletters.py',
    'declared/marts.py',
    'data_exporters/newsletters_daily_summary.sql',
    'data_loaders/preview_newsletters_daily_summary.sql',
)

# What looks at every source and mart that is declared. The other tests load the sources of the sample, and those alone.
OF_DECLARATIONS = ('tests/declared', 'tests/test_sql_style.py', 'tests/test_oracle.py')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / 'project'
    shutil.copytree(REPOSITORY / 'kly_mage', folder / 'kly_mage', ignore=shutil.ignore_patterns('__pycache__'))
    return folder


def run(project: Path, *arguments: str) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        [sys.executable, '-m', 'kly_mage', *arguments],
        cwd=project,
        env=os.environ | {'PYTHONPATH': str(project), 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
    )


def filled_in(project: Path) -> None:
    """A source of newsletters, declared."""
    made = run(project, 'new-source', 'newsletters', '--pipeline', 'ads_revenue')
    assert made.returncode == 0, made.stderr
    for name in DECLARED:
        path = project / 'kly_mage' / name
        text = path.read_text('utf-8')
        for before, after in FILLED_IN.items():
            text = text.replace(before, after)
        path.write_text(text, 'utf-8')


def files(project: Path) -> dict[str, str]:
    suffixes = ('.py', '.sql', '.yaml')
    return {str(path): path.read_text('utf-8') for path in project.rglob('*') if path.suffix in suffixes}


def test_a_source_is_a_declaration_to_fill_in(settings: Settings, query: Query, project: Path) -> None:
    filled_in(project)
    for day, rows in ((1, ['a1,3', 'a1,4', ',5', 'a1,3']), (2, ['a2,10', 'a2,x'])):
        folder = settings.data_dir / 'newsletters'
        folder.mkdir(exist_ok=True)
        lines = [f'2025-10-{day:02}T08:00:00+07:00,{row}' for row in rows]
        (folder / f'newsletters_2025100{day}.csv').write_text('\n'.join(['sent_at,content_id,opened', *lines, '']), 'utf-8')

    days = ('--start', '2025-10-01', '--end', '2025-10-02')
    loaded = run(project, 'backfill', *days, '--pipeline', 'ads_revenue')
    assert loaded.returncode == 3, loaded.stderr  # a reject, and nothing of the ads
    mart = 'select date::text, content_id, opened from gold.newsletters_daily_summary order by 1, 2'
    # 3 + 4, the repeated 3 counts once; no article; the row whose number is no number is rejected
    wanted = [('2025-10-01', '(not set)', 5), ('2025-10-01', 'a1', 7), ('2025-10-02', 'a2', 10)]
    assert query(mart) == wanted

    verified = run(project, 'verify')
    assert verified.returncode == 0, verified.stdout
    assert 'gold.newsletters_daily_summary 3' in verified.stdout
    query("update gold.newsletters_daily_summary set opened = opened + 1 where content_id = 'a2'")
    verified = run(project, 'verify')
    assert verified.returncode == 1
    assert 'gold.newsletters_daily_summary (2025-10-02, a2): opened is 11, bronze gives 10' in verified.stdout
    assert run(project, 'rebuild').returncode == 0
    assert query(mart) == wanted

    reconciled = json.loads(run(project, 'reconcile', '--source', 'newsletters', '--json').stdout)
    total = reconciled['sources']['newsletters']['total']
    assert reconciled['accounted'] is True
    assert (total['rows']['read'], total['rows']['bronze'], total['rows']['duplicate'], total['rows']['rejected']) == (
        6,
        4,
        1,
        1,
    )
    assert {place: total['sums']['opened'][place] for place in ('read', 'duplicate', 'gold', 'difference')} == {
        'read': '25',
        'duplicate': '3',
        'gold': '22',
        'difference': '0',
    }
    shown = query(
        "select opened_in_bronze, opened_in_gold from gold.reconciliation where source = 'newsletters' order by day"
    )
    assert shown == [(12, 12), (10, 10)]
    told = run(project, 'reconcile', '--source', 'newsletters', '--days').stdout
    # in the files 25: 3 twice, 22 in bronze and in gold
    below = {
        'in the files': 25,
        'duplicate': 3,
        'in bronze': 22,
        'conflicting': 0,
        'rejected': 0,
        'gold': 22,
        'difference': 0,
    }
    opened = r' *\n'.join(f'{place} +{number}' for place, number in below.items())
    assert re.search(rf'^numbers +opened *\n─+\n{opened} *$', told, re.MULTILINE), told
    assert re.search(r'^2025-10-01 +4 +1 +3 +0 +0 +15 +12 +0 *$', told, re.MULTILINE), told
    assert told.endswith('\nevery row accounted for\n')
    page = project / 'page.html'
    assert run(project, 'reconcile', '--source', 'newsletters', '--html', str(page)).returncode == 0
    text = page.read_text('utf-8')
    assert '<figcaption>Opened by day</figcaption>' in text
    assert '<title>2025-10-01: 12</title>' in text
    assert '<b>22</b>opened</div>' in text

    shown = run(project, 'show').stdout
    assert re.search(r'^gold.newsletters_daily_summary, most opened$', shown, re.MULTILINE), shown
    assert re.search(r'^2025-10-02 +a2 +10 *$', shown, re.MULTILINE), shown
    assert re.search(r'^in all +3 rows +22 *$', shown, re.MULTILINE), shown
    preview = (project / 'kly_mage' / 'data_loaders' / 'preview_newsletters_daily_summary.sql').read_text('utf-8')
    assert [row[1:3] for row in query(preview)] == [('a2', 10), ('a1', 7), ('(not set)', 5)]  # of both days loaded last
    assert 'newsletters' in json.loads(run(project, 'status', '--json').stdout)['sources']

    # Its files may hold their day whole, too: what is delivered again without a row takes it out of gold.
    declared = project / 'kly_mage' / 'declared' / 'newsletters.py'
    text = declared.read_text('utf-8')
    whole = "    day_column='sent_at',\n    complete=('newsletters',),\n    whole_days=1,\n"
    declared.write_text(text.replace("    day_column='sent_at',\n", whole), 'utf-8')
    path = settings.data_dir / 'newsletters' / 'newsletters_20251002.csv'
    for rows, counted in ((['a2,10', 'a3,4'], [('a2', 10), ('a3', 4)]), (['a1,3', 'a3,4'], [('a1', 3), ('a3', 4)])):
        lines = [f'2025-10-02T08:00:00+07:00,{row}' for row in rows]
        path.write_text('\n'.join(['sent_at,content_id,opened', *lines, '']), 'utf-8')
        run(project, 'backfill', '--start', '2025-10-02', '--pipeline', 'ads_revenue')
        assert [row[1:] for row in query(mart) if row[0] == '2025-10-02'] == counted
    verified = run(project, 'verify')
    assert verified.returncode == 0, verified.stdout


def test_the_tests_of_a_project_with_one_more_source_pass_as_they_are(project: Path) -> None:
    filled_in(project)
    shutil.copytree(REPOSITORY / 'tests', project / 'tests', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('data', 'docs', 'pyproject.toml', 'README.md', 'Makefile', '.env.example'):
        (project / name).symlink_to(REPOSITORY / name)
    told = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *OF_DECLARATIONS],
        cwd=project,
        env=os.environ | {'PYTHONPATH': str(project), 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout


def test_nothing_is_overwritten(project: Path) -> None:
    assert run(project, 'new-source', 'newsletters').returncode == 0
    before = files(project)
    again = run(project, 'new-source', 'newsletters')
    assert again.returncode == 2
    assert 'kly_mage/declared/newsletters.py is there already; nothing was written' in again.stderr
    assert files(project) == before


@pytest.mark.parametrize('name', ['News', '1st', '../x', 'base', ''])
def test_a_name_that_cannot_be_one_is_refused(project: Path, name: str) -> None:
    before = files(project)
    assert run(project, 'new-source', name).returncode == 2
    assert files(project) == before
