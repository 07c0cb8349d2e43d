"""Days of a large undated file that are loaded one by one: the file is read once, and nothing else is different."""

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.landing import csv, left_out, parted
from kly_mage.loads.depends import parts_of
from kly_mage.loads.steps import export_new_rows, hash_rows, read_days
from tests.conftest import ask, on_postgres
from tests.delivery import ad, article, deliver, event
from tests.gold import assert_gold_is_exact, gold

pytestmark = pytest.mark.one_version
DAYS = [date(2025, 10, number) for number in range(1, 5)]
TABLES = [
    *('ops.loads', 'ops.load_days', 'ops.load_outside', 'ops.files', 'bronze.rejects'),
    *('bronze.ga4_events', 'bronze.gam_delivery', 'bronze.gam_delivery_conflicts', 'bronze.cms_articles'),
]
TIMES = [
    'started_at',
    'finished_at',
    'modified_at',
    'rejected_at',
    'first_seen_at',
    '_created_at',
    '_updated_at',
    'registry',
]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose rows are read; all of them are large ones, of several frames."""
    found, slices = list[str](), csv.slices

    def noted(file: Any, *rest: Any) -> Any:
        found.append(file.name.rpartition('/')[2])
        return slices(file, *rest)

    monkeypatch.setattr(csv, 'slices', noted)
    monkeypatch.setattr(left_out, 'SMALL_BYTES', 0)
    monkeypatch.setattr(csv, 'SLICE_BYTES', 2_000)
    return found


def by_command(day: date) -> list[Any]:
    return [main(['backfill', '--start', str(day), '--end', str(day), '--quiet'])]


def by_blocks(day: date) -> list[Any]:
    """As Mage's runs do: a frame goes from block to block."""
    asked = {'start_date': day, 'end_date': day}
    told = []
    for source in ('cms_articles', 'ga4_events', 'gam_delivery'):
        done = export_new_rows(hash_rows(read_days(source, asked), source), source, asked)
        told.append((done['line'].partition(' of load ')[0], done['look']))
    return told


def deliver_october(settings: Settings) -> None:
    """Events and ads of four days as they come: equal rows near and far, rows without a day, rejects, ads in conflict."""
    of, days = random.Random(3), [str(day) for day in DAYS]
    events = [event(f'u{of.randrange(40)}', day=of.choice(days), content=str(of.randrange(9))) for _ in range(300)]
    ads = [ad(f'unit {of.randrange(60)}', str(of.randrange(1, 3)), day=of.choice(days)) for _ in range(200)]
    events[40], events[90], ads[70] = 'no day,page_view,u1,1,7', event('', day=days[2]), ad('x', 'dear', day=days[3])
    articles = [article('7')]
    for name, rows in (('ga4_events.csv', events), ('gam_delivery.csv', ads), ('cms_articles.csv', articles)):
        os.utime(deliver(settings, name, *rows), (1_700_000_000, 1_700_000_000))


@pytest.mark.parametrize('run', [by_command, by_blocks], ids=lambda run: run.__name__)
def test_day_by_day_an_undated_file_is_read_once_and_all_is_as_if_it_were_read_each_time(
    postgres: str,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run: Callable[[date], list[Any]],
) -> None:
    found = []
    for name, least in (('each time', 1 << 40), ('once', 0)):
        monkeypatch.setattr(parted, 'LEAST_BYTES', least)
        with on_postgres(postgres, tmp_path / name, monkeypatch) as settings:
            query = partial(ask, settings)
            deliver_october(settings)
            capsys.readouterr()
            told = [run(day) for day in DAYS]
            said = capsys.readouterr()
            reads = Counter(opened)
            opened.clear()
            assert main(['rebuild']) == 0  # blocks have not refreshed anything
            assert_gold_is_exact(query, settings.data_dir)
            rows = [query(f'select to_jsonb(t) - %s::text[] from {table} as t order by 1', TIMES) for table in TABLES]
            found.append((told, said, rows, gold(query)))
            assert reads['ga4_events.csv'] == (1 if name == 'once' else len(DAYS)), reads
            left = list(parts_of(settings).glob('*'))
            assert [path.suffix for path in left] == (['.parquet'] if name == 'once' else [])  # ads are in conflict
            if name == 'once':
                assert main(['forget', '--user', 'u1', '--by', 'Ani']) == 0
                assert list(parts_of(settings).glob('*')) == []
    assert found[0] == found[1]
