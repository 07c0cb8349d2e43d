"""Parquet of a few kilobytes that would be gigabytes of rows: refused in a sentence, in bounded memory and time."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kly_mage.common.settings import REPOSITORY
from tests.security.test_files import READ

PEAK_MB = 600  # 150 of them are the libraries
SECONDS = 120  # on a busy machine; some twenty on one that is not
ROWS = 100_000
Columns = dict[str, pa.Array]


def read(zone: Path) -> tuple[str, int]:
    """What reading a landing zone told, and how many MB it took."""
    command = [sys.executable, '-c', READ, str(zone)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=SECONDS, check=True)
    told, peak = done.stdout.rsplit('|', 1)
    return told, int(peak)


def text(rows: int, size: int, nulls: int = 0) -> pa.Array:
    """The same text in every row but the first ones; the file has it once."""
    missing = np.arange(rows) < nulls
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32), mask=missing), pa.array(['x' * size]))


def in_lists(values: pa.Array, *lengths: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, *np.cumsum(lengths)], pa.int32()), values)


BOMBS: dict[str, tuple[Callable[[], tuple[int, Columns]], str]] = {
    'a text in every row': (lambda: (ROWS, {'line_item': text(ROWS, 900_000)}), 'are the same again and again'),
    'a text too long in all rows but the first': (
        lambda: (ROWS, {'line_item': text(ROWS, 1_100_000, 50_000)}),
        'row group 1: column line_item has a text of 1 MB',
    ),
    'texts in lists': (
        lambda: (20_000, {'more': in_lists(text(60_000, 900_000), *[3] * 20_000)}),
        'are the same again and again',
    ),
    'a list of millions': (
        lambda: (2, {'more': in_lists(pa.array(np.zeros(100_000_001, np.int8)), 100_000_000, 1)}),
        'row group 1: column more.list.element has 100,000,001 values in lists of 2 rows; deliver shorter lists',
    ),
    'a page of a gigabyte': (
        lambda: (20, {'line_item': pa.array(['x' * 50_000_000] * 20)}),
        'row group 1: column line_item has 1,000 MB in',
    ),
    'millions of equal rows': (lambda: (10_000_000, {}), 'are the same again and again'),
}


@pytest.mark.parametrize(
    ('make', 'told'),
    [pytest.param(*bomb, marks=pytest.mark.slow if 'again' in bomb[1] else (), id=name) for name, bomb in BOMBS.items()],
)
def test_a_small_file_of_gigabytes_is_refused(tmp_path: Path, make: Callable[[], tuple[int, Columns]], told: str) -> None:
    rows, columns = make()
    base = {'served_at': '2025-10-01T12:00:00Z', 'ad_unit': 'a', 'impressions': 1, 'clicks': 0, 'revenue_usd': '0.5'}
    path = tmp_path / 'gam_delivery/x.parquet'
    path.parent.mkdir()
    table = pa.table({name: pa.array([value] * rows) for name, value in base.items()} | columns)
    plain = {'use_dictionary': False, 'data_page_size': 2**31 - 1} if 'MB in' in told else {}
    pq.write_table(table, path, compression='zstd', store_schema=False, **plain)
    assert path.stat().st_size < 1_000_000
    said, peak_mb = read(tmp_path)
    assert f'gam_delivery/x.parquet: {told}' in said if told.startswith('row') else told in said
    assert peak_mb <= PEAK_MB


def test_a_footer_larger_than_any_file_needs_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / 'gam_delivery/x.parquet'
    path.parent.mkdir()
    with path.open('wb') as file:
        file.write(b'PAR1')
        file.truncate(100_000_000)
        file.seek(0, 2)
        file.write((90_000_000).to_bytes(4, 'little') + b'PAR1')
    said, peak_mb = read(tmp_path)
    assert 'its footer has 90 MB; write fewer, larger row groups' in said
    assert peak_mb <= PEAK_MB
