"""Which rows may repeat an earlier one: none that does is missed."""

import polars as pl

from kly_mage.rows.seen import Seen


def hashes(*numbers: int) -> pl.Series:
    return pl.Series([f'{number:032x}' for number in numbers])


def test_a_hash_met_before_is_told_in_its_own_call_and_in_later_ones() -> None:
    seen = Seen()
    assert seen.again(hashes(1, 2, 1, 3, 1)).to_list() == [False, False, True, False, True]
    assert seen.again(hashes(4, 3, 4)).to_list() == [False, True, True]


def test_hashes_that_end_alike_may_be_the_same_and_those_of_other_ends_are_not() -> None:
    seen = Seen()
    assert seen.again(hashes(5, (1 << 100) + 5)).to_list() == [False, True]  # taken for known, and looked at
    assert seen.again(hashes((1 << 27) + 5, (1 << 100) + 6)).to_list() == [False, False]
