"""The last line of a file that has no end: the one row that is held back, whatever the file looks like around it."""

import gzip
import json
from typing import Any

import polars as pl
import pytest

from kly_mage.landing import csv as landing_csv
from kly_mage.landing import cut
from tests.landing.zone import HEADER, Write, read, row


def rejected(frame: pl.DataFrame) -> list[tuple[int, str | None, str | None]]:
    """Line, column and value of the rows that are held back."""
    told = [(line, json.loads(reject)) for line, reject in frame.select('_line', '_reject').rows() if reject]
    return [(line, reject['column'], reject['value']) for line, reject in told if reject['reason'] == cut.REASON]


CUT = row('b').rstrip('\n')
HELD = [(3, 'revenue_usd', '0.5')]
FILES: dict[str, tuple[str, list[Any]]] = {
    'a line without end': (row('a') + CUT, HELD),
    'the only line': (CUT, [(2, 'revenue_usd', '0.5')]),
    'a line of two': (row('a') + row('"b\nc"').rstrip('\n'), HELD),
    'behind a line of two': (row('"a\na"') + CUT, [(4, 'revenue_usd', '0.5')]),
    'behind an empty line': (row('a') + '\n' + CUT, [(4, 'revenue_usd', '0.5')]),
    'behind one of too few fields': (row('a') + 'x,y\n' + CUT, [(4, 'revenue_usd', '0.5')]),
    'of carriage returns': ((row('a') + CUT).replace('\n', '\r\n'), HELD),
    'a line with its end': (row('a') + row('b'), []),
    'the end of an old Macintosh': ((row('a') + row('b')).replace('\n', '\r'), []),
    'cut within the fields, which tells it anyway': (row('a') + CUT[:30], []),
    'cut within a number that is none then': (row('a') + CUT[:-3] + '-', []),
    'a line of commas only': (row('a') + ',,,,', []),
    'nothing but the header': ('', []),
}


@pytest.mark.parametrize('packed', [False, True], ids=['plain', 'packed'])
@pytest.mark.parametrize('slices', ['one slice', 'many slices'])
@pytest.mark.parametrize(('content', 'held'), FILES.values(), ids=FILES)
def test_a_last_line_without_its_end_is_held_back_and_no_other(
    write: Write, monkeypatch: pytest.MonkeyPatch, content: str, held: list[Any], slices: str, packed: bool
) -> None:
    if slices == 'many slices':
        monkeypatch.setattr(landing_csv, 'SLICE_BYTES', 64)
    if packed:
        folder = write(gzip.compress((HEADER + content).encode()), 'gam_delivery/gam_delivery_20251001.csv.gz')
    else:
        folder = write(HEADER + content)
    assert rejected(read(folder)) == held


@pytest.mark.parametrize('surplus', range(-2, 3))
def test_the_missing_end_is_seen_wherever_the_file_ends_between_two_reads(write: Write, surplus: int) -> None:
    filling = landing_csv.SLICE_BYTES - len(HEADER) - len(row('')) - len(CUT) + surplus
    frame = read(write(HEADER + row('x' * filling) + CUT))
    assert rejected(frame) == HELD
    assert frame.filter(pl.col('_reject').is_null())['ad_unit'].str.len_chars().to_list() == [filling]


def test_a_header_alone_without_its_end_is_a_file_without_rows(write: Write) -> None:
    assert read(write(HEADER.rstrip('\n'))).height == 0


def test_what_is_held_back_keeps_its_day_and_its_text(write: Write) -> None:
    (held,) = read(write(HEADER + CUT), '2025-10-01').rows(named=True)
    assert f'{held["_partition_date"]}' == '2025-10-01'
    assert json.loads(held['_reject'])['row'] == dict(zip(HEADER.strip().split(','), CUT.split(','), strict=True))
    assert read(write(HEADER + CUT), '2025-10-02').height == 0


def test_it_is_taken_only_as_it_was_when_somebody_said_that_it_is_whole(write: Write) -> None:
    frame = read(write(HEADER + row('a') + CUT))
    place = frame.filter(pl.col('_reject').is_not_null()).select('_file', '_line', '_reject').row(0)
    taken = cut.take(frame, lambda: {cut.reject_id(*place)})
    assert taken['_reject'].null_count() == 2
    assert taken['revenue_usd'].null_count() == 0
    other = read(write(HEADER + row('a') + CUT[:-1] + '7'))
    assert cut.take(other, lambda: {cut.reject_id(*place)}).equals(other)
