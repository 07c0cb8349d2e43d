"""Columns of Arrow, whatever their type, as the texts that casting reads: exact, and NULL as it is."""

from typing import Any
from typing import cast as as_type

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable

_OPEN, _CLOSE = '{"_":', '}'


def series(name: str, column: Any) -> pl.Series:
    """A column as polars has it. By way of a table: polars takes lists of groups for others than they are, and crashes."""
    return as_type(pl.DataFrame, pl.from_arrow(pa.table({name: column})))[name]


def texts(name: str, column: Any, where: str) -> pl.Series:
    """The values of a column as texts: single ones as they are spelled, lists and groups as JSON.

    Args:
        where: file and place, for the message.

    Raises:
        LandingError: they cannot be.
    """
    try:
        return (_json if pa.types.is_nested(column.type) else _single)(name, column)
    # polars panics where Arrow has a type or a day that it has not.
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        why = printable(str(error), 100)
        raise LandingError(
            f'{where}: column {name} ({column.type}) cannot be read as text ({why}); deliver it as text, or let '
            'landing.toml ignore it'
        ) from error


def _single(name: str, column: Any) -> pl.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _single(name, column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return _instants(name, column)
    values = _spelled(column)
    found = series(name, values)
    return found if found.dtype == pl.String else found.cast(pl.String)


def _spelled(column: Any) -> Any:
    """Values of types that polars would not spell, or not exactly, as texts."""
    plain = _plain(column.type)
    return column if plain == column.type else pc.cast(column, plain)


def _instants(name: str, column: Any) -> pl.Series:
    kind = column.type
    in_utc = pc.cast(column, pa.timestamp(kind.unit, 'UTC')) if kind.tz else column
    if kind.unit != 'ns':
        return series(name, pc.cast(pc.cast(in_utc, pa.timestamp('us', kind.tz and 'UTC')), pa.string()))
    # An instant between two microseconds keeps its digits, and is rejected as it would be in a text.
    return series(name, pc.cast(in_utc, pa.string())).str.replace(r'(\.[0-9]{6})000', '$1')


def _json(name: str, column: Any) -> pl.Series:
    values = series('_', _spelled(column))
    encoded = values.to_frame().select(pl.struct('_').struct.json_encode()).to_series()
    plain = encoded.str.strip_prefix(_OPEN).str.strip_suffix(_CLOSE)
    return pl.select(pl.when(values.is_not_null()).then(plain).alias(name)).to_series()


def _plain(kind: Any) -> Any:
    """A type of the same values whose parts polars spells exactly."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_nested(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return kind
    return kind if pa.types.is_time(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind) else pa.string()
