"""Gold as it is looked at, in GoogleSQL; what ``warehouse/postgres/summary.py`` asks of PostgreSQL."""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any

from kly_mage.common.errors import LOAD, NotBuiltError
from kly_mage.common.window import Window
from kly_mage.declared.marts import Joined, Mart, Ratio
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.ledger import is_loaded
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
        NotBuiltError: nothing was loaded yet.
    """
    found = columns(table, asked.by)
    if found is None or (asked.article is not None and ARTICLE_KEY not in table.key):
        return None
    texts, numbers = found
    lines, totals, values = queries(table, asked, texts, numbers)
    ratios = {ratio.name for ratio in table.ratios} if isinstance(table, Joined) else set()
    ratios |= {f'total_{name}' for name in ratios}
    rows = [plain(row, ratios) for row in client.run(lines, values, what=what)]
    if totals is None:
        width = len(texts) + len(numbers)
        amounts: tuple[Any, ...] = rows[0][width:] if rows else (0, *(None for _ in numbers))
        rows = [row[:width] for row in rows]
    else:
        (told,) = client.run(totals, values, what=what)
        amounts = plain(told, ratios)
    if not amounts[0]:
        _built(client, table, what)
    return Found(table.table, texts, numbers, rows, amounts[0], amounts[1:])


def stream(client: Client, table: Joined | Mart, days: Window | None) -> tuple[dict[str, Kind], Rows]:
    """All rows of a table of gold in the order of its key, some at a time, and what its columns hold.

    Raises:
        NotBuiltError: nothing was loaded yet.
    """
    _built(client, table)
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


def _built(client: Client, table: Joined | Mart, what: str = 'loads') -> None:
    """The tables are there from the first command on: what tells one that nobody has built is the ledger."""
    if not is_loaded(client, what):
        raise NotBuiltError(f'{table.table} is not built yet: {LOAD}')


def _batches(rows: Iterator[tuple[Any, ...]]) -> Rows:
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch


def queries(
    table: Joined | Mart, asked: Asked, texts: tuple[str, ...], numbers: tuple[str, ...]
) -> tuple[str, str | None, dict[str, Any]]:
    """The query of the lines, that of their count and totals, and the values bound in both.

    Lines that are added up have these behind their columns, so that the table is read once. Rows as they are have not: they
    may be too many to look over at once.
    """
    values: dict[str, Any] = {}
    within = f'from {table.table} where true'
    if asked.days:
        values |= {'start': asked.days.start, 'end': asked.days.end}
        within += f' and {identifier(table.day.name)} between @start and @end'
    if asked.article is not None:
        values['article'] = asked.article
        within += f' and {identifier(ARTICLE_KEY)} = @article'
    ratios = table.ratios if isinstance(table, Joined) else ()
    group, own = ', '.join(map(identifier, texts)), [identifier(measure.name) for measure in table.measures]
    order = ', '.join(
        f'{identifier(name)} desc nulls last' if falls else identifier(name)
        for name, falls in sorted_by(table, asked, texts, numbers)
    )
    limit = f' limit {int(asked.limit)}' if asked.limit is not None else ''
    if asked.by is None:
        # The sums are named apart from what they add up: an alias would hide the column.
        totals = ', '.join(['count(*) as count_rows', *_totals(table, numbers, '')])
        lines = f'select {group}, {", ".join(map(identifier, numbers))} {within} order by {order}{limit}'
        return lines, f'select {totals} {within}', values
    added = ', '.join(f'sum({name}) as {name}' for name in own)
    told = [*own, *(f'{_ratio(ratio, "{}")} as {identifier(ratio.name)}' for ratio in ratios)]
    told += ['count(*) over () as count_rows', *_totals(table, numbers, ' over ()')]
    line = f'select {group}, {added} {within} group by {group}'
    return f'with line as ({line}) select {group}, {", ".join(told)} from line order by {order}{limit}', None, values


def _totals(table: Joined | Mart, numbers: tuple[str, ...], over: str) -> list[str]:
    """The amounts of all rows, under names of their own."""
    total = f'sum({{}}){over}'
    amounts = {measure.name: total.format(identifier(measure.name)) for measure in table.measures}
    if isinstance(table, Joined):
        amounts |= {ratio.name: _ratio(ratio, total) for ratio in table.ratios}
    return [f'{amounts[name]} as {identifier(f"total_{name}")}' for name in numbers]


def _ratio(ratio: Ratio, total: str) -> str:
    of, per = (total.format(identifier(name)) for name in (ratio.of, ratio.per))
    return f'round(cast({of} as bignumeric) * {ratio.times} / nullif({per}, 0), 6)'


def plain(row: Any, ratios: Collection[str]) -> tuple[Any, ...]:
    """The values as PostgreSQL gives them: a ratio with all its digits, money without zeros behind its last."""
    return tuple(_decimal(value, name in ratios) if isinstance(value, Decimal) else value for name, value in row.items())


def _decimal(value: Decimal, is_ratio: bool) -> Decimal:
    return round(value, RATIO_DIGITS) if is_ratio else Decimal(f'{value.normalize():f}')
