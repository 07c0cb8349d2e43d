"""``show``: the rows of ``gold.daily_summary`` with the most pageviews, and the totals."""

import argparse
import sys
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.server import server

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


def run(options: argparse.Namespace) -> int:
    """Print both. Sessions add up per article: a session that reads two articles counts on both."""
    settings = server(load_settings())
    ensure_schema(settings)
    days = {'start': options.start or '-infinity', 'end': options.end or 'infinity'}
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('gold.daily_summary') is not null")
        if not cursor.fetchone()[0]:
            raise WarehouseError('gold.daily_summary is not built yet: run a backfill first')
        cursor.execute(_ROWS, days)
        names, rows = [column.name for column in cursor.description], cursor.fetchall()
        cursor.execute(_TOTALS, days)
        totals = cursor.fetchone()
    table = Table(title='gold.daily_summary, most read', title_justify='left', box=None, pad_edge=False)
    for name in names:
        number = names.index(name) > 2
        table.add_column(name, justify='right' if number else 'left', no_wrap=True, max_width=None if number else 26)
    for row in rows:
        table.add_row(*map(_cell, row))
    table.add_section()
    table.add_row(*map(_cell, totals))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def _cell(value: object) -> str:
    if value is None:
        return ''
    return f'{value:,}' if isinstance(value, int | Decimal) else str(value)
