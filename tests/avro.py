"""Avro files as others write them."""

import io
from collections.abc import Iterable
from typing import Any

import fastavro

MICROS = {'type': 'long', 'logicalType': 'timestamp-micros'}
MONEY = {'type': 'bytes', 'logicalType': 'decimal', 'precision': 38, 'scale': 12}


def nullable(kind: Any) -> list[Any]:
    """As BigQuery writes a column that may be null."""
    return ['null', kind]


def record(fields: dict[str, Any], name: str = 'Root') -> dict[str, Any]:
    """A schema of records."""
    return {'type': 'record', 'name': name, 'fields': [{'name': field, 'type': kind} for field, kind in fields.items()]}


def written(schema: Any, rows: Iterable[dict[str, Any]], codec: str = 'deflate', sync_interval: int = 16_000) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    fastavro.writer(file, schema, rows, codec=codec, sync_interval=sync_interval)
    return file.getvalue()
