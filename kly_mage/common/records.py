"""What commands give to programs: one JSON document, whose shapes are in docs/json.md."""

import json
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal

from kly_mage.common.console import document, document_in_parts


def say_json(record: object) -> None:
    """Write the document: days and instants in ISO 8601, money as text with all its digits."""
    document(json.dumps(record, default=plain))


def say_json_rows(record: dict[str, object], name: str, rows: Iterable[object]) -> None:
    """Write the document ``record``, and in it under ``name`` a list that is written row by row, however long it is."""

    def parts() -> Iterator[str]:
        yield json.dumps(record | {name: []}, default=plain).removesuffix(']}')
        between = ''
        for row in rows:
            yield between + json.dumps(row, default=plain)
            between = ', '
        yield ']}'

    document_in_parts(parts())


def cell(value: object) -> object:
    """A value as it stands in CSV: nothing for None, what ``plain`` makes of a day, an instant or money."""
    return value if value is None or isinstance(value, str | int) else plain(value)


def plain(value: object) -> str:
    """A value as programs read it, exact and the same on every machine.

    Raises:
        TypeError: it has no such form.
    """
    if isinstance(value, Decimal):
        text = f'{value:f}'
        return text.rstrip('0').rstrip('.') if '.' in text else text
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f'{value!r} has no place in JSON')
