"""Gold as it is looked at: lines of ``gold.daily_summary`` and of each mart beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kly_mage.common.errors import LOAD, NotBuiltError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.marts import DAILY_SUMMARY, Joined, Mart, Measure, Ratio
from kly_mage.warehouse.gold import ARTICLE_KEY, BATCH_ROWS, DAY, Asked, Found, Kind, Rows, Table, columns, sorted_by
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.rollups import added_up
from kly_mage.warehouse.postgres.server import server
from kly_mage.warehouse.postgres.text import identifier

_KINDS: dict[int, Kind] = {1082: 'day', 1184: 'instant', 20: 'count', 1700: 'exact'}  # PostgreSQL's numbers of its types


Ask = Callable[[str, dict[str, Any]], Table]


def look_up(settings: Settings, table: Joined | Mart, asked: Asked, ask: Ask | None = None) -> Found | None:
    """The lines of a table of gold; None if it does not have the columns that are asked for.

    Names are those of the declarations, whatever is asked; days, article and limit are bound. ``ask`` runs the queries
    where that is not to be a session of our own.

    Raises:
        NotBuiltError: the table is not built yet.
        UsageError: the column to sort by is none of the answer.
    """
    found = columns(table, asked.by)
    if found is None or (asked.article is not None and ARTICLE_KEY not in table.key):
        return None
    texts, numbers = found
    values = {
        'start': asked.days.start if asked.days else '-infinity',
        'end': asked.days.end if asked.days else 'infinity',
        'article': asked.article,
        'limit': asked.limit,
    }
    within = f'{identifier(table.day.name)} between %(start)s and %(end)s'
    if asked.article is None and table == DAILY_SUMMARY and asked.by in (DAY, *DAILY_SUMMARY.grouped):
        within = 'from ' + added_up(texts[0], '%(start)s', '%(end)s')
    else:
        within = f'from {table.table} where {within}'
        within += f' and {identifier(ARTICLE_KEY)} = %(article)s' if asked.article is not None else ''
    sums = {measure.name: _sum(measure) for measure in table.measures}
    if isinstance(table, Joined):
        sums |= {ratio.name: _ratio(ratio) for ratio in table.ratios}
    group = ', '.join(map(identifier, texts))
    told = ', '.join(f'{sums[name]} as {identifier(name)}' for name in numbers)
    order = ', '.join(
        f'{identifier(name)} desc nulls last' if falls else identifier(name)
        for name, falls in sorted_by(table, asked, texts, numbers)
    )
    ask = ask or (lambda text, bound: _ask(settings, table.table, text, bound))
    if asked.by:  # one look at the table: the line of all of them is added up of lines, and comes before them
        added = ', '.join(f'{_sum(measure)} as {identifier(measure.name)}' for measure in table.measures)
        lines = f'select {group}, {added} {within} group by {group}'
        both = f'select {group}, {told}, count(*) as of_lines, grouping({identifier(texts[0])}) as is_all from line'
        ordered = f'select * from found order by is_all desc, {order} limit %(limit)s::bigint + 1'
        both = f'{both} group by grouping sets (({group}), ())'
        (everything, *rows) = ask(f'with line as ({lines}), found as ({both}) {ordered}', values).rows
        *amounts, rows_in_all, _ = everything[len(texts) :]
        rows = [row[:-2] for row in rows]
    else:
        plain = ', '.join(map(identifier, numbers))
        rows = ask(f'select {group}, {plain} {within} order by {order} limit %(limit)s', values).rows
        ((rows_in_all, *amounts),) = ask(f'select count(*), {told} {within}', values).rows
    return Found(table.table, texts, numbers, rows, rows_in_all, tuple(amounts))


@contextmanager
def stream(settings: Settings, table: Joined | Mart, days: Window | None) -> Iterator[tuple[dict[str, Kind], Rows]]:
    """All rows of a table of gold in the order of its key, as they were at one moment, some at a time.

    Returns:
        What each column holds, by its name, and the rows, a batch at a time.

    Raises:
        NotBuiltError: the table is not built yet.
    """
    texts, numbers = columns(table, None) or ((), ())
    values = {'start': days.start if days else '-infinity', 'end': days.end if days else 'infinity'}
    query = (
        f'select {", ".join(map(identifier, (*texts, *numbers)))} from {table.table}'
        f' where {identifier(table.day.name)} between %(start)s and %(end)s order by {", ".join(map(identifier, table.key))}'
    )
    reached = server(settings)
    ensure_schema(reached)
    with connect(reached) as connection:
        with connection.cursor() as cursor:
            _built(cursor, table.table)
        with connection.cursor('export') as cursor:  # a name keeps the rows in the server
            cursor.itersize = BATCH_ROWS
            cursor.execute(query, values)
            batch = cursor.fetchmany(BATCH_ROWS)
            kinds = {column.name: _KINDS.get(column.type_code, 'text') for column in cursor.description}
            yield kinds, _batches(cursor, batch)


def _batches(cursor: Any, batch: list[tuple[Any, ...]]) -> Rows:
    while batch:
        yield batch
        batch = cursor.fetchmany(BATCH_ROWS)


def _sum(measure: Measure) -> str:
    total = f'sum({identifier(measure.name)})'
    return f'{total}::bigint' if measure.unit == 'count' else total


def _ratio(ratio: Ratio) -> str:
    return f'round(sum({identifier(ratio.of)}) * {ratio.times} / nullif(sum({identifier(ratio.per)}), 0)::numeric, 6)'


def _ask(settings: Settings, table: str, query: str, values: dict[str, Any]) -> Table:
    reached = server(settings)
    ensure_schema(reached)
    with connect(reached) as connection, connection.cursor() as cursor:
        _built(cursor, table)
        cursor.execute(query, values)
        return Table([column.name for column in cursor.description], cursor.fetchall())


def _built(cursor: Any, table: str) -> None:
    cursor.execute('select to_regclass(%s) is not null', (table,))
    if not cursor.fetchone()[0]:
        raise NotBuiltError(f'{table} is not built yet: {LOAD}')
