"""``gold.daily_summary`` as it is looked at: the most read rows, and the editor's charts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kly_mage.common.errors import NotBuiltError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.server import server

_MOST_READ = """
select date, content_id, title, pageviews, sessions, impressions, clicks, revenue_usd, page_rpm_usd
from gold.daily_summary
where date between %(start)s and %(end)s
order by pageviews desc, date, content_id
limit %(limit)s
"""
_TOTALS = """
select 'in all', '', count(*) || ' rows', sum(pageviews), sum(sessions), sum(impressions), sum(clicks), sum(revenue_usd),
    round(sum(revenue_usd) * 1000 / nullif(sum(pageviews), 0), 6)
from gold.daily_summary
where date between %(start)s and %(end)s
"""


@dataclass(frozen=True)
class Table:
    """The rows of a query, and the names of its columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def most_read(settings: Settings, days: Window | None, limit: int = 8) -> tuple[Table, tuple[Any, ...]]:
    """The rows with the most pageviews, and the totals of all rows of these days under the same columns.

    Sessions add up per article: a session that reads two articles counts on both.

    Raises:
        NotBuiltError: the view is not built yet.
    """
    asked = {'start': days.start if days else '-infinity', 'end': days.end if days else 'infinity', 'limit': limit}
    return _ask(settings, _MOST_READ, asked), _ask(settings, _TOTALS, asked).rows[0]


def chart(settings: Settings, name: str) -> Table:
    """What a chart of the editor draws: the rows of the query in ``charts/NAME.sql``.

    Raises:
        NotBuiltError: the view is not built yet.
    """
    return _ask(settings, (Path(__file__).parent / 'charts' / f'{name}.sql').read_text('utf-8'))


def _ask(settings: Settings, query: str, values: dict[str, Any] | None = None) -> Table:
    reached = server(settings)
    ensure_schema(reached)
    with connect(reached) as connection, connection.cursor() as cursor:
        cursor.execute('select to_regclass(%s) is not null', (DAILY_SUMMARY.table,))
        if not cursor.fetchone()[0]:
            raise NotBuiltError(f'{DAILY_SUMMARY.table} is not built yet: run a backfill first')
        cursor.execute(query, values)
        return Table([column.name for column in cursor.description], cursor.fetchall())
