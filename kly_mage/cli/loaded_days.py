"""What ``backfill`` says of each day it has loaded."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from kly_mage.common.console import note
from kly_mage.common.settings import Settings
from kly_mage.common.text import counted
from kly_mage.common.window import Window
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.ledger import PARTS, word

Load = dict[str, Any]


def by_day(
    settings: Settings, loads: list[Load], days: Window, missing: dict[str, list[date]]
) -> Iterable[tuple[str, dict[str, dict[str, int] | None]]]:
    """What became of the rows of each day, by source; None where the day is missing.

    The last are the rows of other days that a source of ``any_day`` brought along.
    """
    counts = warehouse(settings).by_day([number for load in loads for number in numbers_of(load)])
    names = [load['source'] for load in loads]
    for day in days:
        of_day = counts.pop(day, {})
        yield str(day), {name: None if day in missing[name] else of_day.get(name, {}) for name in names}
    others = {name: dict.fromkeys(('read', *PARTS), 0) for name in names}
    for of_day in counts.values():
        for name, numbers in of_day.items():
            others[name] = {part: others[name][part] + count for part, count in numbers.items()}
    if counts:
        yield 'other days', {name: numbers for name, numbers in others.items() if numbers['read']}


def say_days(by_day: Iterable[tuple[str, dict[str, dict[str, int] | None]]], *, on_terminal: bool) -> None:
    """A table for who looks on, a line per day for a log."""
    if not on_terminal:
        for day, of_day in by_day:
            told = (f'{name} {"missing" if numbers is None else _parts(numbers)}' for name, numbers in of_day.items())
            note(f'{day}  {"; ".join(told)}')
        return
    from kly_mage.common.tables import Column, say_table  # here: a run that nobody looks at has no other use for it

    each = [(f'{day:10}  {name}', numbers) for day, of_day in by_day for name, numbers in of_day.items()]
    parts = [part for part in PARTS if any(numbers and numbers.get(part) for _, numbers in each)]
    columns = [Column('day and source', whole=True), *(Column(name, right=True) for name in ('rows', *map(word, parts)))]
    rows = []
    for label, numbers in each:
        read = 'missing' if numbers is None else f'{numbers.get("read", 0):,}'
        rows.append([label, read, *(f'{numbers.get(part, 0):,}' if numbers else '' for part in parts)])
    say_table(columns, rows, beside=True)


def _parts(numbers: dict[str, int]) -> str:
    told = ', '.join(f'{numbers[part]:,} {word(part)}' for part in PARTS if numbers.get(part))
    return f'{counted(numbers["read"], "row")} ({told})' if told else 'no rows'


def numbers_of(load: Load) -> list[int]:
    """The numbers of a load, or of those that were made side by side."""
    numbers: list[int] = load.get('load_ids') or [load['load_id']]
    return numbers
