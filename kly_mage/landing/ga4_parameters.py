"""The parameters of GA4's events, each wanted one a column of texts.

They come as one list of keys and values per event. The lists are taken in Arrow, as what they are there: all values in a
row, and where each event's begin. So every key is looked at once, and only the values that are wanted become texts.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from kly_mage.landing.arrow_text import series
from kly_mage.landing.ga4_columns import VALUES


def texts_of(lists: Any, keys: Sequence[str]) -> list[pl.Series]:
    """The texts of some parameters of each event, by ``keys``: of one that is there twice the first that has a value.

    Args:
        lists: Arrow's ``list`` or ``large_list`` of groups of ``key`` and ``value``.

    Raises:
        ArrowException: they are not what their type says.
    """
    values = lists.flatten()  # without those of an event that has none, but room for some
    names, value = _part(values, 'key'), _part(values, 'value')
    if names is None or not len(names):
        return [_nothing(len(lists)) for _ in keys]
    number = pc.index_in(pc.cast(names, pa.large_string()), _set(tuple(keys))).fill_null(-1).to_numpy()
    event = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
    fields = {name: field for name in VALUES if (field := _part(value, name)) is not None}
    filled = {name: field.is_valid().to_numpy(zero_copy_only=False) for name, field in fields.items()}
    number = np.where(np.any([*filled.values(), np.zeros(len(number), bool)], axis=0), number, -1)
    texts = []
    for wanted in range(len(keys)):
        at = np.flatnonzero(number == wanted)
        # Backwards: where several are an event's, the last one to be written is the first one it has.
        place = np.full(len(lists), -1)
        place[event[at[::-1]]] = at[::-1]
        index = pa.array(place, mask=place < 0)
        # Mostly all values of a parameter stand in one field: the others cost nothing then.
        found = [_text_of(name, field.take(index)) for name, field in fields.items() if filled[name][at].any()]
        texts.append(_first(found) if found else _nothing(len(lists)))
    return texts


@cache
def _set(keys: tuple[str, ...]) -> Any:
    return pa.array(keys, pa.large_string())


def _first(texts: list[pl.Series]) -> pl.Series:
    return texts[0] if len(texts) == 1 else pl.select(pl.coalesce(texts)).to_series()


def _text_of(name: str, field: Any) -> pl.Series:
    texts = series(name, field)
    texts = texts if texts.dtype == pl.String else texts.cast(pl.String)
    # A whole number is the same article whether a tag sent 123 or 123.0.
    return texts.str.replace(r'\.0+$', '') if name in ('double_value', 'float_value') else texts


def _part(values: Any, name: str) -> Any:
    """A field of groups, null where a group is; None if they have none of that name."""
    if values is None or not pa.types.is_struct(values.type) or values.type.get_field_index(name) < 0:
        return None
    return pc.struct_field(values, name)


def _nothing(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)
