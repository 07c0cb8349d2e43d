"""What the schema of an Avro file says of its records: the types of their fields, and what no file may ask of its reader."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kly_mage.common.text import printable

_MOST_DEEP = 50  # levels of types within types
_MOST_DIGITS = 76  # of a decimal
_PLAIN = {
    'null': pa.null(),
    'boolean': pa.bool_(),
    'int': pa.int32(),
    'long': pa.int64(),
    'float': pa.float32(),
    'double': pa.float64(),
    'bytes': pa.binary(),
    'string': pa.string(),
    'enum': pa.string(),
    'fixed': pa.binary(),
}
# Read as the whole numbers they are: Python's own calendar ends, and is slow.
_LOGICAL = {
    ('int', 'date'): pa.date32(),
    ('int', 'time-millis'): pa.time32('ms'),
    ('long', 'time-micros'): pa.time64('us'),
    ('long', 'timestamp-millis'): pa.timestamp('ms', 'UTC'),
    ('long', 'timestamp-micros'): pa.timestamp('us', 'UTC'),
    ('long', 'timestamp-nanos'): pa.timestamp('ns', 'UTC'),
    ('long', 'local-timestamp-millis'): pa.timestamp('ms'),
    ('long', 'local-timestamp-micros'): pa.timestamp('us'),
    ('long', 'local-timestamp-nanos'): pa.timestamp('ns'),
}


class SchemaError(Exception):
    """A schema of which no rows can be made, in a sentence."""


@dataclass(frozen=True)
class Shape:
    """What the records of a file are.

    Attributes:
        schema: for fastavro; dates and times are whole numbers in it.
        types: of the records' fields, by name.
    """

    schema: Any
    types: dict[str, Any]


def shape_of(schema: Any) -> Shape:
    """What a file's schema says.

    Raises:
        SchemaError: its records are none that can be rows.
    """
    from fastavro.schema import SchemaParseException, parse_schema

    named: dict[str, Any] = {}
    plain, kind = _of(schema, named, '', 0)
    if not pa.types.is_struct(kind):
        raise SchemaError('its values are no records; deliver records, their fields as columns')
    try:
        return Shape(parse_schema(plain), {field.name: field.type for field in kind})
    except SchemaParseException as wrong:
        raise SchemaError(f'its schema is none ({printable(str(wrong), 100)})') from wrong


def _of(schema: Any, named: dict[str, Any], space: str, depth: int) -> tuple[Any, Any]:
    """A schema without dates and times, and the type of its values.

    Args:
        named: types that have a name, with it; None while they are looked at.
        space: where names are looked up that have none.
    """
    if depth > _MOST_DEEP:
        raise SchemaError(f'its schema has types within types, more than {_MOST_DEEP} levels')
    if isinstance(schema, list):
        return _union(schema, named, space, depth)
    if isinstance(schema, str):
        return _named(schema, named, space)
    kind = schema.get('type')
    if isinstance(kind, dict | list):
        return _of(kind, named, space, depth + 1)
    if kind == 'record':
        return _record(schema, named, space, depth)
    if kind in ('array', 'map'):
        part = 'items' if kind == 'array' else 'values'
        inner, values = _of(schema[part], named, space, depth + 1)
        if kind == 'array' and _is_nothing(values):
            raise SchemaError('its schema has lists of nothing, which say how long they are and have no end')
        return {'type': kind, part: inner}, pa.list_(values) if kind == 'array' else pa.map_(pa.string(), values)
    if kind == 'fixed' and schema['size'] < 1:
        raise SchemaError('its schema has values of no byte')
    if kind in ('enum', 'fixed'):
        full, _ = _full(schema, space)
        plain = {'type': kind, 'name': full} | {part: schema[part] for part in ('symbols', 'size') if part in schema}
        named[full] = _decimal(schema) or _PLAIN[kind]
        return plain | _kept(schema), named[full]
    if kind in _PLAIN:
        return {'type': kind} | _kept(schema), _decimal(schema) or _LOGICAL.get(
            (kind, schema.get('logicalType')), _PLAIN[kind]
        )
    return _named(str(kind), named, space)


def _named(name: str, named: dict[str, Any], space: str) -> tuple[Any, Any]:
    if name in _PLAIN:
        return name, _PLAIN[name]
    full = name if '.' in name or not space else f'{space}.{name}'
    full = full if full in named else name
    if named.get(full) is None:
        what = 'inside itself' if full in named else 'that it lacks'
        raise SchemaError(f'its schema has a type {printable(name, 60)!r} {what}')
    return full, named[full]


def _union(schema: list[Any], named: dict[str, Any], space: str, depth: int) -> tuple[Any, Any]:
    branches = [_of(branch, named, space, depth + 1) for branch in schema]
    kinds = [kind for _, kind in branches if not pa.types.is_null(kind)]
    if len({str(kind) for kind in kinds}) > 1:
        raise SchemaError(
            f'its schema has a field of several types ({", ".join(map(str, kinds))[:100]}); deliver one of them'
        )
    return [plain for plain, _ in branches], kinds[0] if kinds else pa.null()


def _record(schema: dict[str, Any], named: dict[str, Any], space: str, depth: int) -> tuple[Any, Any]:
    full, inside = _full(schema, space)
    named[full] = None
    fields = [(field['name'], *_of(field['type'], named, inside, depth + 1)) for field in schema['fields']]
    plain = {'type': 'record', 'name': full, 'fields': [{'name': name, 'type': inner} for name, inner, _ in fields]}
    named[full] = pa.struct([(name, kind) for name, _, kind in fields])
    return plain, named[full]


def _full(schema: dict[str, Any], space: str) -> tuple[str, str]:
    """The whole name of a type, and where names inside of it are looked up."""
    name = schema['name']
    if '.' not in name:
        inside = schema.get('namespace', space)
        return (f'{inside}.{name}' if inside else name), inside
    return name, name.rpartition('.')[0]


def _decimal(schema: dict[str, Any]) -> Any:
    if schema.get('logicalType') != 'decimal':
        return None
    digits, scale = schema['precision'], schema.get('scale', 0)
    if not 0 <= scale <= digits:
        raise SchemaError(f'its schema has a decimal of {digits} digits, {scale} of them behind the point')
    digits = min(digits, _MOST_DIGITS)  # BIGNUMERIC says 77; one that has as many is no amount
    return pa.decimal256(digits, min(scale, digits))


def _kept(schema: dict[str, Any]) -> dict[str, Any]:
    """What says that bytes are a decimal; fastavro makes exact ones of them."""
    parts = ('logicalType', 'precision', 'scale') if schema.get('logicalType') == 'decimal' else ()
    return {part: schema[part] for part in parts if part in schema}


def _is_nothing(kind: Any) -> bool:
    """Whether values take no byte."""
    if pa.types.is_struct(kind):
        return all(_is_nothing(field.type) for field in kind)
    return bool(pa.types.is_null(kind))
