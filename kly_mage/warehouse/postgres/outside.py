"""``ops.load_outside``: rows that no load takes, because their day is not one their file may hold (``landing.outside``)."""

import json
from collections.abc import Iterable

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.declared.base import Source
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.outside import Outside
from kly_mage.warehouse.postgres.connection import connect


def note(cursor: Cursor, load_id: int, counts: Counts) -> None:
    """Write down what a load has met, in its transaction."""
    found = [
        {'file': file, 'day': day.isoformat(), 'rows': rows, 'money': None if money is None else str(money)}
        for (file, day), (rows, money) in counts.outside.items()
    ]
    cursor.execute(
        'insert into ops.load_outside (load_id, file, day, rows, money)'
        ' select %s, file, day, rows, money from json_populate_recordset(null::ops.load_outside, %s)',
        (load_id, json.dumps(found)),
    )


def of_loads(settings: Settings, load_ids: Iterable[int]) -> list[Outside]:
    """What these loads met, by file."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'select file, sum(rows)::bigint, min(day), max(day), trim_scale(sum(money)) from ops.load_outside'
            ' where load_id = any(%s) group by file order by file',
            (list(load_ids),),
        )
        return [Outside(*told) for told in cursor.fetchall()]


def by_load(cursor: Cursor, source: Source) -> dict[int, list[Outside]]:
    """What all loads of a source met, by load and file."""
    cursor.execute(
        'select load_id, file, sum(rows)::bigint, min(day), max(day), trim_scale(sum(money))'
        ' from ops.load_outside inner join ops.loads using (load_id) where source = %s group by load_id, file order by file',
        (source.name,),
    )
    found: dict[int, list[Outside]] = {}
    for load_id, *told in cursor.fetchall():
        found.setdefault(load_id, []).append(Outside(*told))
    return found
