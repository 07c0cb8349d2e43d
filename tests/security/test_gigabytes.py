"""A gigabyte of anything: memory follows the slice, and the time is at most three times that of a good file of the size."""

import gzip
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kly_mage.common.settings import REPOSITORY
from tests.security.test_files import HEADER, READ, ROW

pytestmark = pytest.mark.slow

GIGABYTE = 1_000_000_000
PEAK_MB = 600
OBJECT = b'{"served_at": "2025-10-01T12:00:00+07:00", "ad_unit": "a", "impressions": 1, "clicks": 0, "revenue_usd": 0.5}\n'
# Name of the file, what it begins with, what follows until it is a gigabyte, what is said of it (None: it is read).
FILES = {
    'line ends in gzip': ('x.csv.gz', HEADER, b'\n', 'next to nothing but empty lines'),
    'one line': ('x.csv', HEADER + ROW, b'x', 'the row of line 3 is longer than 1 MB'),
    'a header': ('x.csv', b'', b'a,', 'the header, is longer than 1 MB'),
    'every second row too long': ('x.csv', HEADER, ROW + ROW.replace(b'\n', b',more\n'), None),
    'every second row a single field': ('x.csv', HEADER, ROW + b'x\n', None),
    'JSON of one line': ('x.json', b'{"a": "', b'x', 'line 1 is longer than 8 MB'),
    'JSON, its line ends': ('x.json.gz', OBJECT, b'\n', 'next to nothing but empty lines'),
    'JSON, nested': ('x.json', OBJECT, b'[', 'line 2 is longer than 8 MB'),
}


class Cost(NamedTuple):
    """What reading a landing zone told, and took."""

    told: str
    cpu: float
    peak_mb: int


def read(zone: Path) -> Cost:
    with (zone / 'told').open('w+') as told:
        process = subprocess.Popen([sys.executable, '-c', READ, str(zone)], cwd=REPOSITORY, stdout=told)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        told.seek(0)
        text, peak = told.read().rsplit('|', 1)
        return Cost(text, used.ru_utime + used.ru_stime, int(peak))


def write(zone: Path, name: str, head: bytes, unit: bytes) -> None:
    (zone / 'gam_delivery').mkdir(exist_ok=True)
    path, block = zone / 'gam_delivery' / name, unit * ((4 << 20) // len(unit))
    with gzip.open(path, 'wb', compresslevel=1) if name.endswith('.gz') else path.open('wb') as file:
        file.write(head)
        for chunk in itertools.repeat(block, GIGABYTE // len(block)):
            file.write(chunk)


@pytest.fixture(scope='module')
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cost]:
    """What a gigabyte of good rows costs."""
    zone = tmp_path_factory.mktemp('good')
    write(zone, 'x.csv', HEADER, ROW)
    yield read(zone)
    (zone / 'gam_delivery' / 'x.csv').unlink()


@pytest.mark.parametrize(('name', 'head', 'unit', 'message'), FILES.values(), ids=FILES)
def test_a_gigabyte_takes_the_memory_of_a_slice_and_three_times_the_time_of_good_rows_at_most(
    tmp_path: Path, good: Cost, name: str, head: bytes, unit: bytes, message: str | None
) -> None:
    write(tmp_path, name, head, unit)
    try:
        cost = read(tmp_path)
    finally:
        (tmp_path / 'gam_delivery' / name).unlink()
    sys.stderr.write(f'{cost.cpu:.1f} s CPU, {cost.peak_mb} MB; good rows {good.cpu:.1f} s, {good.peak_mb} MB\n')
    if message:
        assert message in cost.told
    assert good.peak_mb <= PEAK_MB
    assert cost.peak_mb <= PEAK_MB
    assert cost.cpu <= 3 * good.cpu
