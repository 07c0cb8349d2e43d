"""Packed files: what is in them is read in bounded memory, or refused in words, whatever they say of themselves."""

import gzip
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.common.settings import REPOSITORY
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import files as landing
from kly_mage.landing import readers
from tests.landing.zone import HEADER, JAKARTA, Write, located, read, row
from tests.packing import ENDS, packed, zipped
from tests.security.test_files import READ

ROWS = (HEADER + ''.join(row(str(number * 7919)) for number in range(5000))).encode()
PACKED = [end for end in ENDS if end]


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('said', ENDS)
def test_a_csv_is_read_however_it_is_packed_and_whatever_its_name_says_of_that(write: Write, end: str, said: str) -> None:
    folder = write(packed(ROWS, end), f'gam_delivery/gam_delivery_20251001.csv{said}')
    assert located(read(folder)) == [(number + 2, str(number * 7919)) for number in range(5000)]


@pytest.mark.parametrize('end', PACKED)
@pytest.mark.parametrize('content', [b'', HEADER.encode(), ROWS], ids=['nothing', 'a header', 'rows'])
def test_a_packed_file_without_rows_is_seen_to_be_empty(write: Write, end: str, content: bytes) -> None:
    (file,) = landing.find_files(GAM_DELIVERY, write(packed(content, end), f'gam_delivery/x.csv{end}'), JAKARTA)
    assert readers.is_empty(file) == (content != ROWS)


@pytest.mark.parametrize('end', PACKED)
@pytest.mark.parametrize('kept', [0.02, 0.5, 0.99])
def test_a_packed_file_that_is_cut_short_is_refused_and_named(write: Write, end: str, kept: float) -> None:
    whole = packed(ROWS, end)
    with pytest.raises(LandingError, match=rf'^gam_delivery/x.csv{end}: .*cut short or damaged.*; deliver the file again$'):
        read(write(whole[: int(len(whole) * kept)], f'gam_delivery/x.csv{end}'))


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_archive_whose_sum_is_another_is_refused(write: Write, method: int) -> None:
    whole = bytearray(zipped({'x.csv': ROWS}, method))
    where = whole.index(b'PK\x01\x02') + 16  # of the sum in the list of members
    whole[where] ^= 1
    with pytest.raises(LandingError, match=r'^gam_delivery/x.csv.zip: cut short or damaged at .*Bad CRC-32'):
        read(write(bytes(whole), 'gam_delivery/x.csv.zip'))


def test_what_macos_adds_to_an_archive_is_let_alone(write: Write) -> None:
    folder = write(zipped({'x.csv': ROWS, '__MACOSX/._x.csv': b'\0\5\x16\7'}), 'gam_delivery/x.csv.zip')
    assert read(folder).height == 5000


def encrypted() -> bytes:
    whole = bytearray(zipped({'x.csv': ROWS}))
    whole[6] |= 1
    whole[whole.index(b'PK\x01\x02') + 8] |= 1
    return bytes(whole)


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (zipped({}), r'is a zip archive of 0 members \(\); deliver one file per archive'),
        (zipped({'a.csv': ROWS, 'b\x1b.csv': ROWS}), r'is a zip archive of 2 members \(a.csv, b\\x1b.csv\)'),
        (zipped({'folder/': b''}), r'is a zip archive of 1 member \(folder/\)'),
        (zipped({'[Content_Types].xml': b'', 'xl/workbook.xml': b''}), 'is an Excel workbook'),
        (zipped({'x.csv': ROWS}, zipfile.ZIP_LZMA), 'is a zip archive packed by method 14; deliver it packed by deflate'),
        (encrypted(), 'is an encrypted zip archive; deliver it without a password'),
        (zipped({'x.csv.gz': gzip.compress(ROWS)}), 'is packed twice'),
        (zipped({'x.csv': ROWS}).replace(b'PK\x01\x02', b'PK\x01\x03'), 'a zip archive, cut short or damaged'),
        (zipped({f'{number}.csv': b'' for number in range(20_000)}), 'it lists more members than one'),
    ],
    ids=['none', 'two', 'a folder', 'Excel', 'lzma', 'encrypted', 'twice', 'damaged', 'thousands'],
)
def test_a_zip_archive_that_cannot_be_read_is_said_to_be_what_it_is(write: Write, content: bytes, told: str) -> None:
    with pytest.raises(LandingError, match=f'^gam_delivery/x.csv.zip: .*{told}'):
        read(write(content, 'gam_delivery/x.csv.zip'))


def test_a_member_that_says_it_is_longer_or_shorter_than_it_is_is_refused_or_read_to_its_end(write: Write) -> None:
    whole = bytearray(zipped({'x.csv': ROWS}))
    where = whole.index(b'PK\x01\x02') + 24  # of the unpacked size
    whole[where : where + 4] = struct.pack('<I', 1 << 31)
    assert read(write(bytes(whole), 'gam_delivery/x.csv.zip')).height == 5000
    whole[where : where + 4] = struct.pack('<I', 100)
    with pytest.raises(LandingError, match='Bad CRC-32'):
        read(write(bytes(whole), 'gam_delivery/x.csv.zip'))


def test_zstd_that_would_have_a_gigabyte_in_memory_is_refused(write: Write) -> None:
    # A frame (RFC 8878) without a size, its window 2 GB: exponent 21, mantissa 0.
    frame = b'\x28\xb5\x2f\xfd\x00' + bytes([21 << 3]) + b'\x01\x00\x00'
    with pytest.raises(LandingError, match=r'^gam_delivery/x.csv.zst: cut short or damaged'):
        read(write(frame, 'gam_delivery/x.csv.zst'))


@pytest.mark.parametrize('end', PACKED)
def test_a_small_file_of_many_megabytes_takes_the_memory_of_a_slice(tmp_path: Path, end: str) -> None:
    path = tmp_path / 'gam_delivery' / f'x.csv{end}'
    path.parent.mkdir()
    block, times = row('a').encode() * 30_000, 250  # 1.1 MB, and the frames and members that all make one file
    if end == '.zip':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive, archive.open('x.csv', 'w') as member:
            member.write(HEADER.encode())
            for _ in range(times):
                member.write(block)
    else:
        path.write_bytes(packed(HEADER.encode(), end) + packed(block, end) * times)
    assert path.stat().st_size < len(block) * times // 50
    told = subprocess.run(
        [sys.executable, '-c', READ, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    counts, peak = told.split('|')
    assert counts == f'{30_000 * times} 0'
    assert int(peak) <= 600


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize(('mark', 'code'), [(b'\xff\xfe', 'utf-16-le'), (b'\xfe\xff', 'utf-16-be')])
def test_a_text_in_utf_16_is_read_as_if_it_were_in_utf_8(write: Write, end: str, mark: bytes, code: str) -> None:
    text = HEADER.replace(',', '\t') + ''.join(row(f'{number} 😀 é').replace(',', '\t') for number in range(9000))
    folder = write(packed(mark + text.encode(code), end), f'gam_delivery/x.csv{end}')
    assert located(read(folder)) == [(number + 2, f'{number} 😀 é') for number in range(9000)]
    with pytest.raises(LandingError, match='is UTF-16, cut short or damaged behind byte'):
        read(write(packed(mark + text.encode(code)[:-1], end), f'gam_delivery/x.csv{end}'))


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (HEADER.encode('utf-16-le'), 'is UTF-16 without a byte order mark; export the file as UTF-8'),
        (HEADER.encode('utf-16-be'), 'is UTF-16 without a byte order mark; export the file as UTF-8'),
        (
            b'\xff\xfe' + HEADER.encode('utf-16-le')[:20] + b'\x00\xd8\x00\x00',
            'is UTF-16, cut short or damaged behind byte 0',
        ),
        (HEADER.encode('utf-32'), 'is UTF-32; export the file as UTF-8'),
    ],
)
def test_a_text_in_another_encoding_is_said(write: Write, content: bytes, told: str) -> None:
    with pytest.raises(LandingError, match=f'^gam_delivery/x.csv: {told}'):
        read(write(content, 'gam_delivery/x.csv'))


def test_json_lines_in_utf_16_are_read(write: Write) -> None:
    line = '{"served_at": "2025-10-01", "ad_unit": "é", "impressions": 1, "clicks": 0, "revenue_usd": 0.001}\n'
    assert located(read(write(line.encode('utf-16'), 'gam_delivery/x.json'))) == [(1, 'é')]
