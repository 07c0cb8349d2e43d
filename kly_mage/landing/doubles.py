"""Money that somebody's program held as a double: its text is taken as it stands, and never calculated with."""

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from kly_mage.rows.casting import MONEY_DIGITS

# 17 digits are all that a double has; beyond these sizes it is no amount, and its row is rejected for that.
_AMOUNT = r'^-?[0-9]{1,18}(\.[0-9]{1,40})?$'
_WIDE = pa.decimal256(76, 40)


def to_money(texts: pl.Series) -> pl.Series:
    """Decimals rounded half to even to the digits that money has; what is none stays as it is."""
    is_plain = texts.str.contains(_AMOUNT).fill_null(False)
    exact = pl.select(pl.when(is_plain).then(texts)).to_series().to_arrow().cast(_WIDE)
    rounded = pl.Series(pc.round(exact, MONEY_DIGITS, 'half_to_even').cast(pa.decimal128(38, MONEY_DIGITS)))
    return pl.select(pl.coalesce(rounded.cast(pl.String), texts)).to_series().alias(texts.name)
