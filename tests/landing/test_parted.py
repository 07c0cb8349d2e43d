"""Parts of large undated files: what is read from them is what reading the file gives, and nobody needs them."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import polars as pl
import pytest

from kly_mage.common.errors import LandingError
from kly_mage.common.window import Window
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import csv, parted, readers, unchanged
from kly_mage.landing import files as landing
from kly_mage.landing.unchanged import Kept, Recall
from tests.landing.zone import HEADER, JAKARTA, Write, row
from tests.scenes import Background

UNDATED = 'gam_delivery/gam_delivery.csv'
DAYS = [f'2025-10-0{number}' for number in range(1, 8)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' files are of some kilobytes."""
    monkeypatch.setattr(parted, 'LEAST_BYTES', 0)
    monkeypatch.setattr(parted, '_LEAST_ROWS', 3)
    monkeypatch.setattr(csv, 'SLICE_BYTES', 2_000)
    monkeypatch.setattr(csv, 'FRAME_SLICES', 2)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose rows are read."""
    found, slices = list[str](), csv.slices

    def noted(file: landing.LandingFile, *rest: Any) -> Any:
        found.append(file.name)
        return slices(file, *rest)

    monkeypatch.setattr(csv, 'slices', noted)
    return found


def text(rows: int = 400) -> str:
    """Rows of seven days as they come, some of which cannot be used, a few without a day; the last one may be cut."""
    of = random.Random(7)
    lines = [row(f'unit {number}', of.choice(DAYS)) for number in range(rows)]
    for at in range(0, rows, 50):
        lines[at] = ['no day,a,1,0,0.5\n', 'too,few\n', f'{DAYS[3]}T12:00:00+07:00,bad,1,0,x\n'][at // 50 % 3]
    return HEADER + ''.join(lines) + f'{DAYS[6]}T12:00:00+07:00,cut,1,0,12'


def days(first: int, last: int | None = None) -> Window:
    return Window(date(2025, 10, first), date(2025, 10, last or first))


def walk(zone: Path, window: Window, *, kept: Kept | None = None, content: str = 'as it is') -> Iterator[pl.DataFrame]:
    """The frames of a load of these days, which may leave parts behind and use them."""
    (file,) = landing.find_files(GAM_DELIVERY, zone, JAKARTA)
    recall = Recall(lambda file: content, {file.name: kept} if kept else {}, zone / 'local' / 'parts')
    (reading,) = unchanged.plan(GAM_DELIVERY, [file], window, 3, recall).values()
    yield from readers.read(GAM_DELIVERY, [file], window, timezone=JAKARTA, late_days=3, reading=reading)
    assert {day for day in reading.days if day} == {date.fromisoformat(day) for day in DAYS}


def as_read(zone: Path, window: Window) -> list[pl.DataFrame]:
    """The same of who knows of no parts, without frames that have none of these rows."""
    (file,) = landing.find_files(GAM_DELIVERY, zone, JAKARTA)
    return filled(readers.read(GAM_DELIVERY, [file], window, timezone=JAKARTA, late_days=3))


def filled(frames: Any) -> list[pl.DataFrame]:
    return [frame for frame in frames if frame.height]


def taken(zone: Path, day: int) -> list[pl.DataFrame]:
    return filled(walk(zone, days(day)))


def same(found: list[pl.DataFrame], wanted: list[pl.DataFrame]) -> bool:
    return len(found) == len(wanted) and all(one.equals(two) for one, two in zip(found, wanted, strict=True))


def parts(zone: Path) -> list[str]:
    return sorted(path.suffix for path in (zone / 'local' / 'parts').glob('*'))


def test_a_file_is_read_once_and_every_other_day_has_its_rows_from_the_parts(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    for number in range(1, 8):
        window = days(number)
        assert same(filled(walk(zone, window)), as_read(zone, window))
    assert len(opened) == 8  # once for the seven days, and once for each that is compared
    window = days(3, 6)
    assert same(filled(walk(zone, window)), wanted := as_read(zone, window))
    # Of 400 rows eight cannot be used (every fiftieth), three of which have no day, and three are lines that are too short.
    assert sum(frame['_reject'].is_not_null().sum() for frame in wanted) == 8
    assert len(opened) == 9


def test_every_frame_is_as_it_is_when_the_file_is_read_of_few_rows_a_day_too(
    write: Write, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parted, '_LEAST_ROWS', 1_000)  # so that a group holds all days of a frame
    zone = write(text(), UNDATED)
    filled(walk(zone, days(1)))
    for first, last in ((2, 2), (4, 6), (7, 7)):
        assert same(filled(walk(zone, days(first, last))), as_read(zone, days(first, last)))
    assert len(opened) == 4


def test_days_that_the_parts_do_not_have_are_read_from_the_file(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    filled(walk(zone, days(2)))
    assert same(filled(walk(zone, days(1, 2))), as_read(zone, days(1, 2)))
    assert len(opened) == 3
    loaded = Kept('other', frozenset({date(2025, 10, 2)}), frozenset({date(2025, 10, 1)}), frozenset())
    assert same(filled(walk(zone, days(2), kept=loaded)), as_read(zone, days(2)))
    assert len(opened) == 5


def test_a_load_of_all_days_leaves_nothing_behind(write: Write) -> None:
    zone = write(text(), UNDATED)
    filled(walk(zone, days(1, 31)))
    assert parts(zone) == []


def test_a_dated_file_is_read_each_time(write: Write) -> None:
    zone = write(text(), 'gam_delivery/gam_delivery_20251001.csv')
    filled(walk(zone, days(1)))
    assert parts(zone) == []


def content_of(zone: Path) -> str:
    (file,) = landing.find_files(GAM_DELIVERY, zone, JAKARTA)
    (reading,) = unchanged.plan(GAM_DELIVERY, [file], days(1), 3, Recall(lambda file: 'as it is', {})).values()
    return reading.content


def test_parts_go_with_the_last_days_and_with_a_file_that_is_loaded(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    every = [date.fromisoformat(day) for day in DAYS]
    filled(walk(zone, days(1)))
    kept = Kept(content_of(zone), frozenset(every[:6]), frozenset(every[6:]), frozenset())
    assert filled(walk(zone, days(7), kept=kept))
    assert (len(opened), parts(zone)) == (1, [])
    filled(walk(zone, days(1)))
    assert parts(zone) == ['.parquet']
    whole = Kept(content_of(zone), frozenset(every), frozenset(), frozenset())
    (file,) = landing.find_files(GAM_DELIVERY, zone, JAKARTA)
    recall = Recall(lambda file: 'as it is', {file.name: whole}, zone / 'local' / 'parts')
    assert not unchanged.plan(GAM_DELIVERY, [file], days(1), 3, recall)[file.name].is_read
    assert parts(zone) == []


def test_of_a_file_that_has_had_other_bytes_parts_are_made_when_it_is_read_twice(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    other = Kept('of yesterday', frozenset(), frozenset(), frozenset())
    filled(walk(zone, days(1), kept=other))
    assert parts(zone) == []
    every = [date.fromisoformat(day) for day in DAYS]
    kept = Kept(content_of(zone), frozenset(every[:1]), frozenset(every[1:]), frozenset())
    filled(walk(zone, days(2), kept=kept))
    assert parts(zone) == ['.parquet']
    assert same(filled(walk(zone, days(3), kept=kept)), as_read(zone, days(3)))
    assert len(opened) == 3


def test_whatever_its_rows_depend_on_makes_other_parts(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    filled(walk(zone, days(1)))
    filled(walk(zone, days(2), content='another declaration'))
    write(text().replace('unit 17', 'unit 18'), UNDATED)
    readers._header.cache_clear()
    assert same(filled(walk(zone, days(3))), as_read(zone, days(3)))
    assert len(opened) == 4


def test_a_walk_that_is_given_up_leaves_nothing_behind(write: Write) -> None:
    zone = write(text(), UNDATED)
    frames = walk(zone, days(1))
    next(frames)
    assert parts(zone) == ['.begun']
    frames.close()  # type: ignore[attr-defined]  # a generator
    assert parts(zone) == []


def test_a_file_that_turns_out_to_be_unusable_leaves_no_parts(write: Write) -> None:
    zone = write(text() + f'\n{DAYS[1]}T12:00:00+07:00,"open,1,0,1\n', UNDATED)
    with pytest.raises(LandingError):
        filled(walk(zone, days(1)))
    assert parts(zone) == []


def test_what_a_killed_process_has_begun_is_begun_anew(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    filled(walk(zone, days(1)))
    (made,) = (zone / 'local' / 'parts').glob('*')
    half = made.rename(made.with_suffix('.begun'))
    os.truncate(half, half.stat().st_size // 2)
    filled(walk(zone, days(1)))
    assert parts(zone) == ['.parquet']
    assert same(filled(walk(zone, days(2))), as_read(zone, days(2)))
    assert len(opened) == 3


def cut_the_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def spoil_the_middle(path: Path) -> None:
    """The last groups cannot be read any more, the first ones can."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    path.write_bytes(content)


def nothing_in_it(path: Path) -> None:
    path.write_bytes(b'')


@pytest.mark.parametrize('damage', [cut_the_end, spoil_the_middle, nothing_in_it], ids=lambda of: of.__name__)
def test_where_parts_are_damaged_the_file_is_read(write: Write, damage: Callable[[Path], None]) -> None:
    zone = write(text(), UNDATED)
    filled(walk(zone, days(1)))
    (made,) = (zone / 'local' / 'parts').glob('*')
    damage(made)
    assert same(filled(walk(zone, days(2, 7))), as_read(zone, days(2, 7)))


def test_where_nothing_can_be_left_behind_the_file_is_read(write: Write, opened: list[str]) -> None:
    zone = write(text(), UNDATED)
    (zone / 'local').write_text('a file where the folder should be')
    for number in (1, 2):
        assert same(filled(walk(zone, days(number))), as_read(zone, days(number)))
    assert len(opened) == 4


def test_where_there_is_no_room_the_file_is_read(write: Write, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    zone = write(text(), UNDATED)
    (file,) = landing.find_files(GAM_DELIVERY, zone, JAKARTA)
    usage = shutil.disk_usage(zone)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=4 * file.size - 1))
    assert same(filled(walk(zone, days(1))), as_read(zone, days(1)))
    assert parts(zone) == []
    monkeypatch.undo()
    monkeypatch.setattr(parted, 'LEAST_BYTES', 0)
    monkeypatch.setattr(parted, 'MOST_BYTES', 1_000)
    filled(walk(zone, days(1)))
    assert parts(zone) == []


def test_who_comes_while_parts_are_made_waits_for_them(
    write: Write, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parted, '_SLOWEST', 100)  # bytes a second: nobody has waited too long before minutes have passed
    waiting, locked = set[int](), parted._locked

    def noted(begun: Path) -> BinaryIO | None:
        if (stream := locked(begun)) is None:
            waiting.add(threading.get_ident())
        return stream

    monkeypatch.setattr(parted, '_locked', noted)
    zone = write(text(), UNDATED)
    first = walk(zone, days(1))
    begun = [next(first)]
    beside = [Background(partial(taken, zone, number)) for number in (2, 3)]
    while len(waiting) < 2:
        assert all(each.running for each in beside)
        time.sleep(0.01)
    filled([*begun, *first])
    assert same(beside[0].result(), as_read(zone, days(2)))
    assert same(beside[1].result(), as_read(zone, days(3)))
    assert len(opened) == 3  # two to compare with
    assert parts(zone) == ['.parquet']


def test_who_has_waited_too_long_reads_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = write(text(), UNDATED)
    first = walk(zone, days(1))
    next(first)
    # Its own clock, and nobody else's: other threads look at theirs.
    clock = SimpleNamespace(monotonic=iter([0.0, 0.5, 9.0]).__next__, sleep=time.sleep, time=time.time)
    monkeypatch.setattr(parted, 'time', clock)
    assert same(filled(walk(zone, days(2))), as_read(zone, days(2)))
    monkeypatch.undo()
    assert parts(zone) == ['.begun']
    filled(first)
    assert parts(zone) == ['.parquet']


def test_nobody_else_gets_to_them_and_what_nobody_asks_for_goes(write: Write) -> None:
    zone = write(text(), UNDATED)
    filled(walk(zone, days(1)))
    folder = zone / 'local' / 'parts'
    (made,) = folder.glob('*')
    assert (folder.stat().st_mode & 0o777, made.stat().st_mode & 0o777) == (0o700, 0o600)
    other = folder / 'other.parquet'
    other.write_bytes(b'')
    yesterday = time.time() - 86_500
    for path in (made, other):
        os.utime(path, (yesterday, yesterday))
    parted.sweep(folder)
    assert parts(zone) == []


def test_of_too_much_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parted, 'MOST_BYTES', 250)
    now = time.time()
    for age, name in enumerate(('new', 'older', 'oldest')):
        (tmp_path / f'{name}.parquet').write_bytes(bytes(100))
        os.utime(tmp_path / f'{name}.parquet', (now - age, now - age))
    parted.sweep(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ['new', 'older']
    parted.sweep(tmp_path, whole=True)
    assert list(tmp_path.iterdir()) == []
