"""Load one file with dlt and bring the mart up to date: ``run.py STRATEGY HOST DATABASE FILE``.

Given the best that dlt offers for rows that are to be inserted once: Arrow tables instead of dicts, hashing done by DuckDB,
COPY of CSV files, merge by primary key with dlt's default strategy or one that only inserts.
"""

import os
import sys
import tempfile
from urllib.parse import quote

os.environ |= {
    'RUNTIME__DLTHUB_TELEMETRY': 'false',
    'RUNTIME__LOG_LEVEL': 'ERROR',
    'DATA_WRITER__DISABLE_COMPRESSION': 'true',
}

import dlt
import duckdb
import psycopg2

STRATEGY, HOST, DATABASE, FILE = sys.argv[1:]


@dlt.resource(
    name='events',
    primary_key='_hashrow',
    write_disposition={'disposition': 'merge', 'strategy': STRATEGY},
    columns={'_hashrow': {'data_type': 'text', 'nullable': False}},
)
def events():
    """The file's rows with their hash."""
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


with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        'bench',
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(
            {'host': quote(HOST, safe=''), 'port': 5432, 'database': DATABASE, 'username': 'postgres', 'password': 'none'}
        ),
        dataset_name='bench',
    )
    pipeline.run(events(), loader_file_format='csv')

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
