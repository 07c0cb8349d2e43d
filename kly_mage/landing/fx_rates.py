"""Amounts of other currencies become US dollars, by the rates that a file in the landing zone gives for each day."""

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.landing import inside
from kly_mage.rows import casting

MAX_BYTES = 64 << 20
_RATE_DIGITS = 10  # after the point


def rates_of(root: Path, name: str) -> pl.DataFrame:
    """The rates of currencies, exact: ``date``, ``currency`` and ``usd``, dollars for one unit, all of them text.

    Raises:
        LandingError: the file is not there or not readable, or one of its lines is none; names it.
    """
    try:
        table = pl.read_csv(
            io.BytesIO(inside.read(root, name, MAX_BYTES)), columns=['date', 'currency', 'usd'], infer_schema=False
        )
    except pl.exceptions.PolarsError as error:
        raise LandingError(
            f'{name}: no rates can be read ({printable(str(error), 100)}); it needs columns date, currency and usd'
        ) from None
    good = table.select(
        pl.col('date').str.to_date('%Y-%m-%d', strict=False).is_not_null()
        & pl.col('currency').str.contains('^[A-Z]{3}$')
        & pl.col('usd').str.contains(r'^[0-9]{1,9}(\.[0-9]{1,10})?$')
    ).to_series()
    bad = (~good.fill_null(False)).arg_true()
    if len(bad):
        raise LandingError(f'{name}: line {bad[0] + 2} is no rate: a date 2025-10-01, a currency EUR, a number 1.0812')
    if twice := table.select('date', 'currency').is_duplicated().arg_true().to_list():
        raise LandingError(f'{name}: line {twice[-1] + 2} gives a second rate for one day and currency')
    return table


def in_dollars(
    amounts: pl.Series, days: pl.Series, currencies: pl.Series, rates: pl.DataFrame
) -> tuple[pl.Series, pl.Series]:
    """Amounts times the rate of their day, exact, rounded half to even to the digits that money has; and which lack a rate.

    Args:
        amounts: typed money; null stays null.
        days: as ISO 8601 texts.
        currencies: ISO 4217 codes; USD needs no rate.
    """
    asked = pl.DataFrame({'date': days.str.head(10), 'currency': currencies})
    rate = asked.join(rates, on=['date', 'currency'], how='left', maintain_order='left')['usd']
    rate = pl.select(pl.when(currencies == 'USD').then(pl.lit('1')).otherwise(rate)).to_series()
    digits = casting.MONEY_DIGITS
    product = pc.multiply(
        amounts.to_arrow().cast(pa.decimal256(38, digits)), rate.to_arrow().cast(pa.decimal256(20, _RATE_DIGITS))
    )
    rounded = pc.round(product, digits, 'half_to_even').cast(pa.decimal256(60, digits))
    return pl.Series(amounts.name, rounded.cast(pa.string())), rate.is_null() & amounts.is_not_null()
