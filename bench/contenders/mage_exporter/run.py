"""Load one file with Mage's stock exporter and bring the mart up to date: ``run.py HOST DATABASE FILE``.

What a block made from Mage's template does: a pandas frame, a hash column, ``Postgres.export`` that ignores known hashes.
"""

import hashlib
import sys

import pandas as pd
import psycopg2
from mage_ai.io.postgres import Postgres

HOST, DATABASE, FILE = sys.argv[1:]

frame = pd.read_csv(FILE, dtype=str, keep_default_na=False, na_values=[''])
text = frame.fillna('').agg('|'.join, axis=1)
frame['_hashrow'] = [hashlib.md5(row.encode(), usedforsecurity=False).hexdigest() for row in text]
frame = frame.drop_duplicates('_hashrow')
frame['event_timestamp'] = pd.to_datetime(frame['event_timestamp'], format='ISO8601')

with Postgres(dbname=DATABASE, user='postgres', password='none', host=HOST, port='5432', verbose=False) as loader:
    loader.export(
        frame,
        'bench',
        'events',
        index=False,
        if_exists='append',
        unique_constraints=['_hashrow'],
        unique_conflict_method='IGNORE',
    )

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
