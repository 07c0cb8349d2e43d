"""Parameters out of Arrow's lists, also such lists as only some programs make; and small slices as one."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from kly_mage.landing.ga4_parameters import texts_of
from kly_mage.landing.slices import Slice, gathered

VALUE = pa.struct([('string_value', pa.string()), ('int_value', pa.int64())])


def pairs(*values: tuple[str, Any]) -> pa.Array:
    """Each a key and its value: text, number, or None."""
    told = [
        {'key': key, 'value': {'string_value' if isinstance(value, str) else 'int_value': value}} for key, value in values
    ]
    return pa.array(told, pa.struct([('key', pa.string()), ('value', VALUE)]))


@pytest.mark.parametrize(('number', 'kind'), [(np.int32, pa.ListArray), (np.int64, pa.LargeListArray)])
def test_an_event_without_parameters_takes_none_of_another_even_if_there_is_room_for_some(number: Any, kind: Any) -> None:
    values = pairs(('a', 1), ('a', 'nobody'), ('b', 'nobody'), ('b', None), ('b', 'x'), ('b', 'y'))
    # Event 1 is null, its two places hold what no event has; event 2 has none.
    places = pa.py_buffer(np.array([0, 1, 3, 3, 6], number).tobytes())
    lists = kind.from_buffers(
        pa.list_(values.type) if kind is pa.ListArray else pa.large_list(values.type),
        4,
        [pa.py_buffer(bytes([0b1101])), places],
        children=[values],
    )
    assert [texts.to_list() for texts in texts_of(lists, ['a', 'b', 'c'])] == [
        ['1', None, None, None],
        [None, None, None, 'x'],  # the first that has a value
        [None, None, None, None],
    ]
    assert [texts.to_list() for texts in texts_of(lists[2:], ['b'])] == [[None, 'x']]


def slice_of(first: int, rows: int, kind: Any = pl.String) -> Slice:
    lines = pl.Series('_line', range(first, first + rows), pl.Int64)
    return Slice(pl.DataFrame({'x': pl.Series([None] * rows, dtype=kind)}), lines, nul=False)


def test_small_slices_are_put_together_in_their_order_and_those_of_other_types_stay_apart() -> None:
    parts = [slice_of(1, 10_000), slice_of(10_001, 40_000), slice_of(50_001, 3), slice_of(50_004, 1, pl.Int64)]
    made = list(gathered(parts))
    assert [part.rows.height for part in made] == [50_000, 3, 1]
    assert pl.concat([part.lines for part in made]).to_list() == list(range(1, 50_005))
