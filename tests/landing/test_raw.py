"""The bytes on their way to the reader: whole characters, and what damage is said of them."""

import gzip

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.landing import csv as landing_csv
from tests.landing.zone import FILE, HEADER, Write, read, row

PACKED = gzip.compress((HEADER + ''.join(row(str(number * 7919)) for number in range(5000))).encode())


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        pytest.param(PACKED[:-9], 'cut short or damaged at line', id='cut short'),
        pytest.param(PACKED[:12], 'line 1 cannot be read', id='cut short in the header'),
        pytest.param(PACKED[:3000] + b'\xff\xff' + PACKED[3002:], 'cut short or damaged at line', id='damaged'),
        pytest.param((HEADER + row('a')).encode(), 'line 1 cannot be read (Not a gzipped file', id='no gzip at all'),
    ],
)
def test_gzip_that_cannot_be_used_is_named(write: Write, content: bytes, message: str) -> None:
    folder = write(content, f'{FILE}.gz')
    with pytest.raises(LandingError) as told:
        read(folder)
    assert str(told.value).startswith(f'{FILE}.gz: ')
    assert message in str(told.value)


@pytest.mark.parametrize('content', [HEADER.encode() + b'x\xff\n', (HEADER + row('a')).encode() + b'x\xc3'])
def test_bad_bytes_leave_nothing_on_standard_error(write: Write, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
    with pytest.raises(LandingError):
        read(write(content))
    assert capfd.readouterr() == ('', '')


def test_characters_are_whole_wherever_the_bytes_are_cut(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_csv, 'SLICE_BYTES', 151)
    folder = write(HEADER + ''.join(row('é€😀' * (number % 9)) if number % 9 else 'é\n' for number in range(200)))
    found = read(folder)
    assert sorted(unit for unit in found['ad_unit'] if unit) == sorted('é€😀' * (n % 9) for n in range(200) if n % 9)
    assert found['_reject'].len() - found['_reject'].null_count() == 23  # the multiples of 9 below 200
