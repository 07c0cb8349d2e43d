"""The bytes on their way to the reader: whole characters, and what damage is said of them."""

import gc
import gzip
import io
import threading
from pathlib import Path

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import csv as landing_csv
from kly_mage.landing import readers
from kly_mage.landing.files import find_files
from kly_mage.landing.raw import Raw
from tests.landing.zone import FILE, HEADER, JAKARTA, Write, read, row

PACKED = gzip.compress((HEADER + ''.join(row(str(number * 7919)) for number in range(5000))).encode())


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        pytest.param(PACKED[:-9], 'cut short or damaged at line', id='cut short'),
        pytest.param(PACKED[:12], 'cut short or damaged at line 1 or later', id='cut short in the header'),
        pytest.param(PACKED[:3000] + b'\xff\xff' + PACKED[3002:], 'cut short or damaged at line', id='damaged'),
        pytest.param(b'\x00' + PACKED[1:], 'is neither packed by gzip, as its name says, nor text', id='no gzip at all'),
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


# --- a reader that is left early ---------------------------------------------------------------------------------------


def test_who_is_stopped_gets_no_more_bytes_and_one_who_never_asks_is_waited_for_a_moment_only(write: Write) -> None:
    (file,) = find_files(GAM_DELIVERY, write(HEADER), JAKARTA)
    raw = Raw(file, io.BytesIO(b'x' * 1000), 10)
    assert raw.read(10) == b'x' * 10
    stopping = threading.Thread(target=raw.stop, daemon=True)
    stopping.start()
    stopping.join(60)
    assert not stopping.is_alive()
    assert raw.read(10) == b''


@pytest.mark.parametrize('end', [b'x\xff\n', b'"' + b'x' * (3 << 20), b''], ids=['no UTF-8', 'too long', 'left early'])
def test_files_that_are_not_read_to_their_end_leave_no_open_file_behind(write: Write, end: bytes) -> None:
    folder = write((HEADER + row('a') * 100_000).encode() + end)

    def half_read() -> int:
        (file,) = find_files(GAM_DELIVERY, folder, JAKARTA)
        frames = iter(readers.read(GAM_DELIVERY, [file], None, timezone=JAKARTA, late_days=3))
        if end:
            with pytest.raises(LandingError):
                list(frames)
        else:
            next(frames)
            frames.close()  # type: ignore[attr-defined]
        return len(list(Path('/proc/self/fd').iterdir()))

    gc.collect()  # what earlier tests have left in circles holds files open, until Python comes to look for them
    before = half_read()
    assert [half_read() for _ in range(5)] == [before] * 5
