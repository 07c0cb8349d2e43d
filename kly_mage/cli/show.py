"""``show``: the rows of ``gold.daily_summary`` with the most pageviews, and the totals."""

import argparse
from decimal import Decimal

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, window
from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, say_table
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.server import server

TEXT_CHARACTERS = 26  # of a title
_ROWS = """
select date, content_id, title, pageviews, sessions, impressions, clicks, revenue_usd, page_rpm_usd
from gold.daily_summary
where date between %(start)s and %(end)s
order by pageviews desc, date, content_id
limit 8
"""
_TOTALS = """
select 'in all', '', count(*) || ' rows', sum(pageviews), sum(sessions), sum(impressions), sum(clicks), sum(revenue_usd),
    round(sum(revenue_usd) * 1000 / nullif(sum(pageviews), 0), 6)
from gold.daily_summary
where date between %(start)s and %(end)s
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The days; without any, all."""
    add_days(parser)


def run(options: argparse.Namespace) -> int:
    """Print both. Sessions add up per article: a session that reads two articles counts on both."""
    asked = window(options)
    settings = server(load_settings())
    ensure_schema(settings)
    days = {'start': asked.start if asked else '-infinity', 'end': asked.end if asked else 'infinity'}
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('gold.daily_summary') is not null")
        if not cursor.fetchone()[0]:
            raise WarehouseError('gold.daily_summary is not built yet: run a backfill first')
        cursor.execute(_ROWS, days)
        names, rows = [column.name for column in cursor.description], cursor.fetchall()
        cursor.execute(_TOTALS, days)
        totals = cursor.fetchone()
    columns = [Column(name, right=n > 2, cut=None if n > 2 else TEXT_CHARACTERS) for n, name in enumerate(names)]
    cells = [[_cell(value) for value in row] for row in rows]
    say_table(columns, cells, title='gold.daily_summary, most read', totals=[_cell(value) for value in totals], ruled=False)
    return DONE


def _cell(value: object) -> str:
    if value is None:
        return ''
    return f'{value:,}' if isinstance(value, int | Decimal) else str(value)
