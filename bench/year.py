"""A year of thirty publishers of the sample's size, made from its month inside the server: a row has 30 copies in 12 months.

A copy has articles, persons and hashes of its own; what is not set stays so, and its numbers are added up. Each day was
loaded the day after, so that bronze lies in 372 partitions a source as a trigger would have left it. What no page reads is
left out: the registries of events' hashes and of counted sessions.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from bench.contestants import database
from kly_mage.declared import SOURCES

COPIES, MONTHS, DAYS = 30, 12, 31
FIRST, LAST = date(2025, 10, 1), date(2025, 10, 31)  # of the sample
_FUNCTIONS = """
    create function pg_temp.later(day date, month int) returns date stable return day + {later} + {days} * month;
    create function pg_temp.later(moment timestamptz, month int) returns timestamptz stable
        return moment + make_interval(days => {later} + {days} * month);
    create function pg_temp.day_of(file text) returns date stable
        return to_date(substring(file from '[0-9]{{8}}'), 'YYYYMMDD');
    create function pg_temp.later(file text, month int) returns text stable return regexp_replace(
        file, '[0-9]{{8}}', to_char(pg_temp.later(pg_temp.day_of(file), month), 'YYYYMMDD'));
    create function pg_temp.stamp(day date) returns timestamptz stable
        return (day + 1)::timestamp at time zone 'UTC' + interval '30 minutes';
    create function pg_temp.load_of(source text, day date) returns bigint stable
        return (day - date '2020-01-01') * 3 + case source when 'cms_articles' then 0 when 'ga4_events' then 1 else 2 end;
    create function pg_temp.id_of(content_id text, copy int, month int) returns text stable
        return case when content_id in ('', '(not set)') then content_id else content_id || '.' || month || '.' || copy end;
    -- Hashes begin with the day of their row, which keeps a registry's look-ups together.
    create function pg_temp.hash_of(hash uuid, copy int, month int) returns uuid stable return (
        case
            when hash::text like '0%' then substr(hash::text, 1, 8)
            else to_char(pg_temp.later(pg_temp.day_of(hash::text), month), 'YYYYMMDD')
        end || substr(md5(hash::text || month || '.' || copy), 9))::uuid;
"""


def _later(*columns: str) -> dict[str, str]:
    return {column: f'pg_temp.later({column}, month)' for column in columns}


def _times(*columns: str) -> dict[str, str]:
    return {column: f'{column} * {COPIES}' for column in columns}


def _row(source: str, day: str) -> dict[str, str]:
    """What the rows of a source have in common; ``day`` is that of the file that brought them."""
    return _later('_partition_date', '_delivered_at', '_file', '_file_day') | {
        'content_id': 'pg_temp.id_of(content_id, copy, month)',
        '_hashrow': 'pg_temp.hash_of(_hashrow, copy, month)',
        '_created_at': f'pg_temp.stamp(pg_temp.later({day}, month))',
        '_updated_at': f'pg_temp.stamp(pg_temp.later({day}, month))',
        '_load_id': f"pg_temp.load_of('{source}', pg_temp.later({day}, month))",
    }


_GA4 = _row('ga4_events', '_partition_date') | _later('event_timestamp')
_GA4 |= {'user_pseudo_id': "user_pseudo_id || '.' || copy", '_hashrow': "md5(_hashrow::text || month || '.' || copy)::uuid"}
_GAM = _row('gam_delivery', '_partition_date') | _later('served_at')
_CMS = _row('cms_articles', f"greatest(_partition_date, date '{FIRST}')") | _later('publish_timestamp')
_DELIVERED = {column: _GAM[column] for column in ('_hashrow', '_delivered_at', '_file')}
_FILE = _later('file') | {'load_id': 'pg_temp.load_of(source, pg_temp.later(pg_temp.day_of(file), month))'}
_ARTICLE = {'content_id': 'pg_temp.id_of(content_id, copy, month)'} | {
    name: f"{name} * case when content_id = '(not set)' then {COPIES} else 1 end"
    for name in ('pageviews', 'sessions', 'user_engagements', 'impressions', 'clicks', 'revenue_usd')
}
_EACH, _ONCE, _SET = 'true', 'copy = 0', "content_id <> '(not set)' or copy = 0"
# Table, which copies have a row, and the columns that differ in them.
_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    'bronze.ga4_events': (_EACH, _GA4),
    'bronze.gam_delivery': (_EACH, _GAM),
    'bronze.gam_delivery_hashrow': (_EACH, _DELIVERED),
    'bronze.gam_delivery_conflicts': (_EACH, _GAM),
    'bronze.cms_articles': (_EACH, _CMS),
    'bronze.cms_articles_hashrow': (_EACH, _DELIVERED),
    'bronze.rejects': (
        _EACH,
        _FILE | _later('day', 'file_day') | {'reject_id': "md5(reject_id::text || month || '.' || copy)::uuid"},
    ),
    'gold.ga4_daily_summary': (_SET, _ARTICLE | _later('event_date')),
    'gold.gam_daily_summary': (_SET, _ARTICLE | _later('served_date')),
    'gold.daily_summary_rows': (_SET, _ARTICLE | _later('date', 'publish_timestamp')),
    'ops.files': (_ONCE, _FILE | _later('modified_at') | _times('size') | {'held': 'null', 'registry': 'null'}),
    'ops.file_days': (_ONCE, _FILE | _later('day') | _times('rows', 'money')),
    # Articles are checked on the day they were published, which may be long before.
    'ops.file_checks': (
        f"copy = 0 and (month = 0 or day between '{FIRST}' and '{LAST}')",
        _later('day') | _times('rows_in_files', 'revenue_in_files'),
    ),
}
_BIGGEST = 'bronze.ga4_events'
_COUNTS = ('rows_read', 'rows_duplicate', 'rows_new', 'rows_already_loaded', 'rows_rejected', 'rows_conflicting')
_LOADS = f"""
    create temp table days as
        select load.source, day.* from ops.load_days as day inner join ops.loads as load using (load_id)
        where day.day between '{FIRST}' and '{LAST}';
    set session_replication_role = replica;  -- tables go one after the other
    delete from ops.load_rules; delete from ops.load_outside; delete from ops.load_days; delete from ops.loads;
    insert into ops.loads
        (load_id, source, start_day, end_day, status, started_at, finished_at, started_by, files, {', '.join(_COUNTS)})
    overriding system value
    select
        pg_temp.load_of(source, at), source, at, at, 'done', pg_temp.stamp(at) - interval '9 seconds', pg_temp.stamp(at),
        'bench', jsonb_build_array(jsonb_build_object(
            'file', format('%s/%s_%s.csv', source, source, to_char(at, 'YYYYMMDD')), 'size', 900000, 'modified_at', at)),
        {', '.join(_times(*_COUNTS).values())}
    from days, generate_series(0, {MONTHS - 1}) as month, pg_temp.later(day, month) as at;
    insert into ops.load_days (load_id, day, {', '.join(_COUNTS)})
    select pg_temp.load_of(source, at), at, {', '.join(_times(*_COUNTS).values())}
    from days, generate_series(0, {MONTHS - 1}) as month, pg_temp.later(day, month) as at;
"""


def multiply(host: str, name: str, last: date) -> None:
    """Put the year in the place of the sample, which the database holds.

    Args:
        host: of the server.
        name: of the database.
        last: the year's last day.
    """
    shift = (last - LAST).days - DAYS * (MONTHS - 1)
    functions = _FUNCTIONS.format(later=f'({shift})', days=DAYS)
    with database(host, name) as connection, connection.cursor() as cursor:
        for source in SOURCES:
            for n in range(MONTHS * DAYS + 1):
                day = last - timedelta(days=n - 1)
                cursor.execute(
                    f'create table if not exists bronze.{source}_{day:%Y%m%d} partition of bronze.{source}'
                    f" for values from ('{day} 00:00:00+00') to ('{day + timedelta(days=1)} 00:00:00+00')"
                )
        cursor.execute(functions + _LOADS)

    def copy(tables: list[str]) -> None:
        with database(host, name) as connection, connection.cursor() as cursor:
            cursor.execute(functions + 'set session_replication_role = replica')
            for table in tables:
                began = time.monotonic()
                rows = _copy(cursor, table, *_TABLES[table])
                sys.stderr.write(f'{table}: {rows:,} rows, {time.monotonic() - began:.0f} s\n')

    with ThreadPoolExecutor() as pool:
        list(pool.map(copy, [[_BIGGEST], [table for table in _TABLES if table != _BIGGEST]]))
    with database(host, name) as connection, connection.cursor() as cursor:
        cursor.execute('select ops.fill_rollups()')
        cursor.execute('truncate gold.gam_daily_ads, gold.gam_monthly_ads')
        cursor.execute("select ops.add_up_gam_delivery('-infinity', 'infinity')")
        cursor.execute('vacuum analyze')


def _copy(cursor: Cursor, table: str, copies: str, changed: dict[str, str]) -> int:
    """Exchange the rows of a table for their copies; gives how many these are."""
    name = sql.SQL(table)
    cursor.execute(sql.SQL('create temp table original as table {0}; truncate {0}').format(name))
    cursor.execute(
        'select array_agg(attname::text order by attnum) from pg_attribute'
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped and attidentity = '' and attgenerated = ''",
        (table,),
    )
    (columns,) = cursor.fetchone()
    cursor.execute(
        sql.SQL(
            'insert into {table} ({columns}) select {values} from generate_series(0, {months}) as month,'
            ' generate_series(0, {copies}) as copy, original where {which}'
        ).format(
            table=name,
            columns=sql.SQL(', ').join(map(sql.Identifier, columns)),
            values=sql.SQL(', ').join(sql.SQL(changed.get(column, f'"{column}"')) for column in columns),
            months=sql.Literal(MONTHS - 1),
            copies=sql.Literal(COPIES - 1),
            which=sql.SQL(copies),
        )
    )
    written = cursor.rowcount
    cursor.execute('drop table original')
    return written
