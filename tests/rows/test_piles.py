"""Rows kept until all are there: equal ones come back together, whether they stayed in memory or were written."""

import polars as pl
import pytest

from kly_mage.rows import piles
from kly_mage.rows.piles import Piles


def rows(*keys: int) -> pl.DataFrame:
    """Rows of these keys; each remembers the one before it."""
    return pl.DataFrame({'key': keys, 'line': range(len(keys))}, schema={'key': pl.UInt64, 'line': pl.Int64})


def test_what_fits_into_memory_comes_back_in_one_frame_as_it_was() -> None:
    kept = Piles('key')
    kept.put(rows(3, 1))
    kept.put(rows(3))
    assert [frame.rows() for frame in kept] == [[(3, 0), (1, 1), (3, 0)]]
    assert [frame.height for frame in kept] == [3]  # as often as one likes
    kept.close()


def test_nothing_put_in_gives_nothing() -> None:
    assert list(Piles('key')) == []


def test_of_more_than_that_each_frame_has_all_rows_of_its_keys_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piles, '_HELD_ROWS', 300)
    monkeypatch.setattr(piles, '_WRITTEN_ROWS', 200)
    monkeypatch.setattr(piles, '_GIVEN_ROWS', 100)
    kept = Piles('key')
    for begin in range(0, 1000, 90):  # 1,080 keys in 12 frames, of which three and less are a file
        kept.put(rows(*range(begin, begin + 90)))
    kept.put(rows(7, 7 + 256, 500))  # the first two of one pile
    frames = [frame.rows() for frame in kept]
    assert len(frames) > 5
    assert max(map(len, frames)) <= 100
    assert sorted(row for frame in frames for row in frame) == sorted(
        [(key, key % 90) for key in range(1080)] + [(7, 0), (263, 1), (500, 2)]
    )
    of_seven = [frame for frame in frames if (7, 7) in frame]
    assert [row for row in of_seven[0] if row[0] == 7] == [(7, 7), (7, 0)]
    assert not any((7, 0) in frame for frame in frames if frame is not of_seven[0])
    kept.close()
    assert list(kept) == []
