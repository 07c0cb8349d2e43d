"""What a line of JSON holds: one object, its numbers as they are spelled, because through a float they would be others."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

TOO_DEEP = 'is nested too deep'
_HALF_CHARACTER = re.compile(r'\\u[dD][89a-fA-F]')
_BLANK = ' \t\r'
_NESTED = (dict, list)


@dataclass
class Table:
    """Objects as columns of text.

    Attributes:
        rows: a row for each object.
        unusable: of objects that cannot be a row, by their place: the field and why.
    """

    rows: pl.DataFrame
    unusable: dict[int, tuple[str, str]] = field(default_factory=dict)


class _Number(str):
    """A number as it is spelled, where texts are around."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError('names a field twice')
    return found


def _no_number(name: str) -> None:
    raise ValueError(f'{name} is no number')


def _decoder(number: type[str]) -> json.JSONDecoder:
    return json.JSONDecoder(parse_int=number, parse_float=number, parse_constant=_no_number, object_pairs_hook=_once)


_TEXTS, _NUMBERS = _decoder(str), _decoder(_Number)


def decoded(line: str) -> dict[str, Any] | str:
    """The object a line holds, its numbers as texts; or why it holds none."""
    line = line.strip(_BLANK)
    try:
        found, end = _TEXTS.raw_decode(line)
        if _HALF_CHARACTER.search(line):
            json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as wrong:
        return f'no JSON object: {wrong.msg} at character {wrong.pos + 1:,}'
    except UnicodeEncodeError:
        return 'holds half a character (a lone surrogate)'
    except ValueError as wrong:
        return str(wrong)
    except RecursionError:
        return TOO_DEEP
    if end != len(line) or type(found) is not dict:
        return 'no JSON object'
    return found


def table(objects: Sequence[dict[str, Any]], lines: Sequence[str], names: list[str], single: Collection[str]) -> Table:
    """Objects as columns: missing fields are null, ``true`` and ``false`` are texts, what is nested is JSON.

    Args:
        lines: the lines that the objects were made of.
        names: of the columns.
        single: those of them that may not be nested.
    """
    try:  # all at once, where all is text
        found = pa.array(objects, pa.struct([(name, pa.string()) for name in names]))
        return Table(pl.DataFrame([pl.Series(name, values) for name, values in zip(names, found.flatten(), strict=True)]))
    except pa.ArrowTypeError:
        return _mixed(objects, lines, names, single)


def _mixed(objects: Sequence[dict[str, Any]], lines: Sequence[str], names: list[str], single: Collection[str]) -> Table:
    unusable: dict[int, tuple[str, str]] = {}
    columns = []
    for name in names:
        values = [found.get(name) for found in objects]
        for at, value in enumerate(values):
            if isinstance(value, _NESTED):
                try:
                    values[at] = _json(_exactly(lines[at])[name])
                except RecursionError:
                    unusable.setdefault(at, (name, TOO_DEEP))
                    values[at] = None
                if name in single:
                    unusable.setdefault(at, (name, 'holds a list or a group of fields; a single value is wanted'))
            elif isinstance(value, bool):
                values[at] = _json(value)
        # Texts alone from here on: over lists that are nested a few hundred deep, polars thinks for minutes.
        columns.append(pl.Series(name, values, pl.String, strict=True))
    return Table(pl.DataFrame(columns), unusable)


def is_too_deep(text: str) -> bool:
    """Whether what a JSON text holds is nested deeper than is read; polars would end the process."""
    return decoded(text) == TOO_DEEP


def _exactly(line: str) -> Any:
    return _NUMBERS.raw_decode(line.strip(_BLANK))[0]


def _json(value: Any) -> str:
    """JSON of a value without blanks, numbers as they were spelled."""
    if isinstance(value, dict):
        return '{' + ','.join(f'{_json(name)}:{_json(inner)}' for name, inner in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ','.join(map(_json, value)) + ']'
    return str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)
