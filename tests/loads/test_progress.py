"""Progress: plain lines where nobody looks on, nothing where it is not wanted, and never beside the result."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kly_mage.__main__ import main
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.landing import files as landing
from kly_mage.landing import readers
from kly_mage.loads import progress
from tests.scenes import deliver, deliver_october


def test_plain_lines_say_how_much_is_done_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 1.0, 10.0, 12.0, 40.0])
    monkeypatch.setattr(progress, 'time', SimpleNamespace(monotonic=lambda: next(clock)))  # other threads have theirs
    with progress.progress() as step:
        step('reading', 0, 100)
        step('reading', 5, 100)  # a second later: too soon for a line
        step('reading', 25, 100, '7 rows')  # 10 s for a quarter: 30 s for the rest
        step('reading', 30, 100)  # again too soon
        step('reading', 100, 100, '28 rows')
    assert capsys.readouterr().err.splitlines() == ['reading: 25%, 30 s left (7 rows)', 'reading: done in 40.0 s (28 rows)']


def test_a_thing_that_is_done_twice_is_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress() as step:
        for _ in range(2):
            step('reading', 0, 0)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress(quiet=True) as step:
        step('reading', 0, 100)
        step('reading', 100, 100)
    assert capsys.readouterr() == ('', '')


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
    with progress.progress() as step:
        step('reading', 0, 100)
        step('reading', 100, 100, '3 rows')
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'reading' in captured.err
    assert '100 %' in captured.err


def test_reading_tells_rows_and_the_file_at_hand_and_changes_no_frame(tmp_path: Path) -> None:
    (tmp_path / 'gam_delivery').mkdir()
    row = '2025-10-0{}T05:00:00Z,/top,l,c,a1,10,1,0.5'
    for day in (1, 2):
        deliver(tmp_path, f'gam_delivery_2025100{day}.csv', *[row.format(day)] * day)
    source, told = SOURCES['gam_delivery'], []
    files = landing.find_files(source, tmp_path, 'UTC')
    frames = readers.read(source, files, None, timezone='UTC', late_days=3)

    def step(what: str, done: float, total: float, words: str = '') -> None:
        told.append((what, done / total, words))

    read = progress.reading(frames, step, 'reading', files)
    assert [frame.rows() for frame in read] == [frame.rows() for frame in frames]
    shares = [share for _, share, _ in told]
    assert (shares[0], shares[-1]) == (0, 1)
    assert shares == sorted(shares)
    assert [words for *_, words in told] == [
        '',
        '1 row, gam_delivery/gam_delivery_20251001.csv',
        '3 rows, gam_delivery/gam_delivery_20251002.csv',
        '3 rows',
    ]


def test_progress_stands_beside_the_result(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    deliver_october(settings.data_dir)
    main(['backfill', '--start', '2025-10-01', '--end', '2025-10-04'])
    said = capsys.readouterr()
    assert 'loading gam_delivery: done in' in said.err
    assert 'done in' not in said.out
    main(['reconcile', '--quiet', '--source', 'ga4_events'])
    assert capsys.readouterr() == ('every row accounted for\n', '')
