"""Gold as it is looked at: the top rows of ``gold.daily_summary`` and of each mart beside it, and the editor's charts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kly_mage.common.errors import NotBuiltError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.marts import DAILY_SUMMARY, Mart, Ratio, joined_measures
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.server import server
from kly_mage.warehouse.postgres.text import identifier


@dataclass(frozen=True)
class Table:
    """The rows of a query, and the names of its columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def top_rows(settings: Settings, days: Window | None, limit: int = 8) -> tuple[Table, tuple[Any, ...]]:
    """The rows of ``gold.daily_summary`` with the highest first measure, and the totals of all rows of these days.

    Distinct keys such as sessions add up per article: a session that reads two articles counts on both.

    Raises:
        NotBuiltError: the view is not built yet.
    """
    ratios = {ratio.name: _ratio(ratio) for ratio in DAILY_SUMMARY.ratios}
    numbers = {measure.name: f'sum({identifier(measure.name)})' for measure in joined_measures()} | ratios
    return _top(settings, DAILY_SUMMARY.table, DAILY_SUMMARY.key, DAILY_SUMMARY.shown, numbers, days, limit)


def top_rows_of(settings: Settings, mart: Mart, days: Window | None, limit: int = 8) -> tuple[Table, tuple[Any, ...]]:
    """The same of a mart that stands beside that view."""
    numbers = {measure.name: f'sum({identifier(measure.name)})' for measure in mart.measures}
    return _top(settings, mart.table, mart.key, tuple(numbers), numbers, days, limit)


def _top(
    settings: Settings,
    table: str,
    key: tuple[str, ...],
    shown: tuple[str, ...],
    numbers: dict[str, str],
    days: Window | None,
    limit: int,
) -> tuple[Table, tuple[Any, ...]]:
    """The rows with the highest of the first number shown, and below each number what it amounts to over all rows."""
    asked = {'start': days.start if days else '-infinity', 'end': days.end if days else 'infinity', 'limit': limit}
    names = ', '.join(map(identifier, (*key, *shown)))
    within = f'from {table} where {identifier(key[0])} between %(start)s and %(end)s'
    first = identifier(next(name for name in shown if name in numbers))
    order = ', '.join(map(identifier, key))
    rows = _ask(settings, table, f'select {names} {within} order by {first} desc, {order} limit %(limit)s', asked)
    others = [name for name in (*key[1:], *shown) if name not in numbers]
    # The words stand below what is no number: at the left "in all", at the right the rows.
    words = [
        "'in all'",
        *("''" for _ in others[1:]),
        "trim(to_char(count(*), '999,999,999,999')) || case count(*) when 1 then ' row' else ' rows' end",
    ]
    totals = _ask(
        settings, table, f'select {", ".join((*words, *(numbers[n] for n in shown if n in numbers)))} {within}', asked
    )
    return rows, totals.rows[0]


def _ratio(ratio: Ratio) -> str:
    return f'round(sum({identifier(ratio.of)}) * {ratio.times} / nullif(sum({identifier(ratio.per)}), 0)::numeric, 6)'


def chart(settings: Settings, name: str) -> Table:
    """What a chart of the editor draws: the rows of the query in ``charts/NAME.sql``.

    Raises:
        NotBuiltError: the view is not built yet.
    """
    return _ask(settings, DAILY_SUMMARY.table, (Path(__file__).parent / 'charts' / f'{name}.sql').read_text('utf-8'))


def _ask(settings: Settings, table: str, query: str, values: dict[str, Any] | None = None) -> Table:
    reached = server(settings)
    ensure_schema(reached)
    with connect(reached) as connection, connection.cursor() as cursor:
        cursor.execute('select to_regclass(%s) is not null', (table,))
        if not cursor.fetchone()[0]:
            raise NotBuiltError(f'{table} is not built yet: run a backfill first')
        cursor.execute(query, values)
        return Table([column.name for column in cursor.description], cursor.fetchall())
