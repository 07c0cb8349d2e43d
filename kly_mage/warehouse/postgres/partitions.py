"""Partitions of bronze by the day of ingestion: one per day while a month lasts, one per month afterwards if somebody packs.

A look at all of a table locks each of its partitions and their indexes, and PostgreSQL's table of locks has a fixed size:
three years of days of three sources are 6,600 locks, and 6,400 is what a server has room for as it is installed.
"""

import logging
from datetime import date, timedelta
from functools import partial

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.tables import bronze_table, table_columns

logger = logging.getLogger('kly_mage')
LOCKS_EACH = 2  # a partition and its index
OTHER_LOCKS = 200  # tables, indexes and sessions beside bronze


def warn_if_crowded(cursor: Cursor) -> None:
    """Say in time that a look at all of bronze will soon need more locks than the server has room for.

    Half of the room is left for loads, refreshes and whoever else reads.
    """
    cursor.execute(
        "select current_setting('max_locks_per_transaction')::int"
        " * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int),"
        ' (select count(*) from pg_inherits where inhparent = any(%s::regclass[]))',
        ([f'bronze.{name}' for name in SOURCES],),
    )
    room, partitions = cursor.fetchone()
    needed = OTHER_LOCKS + LOCKS_EACH * partitions
    if needed > room // 2:
        logger.warning(
            'a look at all %s partitions of bronze takes some %s locks, and this server has room for %s: run '
            '`python -m kly_mage pack`, which puts the days of past months together, or raise max_locks_per_transaction',
            *(f'{number:,}' for number in (partitions, needed, room)),
        )


def pack(settings: Settings, source: Source) -> list[date]:
    """Put the day partitions of each past month into one of that month, a transaction each; gives the months.

    Rows stay as they are. Loads and refreshes of the source wait meanwhile, and whoever else packs; readers go on until the
    tables are exchanged.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        months = _past_months(cursor, source)
    return [month for month in months if retrying(partial(_pack_month, settings, source, month))]


def _pack_month(settings: Settings, source: Source, month: date) -> bool:
    """Pack one month, unless somebody else has done it meanwhile."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL('lock table only {} in share row exclusive mode').format(bronze_table(source)))
        if is_due := month in _past_months(cursor, source):
            _pack(cursor, source, month)
        return is_due


def _past_months(cursor: Cursor, source: Source) -> list[date]:
    """Months with partitions of days into which no stamp of a load falls any more."""
    cursor.execute(
        "select date_trunc('month', greatest(clock_timestamp(), max(watermark)) at time zone 'UTC')::date"
        ' from ops.watermarks where isfinite(watermark)'
    )
    (current,) = cursor.fetchone()
    days = (date.fromisoformat(name[-8:]) for name in _days(cursor, source, '[0-9]{8}'))
    return sorted({day.replace(day=1) for day in days if day < current})


def _days(cursor: Cursor, source: Source, digits: str) -> list[str]:
    """The partitions of single days; ``digits`` is a pattern for those of their date.

    Not ``pg_partition_tree``: it locks each partition without the table above, and who packs and who asks what there is to
    pack would wait for one another.
    """
    cursor.execute(
        'select leaf.relname from pg_inherits inner join pg_class as leaf on pg_inherits.inhrelid = leaf.oid'
        ' where pg_inherits.inhparent = %s::regclass and leaf.relname ~ %s order by leaf.relname',
        (f'bronze.{source.name}', f'^{source.name}_{digits}$'),
    )
    return [name for (name,) in cursor.fetchall()]


def _pack(cursor: Cursor, source: Source, month: date) -> None:
    following = (month + timedelta(days=31)).replace(day=1)
    parent, columns = bronze_table(source), table_columns(cursor, source)
    parts = {
        'parent': parent,
        'packed': sql.SQL('bronze.{}').format(sql.Identifier(f'{source.name}_{month:%Y%m}')),
        'columns': sql.SQL(', ').join(map(sql.Identifier, columns)),
        'start': sql.Literal(f'{month} 00:00:00+00'),
        'end': sql.Literal(f'{following} 00:00:00+00'),
        'comment': sql.Literal(f'Rows of {source.name} ingested in {month:%Y-%m} (UTC).'),
    }
    # The check says what the bounds will say: attached with it, the table is not read once more.
    cursor.execute(
        sql.SQL(
            'create table {packed} (like {parent} including defaults including constraints including indexes,'
            '    constraint bounds check ('
            '        _updated_at is not null'
            '        and _updated_at >= {start}::timestamptz and _updated_at < {end}::timestamptz'
            '    )'
            ');'
            'comment on table {packed} is {comment};'
            'insert into {packed} ({columns}) select {columns} from {parent}'
            ' where _updated_at >= {start}::timestamptz and _updated_at < {end}::timestamptz order by _updated_at'
        ).format(**parts)
    )
    for name in _days(cursor, source, f'{month:%Y%m}[0-9]{{2}}'):
        day = sql.SQL('bronze.{}').format(sql.Identifier(name))
        cursor.execute(
            sql.SQL('alter table {parent} detach partition {day}; drop table {day}').format(parent=parent, day=day)
        )
    cursor.execute(
        sql.SQL(
            'alter table {parent} attach partition {packed} for values from ({start}) to ({end});'
            'alter table {packed} drop constraint bounds;'
            'analyze {packed}'
        ).format(**parts)
    )
