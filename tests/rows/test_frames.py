"""Frames of bounded size: small ones are put together, large ones pass as they are."""

import polars as pl

from kly_mage.rows.frames import GATHERED_ROWS, SLICE_ROWS, as_arrow, gathered


def frame(first: int, rows: int, **further: str) -> pl.DataFrame:
    """So many numbers from the first on."""
    numbers = pl.DataFrame({'n': range(first, first + rows)})
    return numbers.with_columns(pl.lit(text).alias(name) for name, text in further.items())


def test_small_frames_are_one_and_their_rows_keep_their_order() -> None:
    (joined,) = gathered([frame(0, 2), frame(2, 0), frame(2, 3, note='x')])
    assert joined.rows() == [(0, None), (1, None), (2, 'x'), (3, 'x'), (4, 'x')]


def test_no_frame_is_longer_than_a_slice_and_a_large_one_is_not_copied() -> None:
    large = frame(0, SLICE_ROWS)
    frames = [*(frame(n, 30_000) for n in range(3)), large, frame(0, 1)]
    found = list(gathered(frames))
    assert [each.height for each in found] == [60_000, 30_000, SLICE_ROWS, 1]
    assert found[2] is large
    assert all(each.height >= GATHERED_ROWS or n in (1, 3) for n, each in enumerate(found))


def test_of_no_frames_there_are_none() -> None:
    assert list(gathered([])) == []


def test_a_frame_of_pieces_of_which_one_is_empty_is_a_table_beside_a_constant_column() -> None:
    (joined,) = gathered([frame(0, 2), frame(2, 3)])
    kept = joined.filter(pl.Series([True, True, False, False, False]))
    told = kept.select('n', pl.lit(1).alias('copies'), pl.col('n').alias('again'))
    assert [each.chunk_lengths() for each in kept] == [[2, 0]]
    assert as_arrow(told).to_pylist() == [{'n': n, 'copies': 1, 'again': n} for n in (0, 1)]
