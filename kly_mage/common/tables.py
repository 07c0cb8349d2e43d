"""Tables and coloured lines on standard output. Texts are never markup: ``[red]`` in a title is five characters."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kly_mage.common.text import printable

WIDTH = 160  # characters, where the reader is no terminal


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand at the right, a text may be cut after so many characters."""

    name: str
    right: bool = False
    cut: int | None = None


def say_styled(*parts: str | tuple[str, str]) -> None:
    """Write one line made of texts, or of texts with their style (rich's words, such as ``bold red``)."""
    pairs = [(part, '') if isinstance(part, str) else part for part in parts]
    _console().print(Text.assemble(*((printable(text), style) for text, style in pairs)), soft_wrap=True)


def say_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    title: str = '',
    totals: Sequence[str] | None = None,
    ruled: bool = True,
) -> None:
    """Write a table; without rules its lines are as narrow as they can be, and no cell is broken."""
    table = Table(
        title=Text(printable(title)) if title else None,
        title_justify='left',
        box=SIMPLE_HEAD if ruled else None,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(
            Text(printable(column.name)),
            justify='right' if column.right else 'left',
            overflow='ellipsis' if column.cut else 'fold',
            no_wrap=not ruled,
            max_width=column.cut,
        )
    for row in (*rows, *([totals] if totals else ())):
        table.add_row(*(Text(printable(cell)) for cell in row))
    _console().print(table)


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
