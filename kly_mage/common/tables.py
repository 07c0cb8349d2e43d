"""Tables and coloured lines on standard output. Texts are never markup: ``[red]`` in a title is five characters.

A table fits the terminal it is written to. What finance reads is whole at any width: a number or a day is never shortened
or broken. Headers are broken between their words first, then texts give way, and where that is not enough columns that may
be left out are, by name, and the others go below one another with the first column repeated.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TextIO

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kly_mage.common.text import printable

WIDTH = 160  # characters, where the reader is no terminal
_NARROWEST = 12  # characters that a text keeps, whatever the room
_LEFT_OUT_BELOW = 16  # characters of a text: a column that may be left out goes before a text has fewer
_HALF_A_CENT = Decimal('0.005')
_RULES = Box('    \n    \n ── \n    \n ── \n ── \n    \n    \n')  # below the header and above the totals
_BETWEEN = 2  # blanks between two columns


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its header.
        right: numbers: at the right, and whole.
        cut: characters after which a text is cut; a text without it is broken over lines.
        whole: a text that is not to be cut or broken either, such as a day.
        may_go: whether it may be left out where there is no room for all.
    """

    name: str
    right: bool = False
    cut: int | None = None
    whole: bool = False
    may_go: bool = False

    @property
    def gives_way(self) -> bool:
        """Whether it can be narrower than its cells."""
        return not (self.right or self.whole)


def say_styled(*parts: str | tuple[str, str]) -> None:
    """Write one line made of texts, or of texts with their style (rich's words, such as ``bold red``)."""
    pairs = [(part, '') if isinstance(part, str) else part for part in parts]
    _console(sys.stdout).print(Text.assemble(*((printable(text), style) for text, style in pairs)), soft_wrap=True)


def say_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    title: str = '',
    totals: Sequence[str] | None = None,
    beside: bool = False,
) -> None:
    """Write a table that is as wide as the terminal at most.

    Args:
        columns: the first is repeated if columns go below one another.
        rows: the cells, as many in each as there are columns.
        title: a line above it.
        totals: a last row, below a rule.
        beside: on standard error: it stands beside the result.
    """
    columns = [replace(column, name=printable(column.name)) for column in columns]
    cells = [[printable(cell) for cell in row] for row in (*rows, *([totals] if totals else ()))]
    console = _console(sys.stderr if beside else sys.stdout)
    if title:
        say_styled((title, 'bold'))
    wide = [max((cell_len(row[n]) for row in cells), default=0) for n in range(len(columns))]
    shown, left_out = _chosen(columns, wide, console.width)
    for block in _blocks(columns, wide, shown, console.width):
        console.width = max(console.width, sum(block.values()) + _BETWEEN * (len(block) - 1))  # wider than it can be
        console.print(_table(columns, cells, block, totals=totals is not None))
    if left_out:
        names = ', '.join(columns[n].name for n in left_out)
        say_styled((f'left out, for want of room: {names}', 'dim'))


def cents(amount: Decimal) -> str:
    """An amount of money for a table: to the cent, so that the points of a column stand below one another.

    What is less than half a cent, and not nothing, is said to be: a difference never reads as none.
    """
    if amount and abs(amount) < _HALF_A_CENT:
        return '<0.01' if amount > 0 else '>-0.01'
    return f'{amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN):,f}'


def on_terminal() -> bool:
    """Whether somebody looks on: remarks are folded then, while a log has all of them."""
    return sys.stdout.isatty()


def _table(columns: Sequence[Column], cells: list[list[str]], widths: dict[int, int], *, totals: bool) -> Table:
    table = Table(box=_RULES, show_edge=False, pad_edge=False, padding=(0, _BETWEEN - 1, 0, 0))
    last = next(reversed(widths))
    for n, width in widths.items():
        table.add_column(
            Text(_broken(columns[n].name, width)),
            justify='right' if columns[n].right else 'left',
            overflow='ellipsis' if columns[n].cut else 'fold',
            no_wrap=bool(columns[n].cut) or not columns[n].gives_way,
            width=width - (n == last),  # rich counts the blank behind it, which it does not write
            vertical='top',
        )
    for number, row in enumerate(cells):
        table.add_row(*(Text(row[n]) for n in widths), end_section=totals and number == len(cells) - 2)
    return table


def _chosen(columns: Sequence[Column], wide: list[int], room: int) -> tuple[list[int], list[int]]:
    """The columns that are shown, and those left out: the last that may go is the first to."""
    shown, left_out = list(range(len(columns))), list[int]()
    while not _fits(columns, wide, shown, room, _LEFT_OUT_BELOW):
        last = next((n for n in reversed(shown) if columns[n].may_go), None)
        if last is None:
            break
        shown.remove(last)
        left_out.insert(0, last)
    return shown, left_out


def _blocks(columns: Sequence[Column], wide: list[int], shown: list[int], room: int) -> Iterable[dict[int, int]]:
    """The columns that stand beside one another, with their widths."""
    first, *others = shown
    while True:
        block = [first]
        while others and (len(block) == 1 or _fits(columns, wide, [*block, others[0]], room, _NARROWEST)):
            block.append(others.pop(0))
        yield _widths(columns, wide, block, room)
        if not others:
            return


def _fits(columns: Sequence[Column], wide: list[int], block: list[int], room: int, narrowest: int) -> bool:
    least = [min(_narrow(columns[n], wide[n]), narrowest if columns[n].gives_way else room) for n in block]
    return sum(least) + _BETWEEN * (len(block) - 1) <= room


def _widths(columns: Sequence[Column], wide: list[int], block: list[int], room: int) -> dict[int, int]:
    room -= _BETWEEN * (len(block) - 1)
    widths = {n: min(max(wide[n], cell_len(columns[n].name)), columns[n].cut or sys.maxsize) for n in block}
    if sum(widths.values()) > room:
        widths = {n: _narrow(columns[n], wide[n]) for n in block}
    while sum(widths.values()) > room:  # the widest text gives way, character by character
        widest = max((n for n in block if columns[n].gives_way), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _narrow(column: Column, wide: int) -> int:
    """The width of its cells, or of the longest word of its header."""
    return max(min(wide, column.cut or wide), *map(cell_len, _words(column.name)))


def _words(name: str) -> list[str]:
    return name.replace('_', '_ ').split() or ['']


def _broken(name: str, width: int) -> str:
    """A header on as many lines as it needs, broken between its words."""
    lines = ['']
    for word in _words(name):
        blank = ' ' if lines[-1] and not lines[-1].endswith('_') else ''
        if lines[-1] and cell_len(lines[-1] + blank + word) > width:
            lines.append(word)
        else:
            lines[-1] += blank + word
    return '\n'.join(lines)


def _console(stream: TextIO) -> Console:
    return Console(file=stream, highlight=False, width=None if stream.isatty() else WIDTH)
