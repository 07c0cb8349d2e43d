"""What a reconciliation leaves behind (``ops.file_checks``), and what it shows of gold."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.marts import MARTS
from kly_mage.warehouse.account import is_few
from kly_mage.warehouse.postgres import few_days
from kly_mage.warehouse.postgres.comparison import Comparison
from kly_mage.warehouse.postgres.reconciliation_view import query_of_days


def keep(of: Comparison, records: list[dict[str, object]]) -> None:
    """Replace what ``ops.file_checks`` has of this source and these days.

    Args:
        records: the columns of ``ops.file_checks``, one per day.
    """
    of.cursor.execute(
        sql.SQL('delete from ops.file_checks where source = %s and {}').format(of.days('day')), (of.source.name,)
    )
    of.cursor.execute(
        'insert into ops.file_checks select * from json_populate_recordset(null::ops.file_checks, %s)'
        ' on conflict (source, day) do nothing',
        (json.dumps(records),),
    )


def facts(
    connection: Connection, sources: list[str], window: Window | None
) -> dict[tuple[str, date | None], dict[str, Any]]:
    """The rows of ``gold.reconciliation`` by source and day; of a few days, of these alone."""
    view: sql.Composable = sql.SQL('gold.reconciliation')
    of_marts = [SOURCES[mart.source] for mart in MARTS]
    with connection.cursor() as cursor:
        if window and all(is_few(source, window) for source in of_marts):
            rows = {source.name: few_days.rows(cursor, source, window).as_string(cursor) for source in of_marts}
            view = sql.SQL(f'({query_of_days(window, rows)}) as reconciliation')
        cursor.execute(sql.SQL('select * from {} where source = any({})').format(view, sql.Literal(sources)))
        names = [column.name for column in cursor.description]
        return {(row[0], row[1]): dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def days(connection: Connection, window: Window | None) -> dict[str, dict[date, dict[str, Decimal]]]:
    """What each mart shows by day: its measures, summed up over its articles."""
    asked = window or Window(date.min, date.max)
    found: dict[str, dict[date, dict[str, Decimal]]] = {}
    with connection.cursor() as cursor:
        for mart in MARTS:
            measures = [measure.name for measure in mart.measures]
            cursor.execute(
                sql.SQL('select {day}, {sums} from {table} where {day} between %s and %s group by 1 order by 1').format(
                    day=sql.Identifier(mart.day.name),
                    sums=sql.SQL(', ').join(sql.SQL('sum({})').format(sql.Identifier(name)) for name in measures),
                    table=sql.SQL(mart.table),
                ),
                (asked.start, asked.end),
            )
            found[mart.name] = {
                day: dict(zip(measures, map(Decimal, numbers), strict=True)) for day, *numbers in cursor.fetchall()
            }
    return found
