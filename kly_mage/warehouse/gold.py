"""What can be asked of a table of gold, and what is told of it, whichever warehouse keeps it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kly_mage.common.errors import UsageError
from kly_mage.common.window import Window
from kly_mage.declared.marts import Joined, Mart

DAY, ARTICLE = 'day', 'article'  # what people call the key, whatever its columns' names
ARTICLE_KEY = 'content_id'
BATCH_ROWS = 20_000  # of a stream, some megabytes

Kind = Literal['day', 'instant', 'count', 'exact', 'text']
Rows = Iterator[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Asked:
    """What somebody wants to see of a table of gold.

    Attributes:
        days: None for all.
        article: None for all.
        by: a column to add up by, ``DAY`` for the table's day; None for the rows as they are.
        sort: a column of the answer: numbers begin with the highest, all else with the lowest. None for the day where there
            is one line per day, else for the first measure.
        limit: how many lines; None for all.
    """

    days: Window | None = None
    article: str | None = None
    by: str | None = None
    sort: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Found:
    """Lines of a table of gold, and what its numbers amount to over all that was asked for, shown or not.

    Distinct keys such as sessions add up per article and day: a session that reads two articles counts on both.

    Attributes:
        table: where they are from.
        texts: the names of the columns that say what a line is about.
        numbers: the names of the numbers behind them.
        rows: the lines.
        count: how many there are without the limit.
        totals: of each number.
    """

    table: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    count: int
    totals: tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """The rows of a query, and the names of its columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def columns(table: Joined | Mart, by: str | None) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """What a line is about, and its numbers; None if the table cannot be added up that way."""
    texts, numbers = table.key, tuple(measure.name for measure in table.measures)
    if isinstance(table, Joined):
        texts += tuple(attribute.name for attribute in table.attributes)
        numbers += tuple(ratio.name for ratio in table.ratios)
    if by is None:
        return (*texts, table.finality.name) if isinstance(table, Joined) else texts, numbers
    if by == DAY:
        return (table.day.name,), numbers
    if by == ARTICLE and ARTICLE_KEY in table.key:
        return tuple(name for name in texts if name != table.day.name), numbers
    return ((by,), numbers) if by in texts else None


def sorted_by(
    table: Joined | Mart, asked: Asked, texts: tuple[str, ...], numbers: tuple[str, ...]
) -> list[tuple[str, bool]]:
    """The columns that lines are sorted by, and whether the highest comes first.

    Raises:
        UsageError: the column to sort by is none of the answer.
    """
    sort = asked.sort
    if sort == DAY:
        sort = table.day.name
    if sort is None:  # one line per day reads as a calendar, all else as a list of the best
        by_day = asked.by == DAY or (asked.by is None and asked.article is not None)
        sort = table.day.name if by_day else numbers[0]
    if sort not in (*texts, *numbers):
        raise UsageError(f'{table.table} cannot be sorted by {sort!r}: there are {", ".join((*texts, *numbers))}')
    return [(sort, sort in numbers), *((name, False) for name in texts if name != sort)]
