"""Differences between what is stored and what it should be, in words, one line each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kly_mage.common.text import counted
from kly_mage.declared.base import Source

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

    def add(self, table: str, found: Iterable[str], *, in_gold: bool = False, further: int = 0) -> None:
        """Take in the differences one check found.

        Args:
            further: how many there are beyond those found.
        """
        count = 0
        for count, line in enumerate(found, start=1):
            if count <= SHOWN:
                self.differences.append(f'{table} {line}')
        count += further
        if count > SHOWN:
            self.differences.append(f'{table}: {count - SHOWN:,} more of this kind')
        self.count += count
        self.in_gold += count if in_gold else 0


def told(pairs: Any) -> str:
    """Names and their values, as a message has them."""
    return ', '.join(f'{name} {value}' for name, value in pairs)


def compared(
    names: Sequence[str], key: int, here: Sequence[Any], there: Sequence[Any], truth: str = 'bronze'
) -> Iterator[str]:
    """How a row of gold differs from what bronze gives: one line per value.

    Args:
        names: the columns.
        key: how many of them, from the first, are the key.
        here: the row as texts, None for each of it if it is missing.
        there: what bronze gives, None for each of it if it gives no such row.
        truth: what gives it, in words.
    """
    is_missing, is_surplus = here[0] is None, there[0] is None
    name = ', '.join(there[:key] if is_missing else here[:key])
    pairs = list(zip(names, here, there, strict=True))[key:]
    if is_missing:
        yield f'({name}): is missing; {truth} gives {told((column, value) for column, _, value in pairs) or "it"}'
    elif is_surplus:
        yield f'({name}): {truth} gives no such row; found {told((column, value) for column, value, _ in pairs) or "it"}'
    else:
        for column, found_value, true_value in pairs:
            if found_value != true_value:
                yield f'({name}): {column} is {found_value}, {truth} gives {true_value}'


def changed_row(
    source: Source,
    stored: str,
    computed: str | None,
    day: str | None,
    day_of_row: str | None,
    is_as_told: bool,
    load_id: int,
) -> Iterator[str]:
    """How a row of bronze is not what it was when it came in.

    Args:
        stored: its hash.
        computed: the hash that its values give now.
        day: ``_partition_date``.
        day_of_row: the local day that its values give now.
        is_as_told: whether it says in undeclared columns what it said.
        load_id: the load that brought it.
    """
    if stored != computed:
        yield f'{stored}: _hashrow is {stored}, the values of the row (load {load_id}) give {computed}'
    if day != day_of_row:
        yield f'{stored}: _partition_date is {day}, {source.day_column} gives {day_of_row}'
    if not is_as_told:
        yield f'{stored}: the undeclared columns of the row (load {load_id}) are not what they were'


def against_registry(
    source: Source, key: str, rows: int, is_known: bool, names: Sequence[str], here: Sequence[Any], there: Sequence[Any]
) -> Iterator[str]:
    """How the rows of a hash and its entry in the registry differ.

    Args:
        names: what both have of a row.
        here: what the row has there.
        there: what the registry has.
    """
    register, pairs = f'bronze.{source.name}_hashrow', list(zip(names, here, there, strict=True))
    if not rows:
        yield f'{key}: the row is missing; {register} has it with {told((n, there) for n, _, there in pairs)}'
    elif not is_known:
        yield f'{key}: {register} does not have it; the row has {told((n, here) for n, here, _ in pairs)}'
    elif rows > 1:
        yield f'{key}: {rows} rows of this hash, {register} allows 1'
    else:
        for name, is_here, is_there in pairs:
            if is_here != is_there:
                yield f'{key}: {name} is {is_here}, {register} has {is_there}'


def against_ledger(load_id: int, rows: int, noted: int | None, first: str | None, last: str | None) -> Iterator[str]:
    """How the rows of a load and what the ledger says of it differ.

    Args:
        rows: that are there.
        noted: how many the ledger has of it; None if it has no such load.
        first: the least ``_created_at`` of them.
        last: the greatest.
    """
    if rows != noted:
        ledger = 'no such load' if noted is None else f'{noted:,}'
        yield f'load {load_id}: {counted(rows, "row")}, ops.loads has {ledger}'
    if first != last:
        yield f'load {load_id}: _created_at is {first} in one row and {last} in another; a load has one'


def wrong_correction(source: Source, key: str, load_id: int, wrong: str) -> str:
    """A change of what counts that cannot be, by itself or beside the rows; ``wrong`` is a key of what is said."""
    says = {
        'no row': f'a correction (load {load_id}) of a row that bronze.{source.name} does not have',
        'turn': f'load {load_id} has it count no longer, or again, when that was so already',
        'count': f'by load {load_id} and the others not one version of it counts, that of the registry',
        'day': f'the correction of load {load_id} is under another day than the row',
    }
    return f'{key}: {says[wrong]}'


def conflict_without_row(source: Source, key: str, load_id: int) -> str:
    """A further version of a row that is not there."""
    return f'{key}: a further version (load {load_id}) of a row that bronze.{source.name}_hashrow does not have'
