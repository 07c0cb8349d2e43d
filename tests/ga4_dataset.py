"""GA4's data set in the emulator of BigQuery: its tables, of files of an export.

``python -m tests.ga4_dataset PROJECT FILE…`` makes ``PROJECT.analytics_1``; a file's name begins with that of its table.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.ga4_export import SCHEMA, Event, events

DATASET = 'analytics_1'
_NAMES = {pa.string(): 'STRING', pa.int64(): 'INTEGER', pa.float64(): 'FLOAT', pa.bool_(): 'BOOLEAN'}


def client(project: str) -> Any:
    """Google's client of the emulator that the environment names; the data set is there."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    found = bigquery.Client(project=project, credentials=AnonymousCredentials())
    found.create_dataset(DATASET, exists_ok=True, timeout=20)
    return found


def fill(project: str, table: str, rows: list[Event]) -> None:
    """Have a table with these events, whatever was in it."""
    from google.cloud import bigquery

    config = bigquery.LoadJobConfig(
        schema=[_field(part.name, part.type) for part in SCHEMA],
        source_format='NEWLINE_DELIMITED_JSON',
        ignore_unknown_values=True,
        write_disposition='WRITE_TRUNCATE',
    )
    lines = '\n'.join(map(json.dumps, rows)).encode()
    client(project).load_table_from_file(
        io.BytesIO(lines), f'{project}.{DATASET}.{table}', job_config=config, timeout=60
    ).result(timeout=60)


def _field(name: str, kind: Any) -> Any:
    from google.cloud import bigquery

    repeated = pa.types.is_list(kind)
    kind = kind.value_type if repeated else kind
    inner = [_field(part.name, part.type) for part in kind] if pa.types.is_struct(kind) else ()
    mode = 'REPEATED' if repeated else 'NULLABLE'
    return bigquery.SchemaField(name, 'RECORD' if inner else _NAMES[kind], mode, fields=inner)


if __name__ == '__main__':
    for path in map(Path, sys.argv[2:]):
        fill(sys.argv[1], path.name.partition('.')[0], events(path))
