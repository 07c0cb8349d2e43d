"""What blocks hand to each other in Mage, and back."""

from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pytest

from kly_mage.common.errors import PipelineError
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.loads.handed_on import to_pandas, to_polars
from kly_mage.loads.steps import hash_rows, read_days
from tests.delivery import ad, deliver

pytestmark = pytest.mark.one_version

SOURCE = SOURCES['gam_delivery']
DAY = {'start_date': '2025-10-01'}


@pytest.fixture
def rows(settings: Settings) -> Any:
    """What the loader gives: the last digits of a count beyond a float's, and of money; a reject without them."""
    usable = ad('a', '123456789012345678.000000000001', str(2**60 + 1)), ad('b', '0.1', '7')
    deliver(settings, 'gam_delivery_20251001.csv', *usable, ad('c', 'much', ''))
    return read_days('gam_delivery', DAY)


def as_mage_keeps_it(frame: Any) -> Any:
    """Mage writes Parquet and reads it; decimals come back as Python's (seen in its variables)."""
    return frame.assign(revenue_usd=frame['revenue_usd'].astype(object).where(frame['revenue_usd'].notna(), None))


def test_a_loader_and_a_hash_block_hand_on_pandas_in_which_nothing_has_lost_a_digit(rows: Any) -> None:
    assert isinstance(rows, pd.DataFrame)
    assert rows['impressions'].tolist()[:2] == [2**60 + 1, 7]  # what Mage's row actions do with a column
    assert rows['revenue_usd'].tolist()[0] == Decimal('123456789012345678.000000000001')
    hashed = hash_rows(as_mage_keeps_it(rows), 'gam_delivery')
    assert isinstance(hashed, pd.DataFrame)
    # Two rows, one that cannot be used, and what is known of their file.
    assert hashed['_hashrow'].isna().tolist() == [False, False, True, True]


def test_the_hash_does_not_depend_on_who_hands_the_rows_on(rows: Any) -> None:
    first = to_polars(rows, SOURCE, 'load')
    assert first.equals(to_polars(as_mage_keeps_it(rows), SOURCE, 'load'))
    assert first.schema == to_polars(as_mage_keeps_it(rows), SOURCE, 'load').schema
    expected = hash_rows(first, 'gam_delivery')['_hashrow'].drop_nulls().to_list()
    assert len(expected) == 2
    plain = pd.DataFrame({name: rows[name].tolist() for name in rows.columns}).replace(
        {pd.NA: None}
    )  # nothing of Arrow left
    for frame in (as_mage_keeps_it(rows), plain):
        assert hash_rows(frame, 'gam_delivery')['_hashrow'].dropna().tolist() == expected


def test_a_block_that_makes_something_else_of_a_column_is_named_with_it(rows: Any) -> None:
    with pytest.raises(PipelineError, match=r'load_gam_delivery has to keep clicks as Int64, not String: '):
        hash_rows(rows.assign(clicks='many'), 'gam_delivery')
    with pytest.raises(PipelineError, match=r'load_gam_delivery has to keep the columns clicks'):
        hash_rows(rows.drop(columns='clicks'), 'gam_delivery')
    with pytest.raises(PipelineError, match=r'run load_gam_delivery first'):
        hash_rows([], 'gam_delivery')


def test_the_command_line_goes_on_in_polars(settings: Settings) -> None:
    deliver(settings, 'gam_delivery_20251001.csv', ad())
    frame, _ = read_days('gam_delivery', DAY | {'as_stream': True})  # the second is about the file
    assert isinstance(frame, pl.DataFrame)
    assert isinstance(hash_rows(frame, 'gam_delivery'), pl.DataFrame)
    assert to_pandas(frame)['impressions'].tolist() == [10]
