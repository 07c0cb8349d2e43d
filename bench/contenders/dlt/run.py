"""Load one file with dlt and bring the mart up to date: ``run.py WAY HOST DATABASE FILE``.

Two ways at dlt's best for rows that are to be inserted once, ``delete-insert`` (its default strategy of merging) and
``insert-only``: Arrow tables instead of dicts, hashing done by DuckDB, COPY of CSV files. And ``filesystem``, the way its
documentation loads CSV files.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ |= {
    'RUNTIME__DLTHUB_TELEMETRY': 'false',
    'RUNTIME__LOG_LEVEL': 'ERROR',
    'DATA_WRITER__DISABLE_COMPRESSION': 'true',
}

import dlt
import duckdb
import psycopg2
from dlt.sources.filesystem import filesystem, read_csv

WAY, HOST, DATABASE, FILE = sys.argv[1:]


def rows() -> Iterator[Any]:
    """The file's distinct rows with their hash, as Arrow."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    found = connection.execute(
        """
        select distinct
            event_timestamp::timestamptz as event_timestamp, * exclude (event_timestamp),
            md5(concat_ws('|', coalesce(event_timestamp, ''), coalesce(event_name, ''), coalesce(user_pseudo_id, ''),
                coalesce(session_id, ''), coalesce(content_id, ''), coalesce(site, ''), coalesce(page_location, ''),
                coalesce(device_category, ''), coalesce(country, ''), coalesce(traffic_source, ''))) as _hashrow
        from read_csv(?, all_varchar = true, header = true)
        """,
        [FILE],
    )
    yield from found.to_arrow_reader(100_000)


def hashed(row: dict[str, str]) -> dict[str, str | None]:
    """The row with its hash."""
    digest = hashlib.md5('|'.join(row.values()).encode()).hexdigest()
    return {name: value or None for name, value in row.items()} | {'_hashrow': digest}


def events() -> Any:
    """The rows as dlt takes them, to be merged by their hash."""
    hints: dict[str, Any] = {'primary_key': '_hashrow', 'columns': {'_hashrow': {'data_type': 'text', 'nullable': False}}}
    if WAY != 'filesystem':
        return dlt.resource(rows, name='events', write_disposition={'disposition': 'merge', 'strategy': WAY}, **hints)
    file = Path(FILE)
    found = filesystem(file.parent.as_uri(), file_glob=file.name) | read_csv(dtype=str, keep_default_na=False)
    hints['columns']['event_timestamp'] = {'data_type': 'timestamp'}
    return found.add_map(hashed).with_name('events').apply_hints(write_disposition='merge', **hints)


with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        'bench',
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(
            {'host': quote(HOST, safe=''), 'port': 5432, 'database': DATABASE, 'username': 'postgres', 'password': 'none'}
        ),
        dataset_name='bench',
    )
    pipeline.run(events(), loader_file_format=None if WAY == 'filesystem' else 'csv')

with psycopg2.connect(host=HOST, dbname=DATABASE, user='postgres') as connection, connection.cursor() as cursor:
    cursor.execute(
        """
        drop table if exists bench.mart;
        create table bench.mart as
        select
            (event_timestamp at time zone 'Asia/Jakarta')::date as event_date,
            coalesce(content_id, '(not set)') as content_id,
            count(*) filter (where event_name = 'page_view') as pageviews,
            count(distinct (user_pseudo_id, session_id))
                filter (where user_pseudo_id is not null and session_id is not null) as sessions,
            count(*) filter (where event_name = 'user_engagement') as user_engagements
        from bench.events group by 1, 2
        """
    )
