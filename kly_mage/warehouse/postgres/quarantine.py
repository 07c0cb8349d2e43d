"""The rows of one load that cannot be used, on their way into ``bronze.rejects``."""

from datetime import date

import polars as pl
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.landing.files import day_in_name
from kly_mage.warehouse.postgres.copy import copy


class Quarantine:
    """The rejects of one load.

    They are put aside while the load reads, and written at its end: rejects without a day are shared by loads of any days.

    Args:
        cursor: the load's transaction.
    """

    def __init__(self, cursor: Cursor, source: Source, load_id: int) -> None:
        self.cursor, self.source, self.load_id = cursor, source, load_id
        self.is_empty = True

    def add(self, rows: pl.DataFrame) -> None:
        """Put rejected rows aside: ``_file``, ``_line``, ``_reject`` (``casting.cast``) and ``_partition_date`` of each."""
        if not rows.height:
            return
        if self.is_empty:
            self.is_empty = False
            self.cursor.execute(
                'create temp table incoming_rejects (file text, line bigint, reject text, day date, file_day date,'
                " reject_id uuid generated always as (md5(file || e'\\x1f' || line || e'\\x1f' || reject)::uuid) stored"
                ') on commit drop'
            )
        days = {name: day_in_name(self.source, name) for name in rows['_file'].unique()}
        told = rows.select(
            pl.col('_file').alias('file'),
            pl.col('_line').alias('line'),
            pl.col('_reject').alias('reject'),
            pl.col('_partition_date').alias('day'),
            pl.col('_file').replace_strict(days, return_dtype=pl.Date).alias('file_day'),
        )
        copy(self.cursor, told, 'incoming_rejects (file, line, reject, day, file_day)')

    def finish(self) -> dict[tuple[str, date | None], int]:
        """Write those that are not known, in an order all loads keep.

        Returns:
            How many somebody has accepted before, by file and day of the row.

        A row that was repaired, and came back broken, waits again.
        """
        if self.is_empty:
            return {}
        self.cursor.execute('analyze incoming_rejects')
        source = {'source': self.source.name, 'load_id': self.load_id}
        self.cursor.execute(
            """
            insert into bronze.rejects
                (source, reject_id, file, line, column_name, value, reason, row, day, load_id, file_day)
            select
                %(source)s,
                reject_id,
                file,
                line,
                said ->> 'column',
                said ->> 'value',
                said ->> 'reason',
                said -> 'row',
                day,
                %(load_id)s,
                file_day
            from incoming_rejects as incoming
            cross join lateral (select reject::jsonb as said offset 0) as parsed  -- taken apart once, not four times
            where not exists (
                select from bronze.rejects as known where known.source = %(source)s and known.reject_id = incoming.reject_id
            )
            order by reject_id
            on conflict (source, reject_id) do nothing
            """,
            source,
        )
        self.cursor.execute(
            'update bronze.rejects as known set resolved_at = null from incoming_rejects as incoming'
            ' where known.source = %(source)s and known.reject_id = incoming.reject_id and known.resolved_at is not null',
            source,
        )
        self.cursor.execute(
            'select known.file, known.day, count(*)'
            ' from bronze.rejects as known inner join incoming_rejects as incoming using (reject_id)'
            ' where known.source = %(source)s and known.accepted_at is not null group by known.file, known.day',
            source,
        )
        return {(file, day): count for file, day, count in self.cursor.fetchall()}
