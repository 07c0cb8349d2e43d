"""Differences between what is stored and what it should be, in words, one line each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SHOWN = 20  # differences named per check; the others are counted


@dataclass
class Report:
    """What ``verify`` found.

    Attributes:
        differences: one line each: table, key, both values.
        count: how many there are; beyond ``SHOWN`` per check they are not in ``differences``.
        in_gold: how many of them ``rebuild`` repairs.
        waiting: what is not wrong but not yet refreshed.
        checked: rows looked at, by table.
    """

    differences: list[str] = field(default_factory=list)
    count: int = 0
    in_gold: int = 0
    waiting: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, found: Iterator[str], *, in_gold: bool = False) -> None:
        """Take in the differences one check found."""
        count = 0
        for count, line in enumerate(found, start=1):
            if count <= SHOWN:
                self.differences.append(f'{table} {line}')
        if count > SHOWN:
            self.differences.append(f'{table}: {count - SHOWN:,} more of this kind')
        self.count += count
        self.in_gold += count if in_gold else 0


def told(pairs: Any) -> str:
    """Names and their values, as a message has them."""
    return ', '.join(f'{name} {value}' for name, value in pairs)
