"""Deliveries under names that nobody reads, or reads otherwise than a person would: named, with what would be understood."""

from pathlib import Path
from typing import Any

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared import SOURCES
from kly_mage.landing.not_understood import not_understood
from kly_mage.loads import runner
from tests.delivery import ad, ads, deliver
from tests.gold import Query

pytestmark = pytest.mark.one_version

ENDS = '.csv, .ndjson, .jsonl, .json, .avro (or these and .gz, .zst, .zip) or .parquet'


def found(zone: Path, *names: str, sources: tuple[str, ...] = tuple(SOURCES)) -> dict[str, str]:
    """Put empty files there, and folders where a name ends in a slash; gives what is not understood, with the reason."""
    for name in names:
        path = zone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith('/') else path.touch()
    return {stray.name: stray.reason for stray in not_understood(zone, sources, None)}


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        (
            'ga4_events/ga4_events_20251002.orc',
            f'only files whose names end in {ENDS} are read',
        ),
        (
            'ga4_events/GA4_Events_20251003.CSV',
            f'names end in {ENDS}, in small letters; it is not read',
        ),
        ('ga4_events/ga4_events_20251001.csv.part', 'still on its way? It is not read before its name ends in .csv'),
        ('ga4_events/2025/', 'a folder in the folder of a source; what is in it is not read'),
        ('ga4_events/ga4_events_2025-10-04.csv', 'read like a file without a date, because only ga4_events_20251004 at'),
        ('ga4_events/GA4_Events_20251003.csv', 'because only ga4_events_20251003 at the beginning of its name would say'),
        ('ga4_events/export_20251003.csv.gz', 'would say that it holds 2025-10-03'),
        ('ga4_event/', 'a folder of no source (is it ga4_events/?); what is in it is not read'),
        ('GA4-Events/', 'a folder of no source (is it ga4_events/?); what is in it is not read'),
        ('sales/', 'a folder of no source (the sources are cms_articles, ga4_events, gam_delivery)'),
        ('ga4_events_20251002.csv', 'only files in the folders of the sources are read; move it into ga4_events/'),
        (
            'ga4_events_20251002.orc',
            f'are read; its name would have to end in {ENDS}',
        ),
        ('events_intraday_20251002.parquet', 'are read; move it into ga4_events/'),
        ('sales.csv', 'are read; the sources are cms_articles, ga4_events, gam_delivery'),
    ],
)
def test_it_is_named_with_what_would_be_understood(tmp_path: Path, name: str, reason: str) -> None:
    ((shown, told),) = found(tmp_path, name).items()
    assert shown == name
    assert reason in told


@pytest.mark.parametrize(
    'name',
    [
        'ga4_events/ga4_events_20251002.csv',
        'ga4_events/ga4_events_20251002_late.csv.gz',
        'ga4_events/events_fresh_20251002-000000000000.parquet',
        'ga4_events/export.csv',
        'ga4_events/export_12345678.csv',  # eight digits that are no day, to nobody
        'ga4_events/export_20251341.csv',
        'ga4_events/ga4_events_20251341.csv',  # its load says that this is no day
        'ga4_events/v120251002.csv',
        'ga4_events/.hidden.json',
        'ga4_events.csv',
        'ga4_events.csv.gz',
        'README.md',
        'manifest.json',
        'ga4_events.json',
        'ga4_events/events_20251002-000000000000.jsonl.gz',
        '.archive/',
        'lost+found/',
        '__pycache__/',
    ],
)
def test_what_is_read_as_it_is_named_and_what_nobody_delivers_is_let_alone(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name) == {}


def test_the_sample_holds_nothing_that_is_not_understood() -> None:
    assert not_understood(REPOSITORY / 'data', list(SOURCES), None) == []


def test_other_sources_are_not_asked_and_what_belongs_to_nobody_is_everybodys(tmp_path: Path) -> None:
    names = ('gam_delivery/x.orc', 'gam_deliveries/', 'ga4_events/x.orc', 'ga4_event/', 'sales/')
    assert list(found(tmp_path, *names, sources=('ga4_events',))) == ['ga4_event/', 'ga4_events/x.orc', 'sales/']


def test_a_name_is_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    assert list(found(tmp_path, 'ga4_events/\x1b[31m.orc')) == [r'ga4_events/\x1b[31m.orc']


# --- whoever loads or looks is told ---------------------------------------------------------------------------------------

JSON = 'gam_delivery/gam_delivery_20251002.orc is not understood: only files whose names end in'
DATED = 'gam_delivery/gam_delivery_2025-10-01.csv is not understood: it is read like a file without a date'
FOLDER = 'gam/ is not understood: a folder of no source'


@pytest.fixture
def zone(settings: Settings) -> Settings:
    """A good delivery of one day, and beside it three things that are not understood, one of them read all the same."""
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'))
    deliver(settings, 'gam_delivery_2025-10-01.csv', ad('b'))
    (settings.data_dir / 'gam_delivery' / 'gam_delivery_20251002.orc').write_text('{}')
    (settings.data_dir / 'gam').mkdir()
    return settings


def clean(settings: Settings) -> None:
    folder = settings.data_dir / 'gam_delivery'
    (folder / 'gam_delivery_20251002.orc').unlink()
    (folder / 'gam_delivery_2025-10-01.csv').rename(folder / 'gam_delivery_20251001_2.csv')
    (settings.data_dir / 'gam').rmdir()


@pytest.mark.parametrize('how', [(), ('--quiet',), ('--dry-run',)])
def test_backfill_names_it_and_ends_with_3_until_it_is_cleared(
    zone: Settings, capfd: pytest.CaptureFixture[str], how: tuple[str, ...]
) -> None:
    assert ads('2025-10-01', None, *how) == 3
    told = ''.join(capfd.readouterr())
    assert (told.count(JSON), told.count(DATED), told.count(FOLDER)) == (1, 1, 1)
    assert ('; 3 not understood\n' in told) == ('--dry-run' not in how)
    clean(zone)
    assert ads('2025-10-01', None, *how) == 0
    assert 'not understood' not in ''.join(capfd.readouterr())


def test_status_names_it_and_ends_with_3_until_it_is_cleared(zone: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    ads()
    capfd.readouterr()
    assert main(['status', '--source', 'gam_delivery']) == 3
    told = capfd.readouterr().out
    assert (told.count(JSON), told.count(DATED), told.count(FOLDER)) == (1, 1, 1)
    assert told.endswith('no day missing; 3 not understood\n')
    clean(zone)
    ads()
    capfd.readouterr()
    assert main(['status', '--source', 'gam_delivery']) == 0
    assert capfd.readouterr().out.endswith('no day missing\n')


def test_the_line_of_an_exporter_in_mage_says_it(zone: Settings) -> None:
    day = {'run_date': '2025-10-01'}
    rows: Any = None
    for uuid, kind in (('load_gam_delivery', 'data_loader'), ('hash_gam_delivery', 'transformer')):
        block = runner.Block(uuid, kind, 'python', ()).function()
        rows = block(**day) if rows is None else block(rows, **day)
    told = runner.Block('export_gam_delivery', 'data_exporter', 'python', ()).function()(rows, **day)['line']
    assert (told.count(JSON), told.count(DATED), told.count(FOLDER)) == (1, 1, 1)


# --- one rule for the day in a name ---------------------------------------------------------------------------------------


def test_a_reject_of_a_file_with_eight_digits_and_no_day_does_not_stop_a_reconciliation(
    settings: Settings, query: Query
) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad('a'), 'never,x,l,c,7,1,0,1')
    export = settings.data_dir / 'gam_delivery' / 'export_12345678.csv'
    export.write_bytes((settings.data_dir / 'gam_delivery' / 'gam_delivery_20251001.csv').read_bytes())
    assert ads() == 3
    assert main(['reconcile', '--source', 'gam_delivery', '--quiet']) in (0, 3)
    told = query("select day::text, rows_rejected from gold.reconciliation where source = 'gam_delivery' order by 1")
    assert told == [('2025-10-01', 1), (None, 1)]
