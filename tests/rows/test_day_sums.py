"""What rows of files amount to by day."""

from datetime import date
from decimal import Decimal

import polars as pl

from kly_mage.rows.day_sums import DaySums, repeated

FIRST, SECOND = date(2025, 10, 1), date(2025, 10, 2)
_COLUMNS = ('day', 'number', 'high', 'low', 'is_outside', 'is_superseded', 'pageviews', 'revenue')
_KINDS = [pl.Date, pl.Int32, pl.UInt64, pl.UInt64, pl.Boolean, pl.Boolean, pl.Int64, pl.Decimal(38, 12)]
MANY = 2**62


def summed(*rows: tuple[object, ...]) -> DaySums:
    sums = DaySums(['pageviews', 'revenue'], lambda high, low: high + low)
    sums.add(pl.DataFrame(rows, schema=dict(zip(_COLUMNS, _KINDS, strict=True)), orient='row'))
    return sums


def test_equal_rows_are_one_of_the_distinct_and_their_amounts_are_counted_in_both_ways() -> None:
    sums = summed(
        (FIRST, 0, 1, 10, False, False, 1, Decimal('0.5')),
        (FIRST, 0, 1, 10, False, False, 1, Decimal('0.5')),  # in the same file
        (FIRST, 1, 1, 10, False, False, 1, Decimal('0.5')),  # in a later one
        (FIRST, 1, 2, 10, False, False, 0, None),  # another hash that ends alike
        (SECOND, 1, 1, 20, False, False, MANY, Decimal('0.000000000001')),
        (SECOND, 1, 1, 21, False, False, MANY, Decimal(3)),
    ).days
    first, second = sums[FIRST], sums[SECOND]
    assert (first.rows, first.distinct, first.check, first.same_file) == (4, 2, 11 + 12, 1)
    assert (first.amounts, first.of_distinct) == ([3, Decimal('1.5')], [1, Decimal('0.5')])
    assert first.first_in == {0: 1, 1: 1}
    assert (second.rows, second.distinct, second.check, second.same_file) == (2, 2, 21 + 22, 0)
    assert second.amounts == [2 * MANY, Decimal('3.000000000001')]  # beyond 64 bits, and to the last digit
    assert first.is_plain
    assert second.is_plain


def test_a_day_with_a_row_that_no_load_takes_or_that_is_superseded_is_not_plain() -> None:
    sums = summed(
        (FIRST, 0, 1, 10, True, False, 1, None),
        (SECOND, 0, 1, 20, False, True, 1, None),
        (None, 0, 1, 30, False, False, 1, None),
    )
    assert {day: of.is_plain for day, of in sums.days.items()} == {FIRST: False, SECOND: False, None: True}


def test_numbers_that_are_there_more_than_once_are_told() -> None:
    assert repeated(pl.Series([5, 2**64 - 1, 5, 7, 2**64 - 1], dtype=pl.UInt64)).to_list() == [True, True, True, False, True]
    assert repeated(pl.Series([5], dtype=pl.UInt64)).to_list() == [False]
