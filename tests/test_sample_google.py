"""The sample in the shapes of Google and of a CMS: the same every time, loaded to the numbers of the plain sample."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import reduce
from pathlib import Path

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY
from kly_mage.declared import SOURCES
from kly_mage.landing.not_understood import not_understood
from tests.gold import Query, assert_gold_is_exact

GOOGLE = REPOSITORY / 'data_google'
PLANTED = json.loads((GOOGLE / 'planted.json').read_text())


def generate(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the generator as a user does."""
    command = [sys.executable, str(REPOSITORY / 'data/generate_google.py'), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_committed_files_are_what_the_generator_writes() -> None:
    result = generate('--check')
    assert (result.returncode, result.stderr) == (0, '')


def test_check_names_a_changed_a_missing_and_a_surplus_file(tmp_path: Path) -> None:
    copy = tmp_path / 'google'
    shutil.copytree(GOOGLE, copy)
    events = copy / 'ga4_events'
    shutil.copy(events / 'events_20251001.parquet', events / 'events_20251002.parquet')
    (events / 'events_20251003.parquet').unlink()
    (copy / 'cms_articles/cms_articles_20251101.csv').write_text('Tautan\n')
    result = generate('--check', '--out', str(copy))
    named = {re.sub(r'.*/', '', line) for line in result.stderr.splitlines()}
    assert named == {'events_20251002.parquet', 'events_20251003.parquet', 'cms_articles_20251101.csv'}
    assert result.returncode == 1


def test_all_of_it_is_small_and_understood() -> None:
    assert sum(path.stat().st_size for path in GOOGLE.rglob('*')) < 4_000_000
    assert not_understood(GOOGLE, list(SOURCES), None) == []


def test_its_readme_tells_the_planted_counts() -> None:
    lines = re.findall(r'^\| .* \| ([\d,]+) \| `([\w/.]+)` \|$', (GOOGLE / 'README.md').read_text(), re.MULTILINE)
    assert len(lines) >= sum(map(len, PLANTED.values())) - 2  # what is left out is told in words
    for number, path in lines:
        assert int(number.replace(',', '')) == reduce(lambda counts, name: counts[name], path.split('/'), PLANTED), path


SEEN = {
    'events_20251001.parquet': "ga4_events, read as GA4's export, flattened: 14 columns, 1,702 rows",
    'events_20251004-000000000000.parquet': "ga4_events, read as GA4's export, flattened: 14 columns, 1,200 rows",
    # One more than the day's: a line that is cut has no day.
    'events_20251025.ndjson.zst': "ga4_events, read as GA4's export, flattened: 14 columns, 1,487 rows",
    'events_20251028.avro': "ga4_events, read as GA4's export, flattened: 14 columns, 1,567 rows",
    'events_fresh_20251029.parquet': "ga4_events, read as GA4's export, flattened: 14 columns, 1,669 rows",
    'events_intraday_20251030.ndjson.gz': "ga4_events, read as GA4's export, flattened: 14 columns, 1,598 rows",
    'gam_delivery_20251001.csv.gz': 'gam_delivery, read as a report of Ad Manager: 8 columns',
    'gam_delivery_20251020.csv': 'gam_delivery, read as a report of Ad Manager: 8 columns',
    'gam_delivery_20251010.ndjson.gz': 'gam_delivery, read as a report of Ad Manager: 8 columns',
    'cms_articles_20251002.csv': 'cms_articles, read by landing.toml: 7 columns',
    'cms_articles_20251005.csv.zst': 'cms_articles, read by landing.toml: 7 columns',
    'cms_articles_20251007.csv.zip': 'cms_articles, read by landing.toml: 7 columns',
    'cms_articles_20251008.ndjson': 'cms_articles, read by landing.toml: 7 columns',
    'cms_articles_20251009.parquet': 'cms_articles, read by landing.toml: 6 columns',
}
"""What ``inspect`` says of one file of each shape that README's table has; rows of a day as a load counts them."""


@pytest.mark.parametrize(('name', 'said'), SEEN.items(), ids=SEEN)
def test_inspect_says_what_a_file_of_each_shape_is_wherever_it_lies(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('KLY_DATA_DIR', str(GOOGLE))
    (there,) = GOOGLE.rglob(name)
    elsewhere = Path(shutil.copy(there, tmp_path))
    code = main(['inspect', str(elsewhere)])
    told = capsys.readouterr().out
    assert said in told
    assert code == (3 if 'would be rejected' in told else 0)


@pytest.mark.one_version
def test_it_loads_to_the_gold_of_the_plain_sample(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KLY_DATA_DIR', str(GOOGLE))
    command = ['backfill', '--start', '2025-10-01', '--end', '2025-10-31', '--quiet']
    assert main(command) == 3  # it holds rejects and conflicts on purpose
    assert_gold_is_exact(query, REPOSITORY / 'data')
    places = query(
        'select source, rows_read, rows_new, rows_duplicate, rows_conflicting, rows_rejected, rows_outside from ops.loads'
    )
    found = {source: counts for source, *counts in places}
    ads, events = Counter(PLANTED['gam_delivery']), Counter(PLANTED['ga4_events'])
    rejects = {name: sum(counts[kind] for kind in counts if kind.startswith('rejects')) for name, counts in PLANTED.items()}
    assert found['gam_delivery'] == [
        ads['rows'], ads['distinct_rows'], ads['equal_rows'], ads['conflicts'], rejects['gam_delivery'], 0,
    ]  # fmt: skip
    # 49,817 different events in data/README.md
    assert found['ga4_events'] == [events['rows'], 49_817, events['rows'] - 49_817 - 5, 0, rejects['ga4_events'], 0]
    assert found['cms_articles'] == [333, 317, 13, 0, 3, 0]
    assert main(['verify']) == 0
    assert main(command) == 3
    assert_gold_is_exact(query, REPOSITORY / 'data')


@pytest.mark.parametrize(
    ('sample', 'said'),
    [([], []), (['SAMPLE=google'], ['KLY_DATA_DIR=', 'POSTGRES_DBNAME=kly_google'])],
    ids=['plain', 'google'],
)
def test_make_run_keeps_the_samples_in_databases_of_their_own(sample: list[str], said: list[str]) -> None:
    command = ['make', '--dry-run', '--directory', str(REPOSITORY), 'run', *sample]
    commands = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    loads = [line for line in commands if ' -m kly_mage backfill ' in line]
    assert loads
    for line in loads:
        assert re.findall(r'(KLY_DATA_DIR=|POSTGRES_DBNAME=\w+)', line) == said


def test_make_says_which_samples_there_are() -> None:
    command = ['make', '--dry-run', '--directory', str(REPOSITORY), 'run', 'SAMPLE=bing']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'SAMPLE=bing: there is google, and without SAMPLE the plain one' in done.stderr
