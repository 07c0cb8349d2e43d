"""What a row of a frame contributes to a measure."""

import polars as pl

from kly_mage.declared.marts import Measure, Rows, Sum


def per_row(measure: Measure) -> pl.Expr:
    """What one typed row contributes.

    Raises:
        TypeError: the measure counts distinct keys: no row contributes by itself.
    """
    match measure.of:
        case Rows(column, value):
            return (pl.col(column) == value).cast(pl.Int32)
        case Sum(column):
            return pl.col(column)
    raise TypeError(f'{measure.name} does not add up over rows')
