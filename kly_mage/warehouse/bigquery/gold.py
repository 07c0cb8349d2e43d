"""Gold as it is looked at, in GoogleSQL; what ``warehouse/postgres/summary.py`` asks of PostgreSQL."""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared.marts import Joined, Mart, Measure, Ratio
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.schema import RATIO_DIGITS
from kly_mage.warehouse.bigquery.text import identifier
from kly_mage.warehouse.gold import ARTICLE_KEY, BATCH_ROWS, Asked, Found, Kind, Rows, columns, sorted_by

_KINDS: Mapping[str, Kind] = {
    **{'DATE': 'day', 'TIMESTAMP': 'instant', 'INTEGER': 'count', 'INT64': 'count'},
    **{'NUMERIC': 'exact', 'BIGNUMERIC': 'exact'},
}


def look_up(client: Client, table: Joined | Mart, asked: Asked, what: str = 'show') -> Found | None:
    """The lines of a table of gold; None if it does not have the columns that are asked for.

    Names are those of the declarations, whatever is asked; days and the article are bound. ``what`` labels the jobs.

    Raises:
        UsageError: the column to sort by is none of the answer.
    """
    found = columns(table, asked.by)
    if found is None or (asked.article is not None and ARTICLE_KEY not in table.key):
        return None
    texts, numbers = found
    lines, totals, values = queries(table, asked, texts, numbers)
    ratios = {ratio.name for ratio in table.ratios} if isinstance(table, Joined) else set()
    rows = [plain(row, ratios) for row in client.run(lines, values, what=what)]
    (told,) = client.run(totals, values, what=what)
    rows_in_all, *amounts = plain({name.removeprefix('total_'): value for name, value in told.items()}, ratios)
    return Found(table.table, texts, numbers, rows, rows_in_all, tuple(amounts))


def stream(client: Client, table: Joined | Mart, days: Window | None) -> tuple[dict[str, Kind], Rows]:
    """All rows of a table of gold in the order of its key, some at a time, and what its columns hold."""
    texts, numbers = columns(table, None) or ((), ())
    values = {'start': days.start, 'end': days.end} if days else {}
    kinds, rows = client.stream(stream_query(table, days), values, what='export')
    ratios = {ratio.name for ratio in table.ratios} if isinstance(table, Joined) else set()
    held = {name: _KINDS.get(kinds[name], 'text') for name in (*texts, *numbers)}
    return held, _batches(plain(row, ratios) for row in rows)


def stream_query(table: Joined | Mart, days: Window | None) -> str:
    """The query of all rows of a table of gold."""
    texts, numbers = columns(table, None) or ((), ())
    within = f' where {identifier(table.day.name)} between @start and @end' if days else ''
    names, order = (', '.join(map(identifier, each)) for each in ((*texts, *numbers), table.key))
    return f'select {names} from {table.table}{within} order by {order}'


def _batches(rows: Iterator[tuple[Any, ...]]) -> Rows:
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch


def queries(
    table: Joined | Mart, asked: Asked, texts: tuple[str, ...], numbers: tuple[str, ...]
) -> tuple[str, str, dict[str, Any]]:
    """The query of the lines, that of their count and totals, and the values bound in both."""
    values: dict[str, Any] = {}
    within = f'from {table.table} where true'
    if asked.days:
        values |= {'start': asked.days.start, 'end': asked.days.end}
        within += f' and {identifier(table.day.name)} between @start and @end'
    if asked.article is not None:
        values['article'] = asked.article
        within += f' and {identifier(ARTICLE_KEY)} = @article'
    sums = {measure.name: _sum(measure) for measure in table.measures}
    if isinstance(table, Joined):
        sums |= {ratio.name: _ratio(ratio) for ratio in table.ratios}
    group = ', '.join(map(identifier, texts))
    told = [f'{sums[name]} as {identifier(name)}' if asked.by else identifier(name) for name in numbers]
    grouped = f' group by {group}' if asked.by else ''
    order = ', '.join(
        f'{identifier(name)} desc nulls last' if falls else identifier(name)
        for name, falls in sorted_by(table, asked, texts, numbers)
    )
    limit = f' limit {int(asked.limit)}' if asked.limit is not None else ''
    lines = f'select {", ".join((group, *told))} {within}{grouped} order by {order}{limit}'
    # The sums are named apart from what they add up: an alias would hide the column.
    amounts = ', '.join(f'{sums[name]} as {identifier(f"total_{name}")}' for name in numbers)
    count = f'(select count(*) from (select distinct {group} {within}))' if asked.by else 'count(*)'
    return lines, f'select {count} as count_rows, {amounts} {within}', values


def _sum(measure: Measure) -> str:
    return f'sum({identifier(measure.name)})'


def _ratio(ratio: Ratio) -> str:
    amount = f'cast(sum({identifier(ratio.of)}) as bignumeric) * {ratio.times}'
    return f'round({amount} / nullif(sum({identifier(ratio.per)}), 0), 6)'


def plain(row: Any, ratios: Collection[str]) -> tuple[Any, ...]:
    """The values as PostgreSQL gives them: a ratio with all its digits, money without zeros behind its last."""
    return tuple(_decimal(value, name in ratios) if isinstance(value, Decimal) else value for name, value in row.items())


def _decimal(value: Decimal, is_ratio: bool) -> Decimal:
    return round(value, RATIO_DIGITS) if is_ratio else Decimal(f'{value.normalize():f}')
