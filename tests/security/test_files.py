"""What somebody who may write into the landing zone cannot do: read the machine, stop a load, or eat the memory."""

import gzip
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.common.redaction import redacted
from kly_mage.common.settings import REPOSITORY
from kly_mage.declared import GA4_EVENTS, GAM_DELIVERY
from kly_mage.landing.files import LandingFile, day_in_name, find_files

HEADER = b'served_at,ad_unit,impressions,clicks,revenue_usd\n'
ROW = b'2025-10-01T12:00:00+07:00,a,1,0,0.5\n'
SECRET = 'POSTGRES_PASSWORD=hunter2'
READ = """
import os, sys
from pathlib import Path
from kly_mage.declared import GAM_DELIVERY
from kly_mage.landing import files, readers
found = files.find_files(GAM_DELIVERY, Path(sys.argv[1]), 'Asia/Jakarta')
rows = rejects = 0
try:
    for frame in readers.read(GAM_DELIVERY, found, None, timezone='Asia/Jakarta', late_days=3):
        rows, rejects = rows + frame.height, rejects + frame['_reject'].count()
    told = f'{rows} {rejects}'
except files.LandingError as error:
    told = str(error)
# Its own peak: what getrusage calls a peak begins with that of the process that started it.
print(told, int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) >> 10, sep='|', flush=True)
os._exit(0)  # as the command line ends: a library's thread may be at the file still
"""


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """A landing zone beside a file that it must not give away."""
    (tmp_path / 'secret').write_text(SECRET)
    (tmp_path / 'landing' / 'gam_delivery').mkdir(parents=True)
    return tmp_path / 'landing'


def found(zone: Path) -> list[LandingFile]:
    return find_files(GAM_DELIVERY, zone, 'Asia/Jakarta')


@pytest.mark.parametrize('kind', ['link out', 'dangling link', 'circle', 'pipe', 'folder', 'device'])
def test_what_is_no_regular_file_of_the_zone_is_named_and_never_opened(zone: Path, kind: str) -> None:
    path = zone / 'gam_delivery' / 'x.csv'
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'folder':
        path.mkdir()
    else:
        target = {'link out': zone.parent / 'secret', 'dangling link': 'nowhere', 'circle': path, 'device': '/dev/zero'}
        path.symlink_to(target[kind])
    (file,) = found(zone)
    with pytest.raises(LandingError, match=r'^gam_delivery/x.csv: .*; it is not read$') as told:
        file.open()
    assert 'hunter2' not in str(told.value)


def test_a_link_put_in_place_of_a_file_after_it_was_found_is_not_followed(zone: Path) -> None:
    path = zone / 'gam_delivery' / 'x.csv'
    path.write_bytes(HEADER)
    (file,) = found(zone)
    path.unlink()
    path.symlink_to(zone.parent / 'secret')
    with pytest.raises(LandingError, match='cannot be opened'):
        file.open()


def test_a_file_written_to_after_it_was_found_is_not_read(zone: Path) -> None:
    path = zone / 'gam_delivery' / 'x.csv'
    path.write_bytes(HEADER)
    (file,) = found(zone)
    path.write_bytes(HEADER + ROW)
    with pytest.raises(LandingError, match='changed while it was looked at'):
        file.open()


def test_a_folder_that_leads_out_of_the_zone_is_not_read(zone: Path) -> None:
    (zone / 'gam_delivery').rmdir()
    (zone / 'gam_delivery').symlink_to('/etc')
    with pytest.raises(LandingError, match='a link out of the landing zone'):
        found(zone)


def test_hidden_files_are_no_deliveries(zone: Path) -> None:
    for name in ('._x.csv', '.x.csv.gz'):
        (zone / 'gam_delivery' / name).write_bytes(HEADER)
    assert found(zone) == []


@pytest.mark.parametrize(
    ('name', 'day'),
    [('ga4_events/ga4_events_20251001.csv', '2025-10-01'), ('export_12345678.csv', None), ('ga4_events_20251301.csv', None)],
)
def test_one_rule_says_which_day_a_name_holds(name: str, day: str | None) -> None:
    assert (str(found) if (found := day_in_name(GA4_EVENTS, name)) else None) == day


def test_a_secret_is_masked_whatever_stands_before_its_name() -> None:
    assert 'hunter2' not in redacted(f'header has {SECRET}, b') + redacted("{'DB_PASSWORD': 'hunter2'}")


# Each of these took gigabytes, or minutes, or both: content of 100 MB from a packed file of half a megabyte.
BOMBS = {
    'line ends': (HEADER, b'\n', 'next to nothing but empty lines'),
    'old line ends': (HEADER, b'\r', 'next to nothing but empty lines'),
    'one line': (HEADER + ROW, b'x', 'the row of line 3 is longer than 1 MB'),
    'NUL bytes': (HEADER + ROW, b'\0', 'the row of line 3 is longer than 1 MB'),
    'a quote that stays open': (HEADER + b'"', ROW, 'the row of line 2 is longer than 1 MB'),
    'a header': (b'', b'a,', 'the header, is longer than 1 MB'),
    'rows of one field': (HEADER, b'x\n', 'of its first 100,001 rows cannot be used'),
    'rows without a value': (HEADER, b'x,,,,\n', 'rows cannot be used, the last of them in line'),
    'rows of 200,000 fields': (HEADER, b'a,' * 200_000 + b'\n', 'rows cannot be used, the last of them in line'),
    'UTF-16': (b'\xff\xfe', b'a\0', 'line 1 cannot be read (field larger than field limit'),
    'a header in UTF-16': (b'\xff\xfe', b'a\0,\0', 'the header, is longer than 1 MB'),
    'a header in UTF-16 without its mark': (b'', b'a\0', 'is UTF-16 without a byte order mark'),
}


def read(zone: Path) -> str:
    done = subprocess.run(
        [sys.executable, '-c', READ, str(zone)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout.strip()


@pytest.mark.parametrize(('head', 'unit', 'message'), BOMBS.values(), ids=BOMBS)
def test_a_file_made_to_eat_the_machine_is_refused_in_a_sentence(zone: Path, head: bytes, unit: bytes, message: str) -> None:
    block = unit * ((1 << 20) // len(unit))
    with gzip.open(zone / 'gam_delivery' / 'x.csv.gz', 'wb', compresslevel=1) as file:
        file.write(head)
        for _ in range(100):
            file.write(block)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    told, _, peak = read(zone).rpartition('|')
    assert told.startswith('gam_delivery/x.csv.gz: ')
    assert message in told
    assert len(told) < 300
    assert int(peak) <= 600
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 15


def test_forty_thousand_rows_of_one_field_too_many_are_rejects_in_seconds(zone: Path) -> None:
    (zone / 'gam_delivery' / 'x.csv').write_bytes(HEADER + ROW.replace(b'\n', b',more\n') * 40_000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    counts, peak = read(zone).split('|')
    assert counts == '40000 40000'
    assert int(peak) <= 600
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 10


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        (','.join(f'c{n}' for n in range(1700)), 'has 1,700 columns: at most 1,500 are possible'),
        ('ad_unit,CTID', 'column CTID: PostgreSQL has a column of that name'),
        (f'{SECRET},x', 'required column missing: served_at'),
        ('\x1b[31mred', r'the file has \x1b[31mred'),
    ],
)
def test_a_header_is_checked_and_quoted_with_care(zone: Path, header: str, message: str) -> None:
    head = HEADER.decode().replace('ad_unit', header) if 'CTID' in header else header + '\n'
    (zone / 'gam_delivery' / 'x.csv').write_text(head)
    told = read(zone)
    assert message in told
    assert 'hunter2' not in told
    assert '\x1b' not in told
