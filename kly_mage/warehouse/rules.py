"""Rules of the declarations over a load: what they ask of a row, and in which words a load is refused.

How many new rows break them each warehouse finds out in its own way, in the load's transaction.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from kly_mage.common.errors import RuleError
from kly_mage.common.text import counted
from kly_mage.declared.base import Rule, Source
from kly_mage.warehouse.standing import FarOff, Stale


def conditions(source: Source) -> dict[Rule, pl.Expr]:
    """The rules that ask something of a row alone: when it breaks them. One that cannot be decided, for a NULL, is kept."""
    return {rule: pl.sql_expr(rule.broken) for rule in source.rules if isinstance(rule.broken, str)}


def hold(source: Source, broken: Mapping[Rule, int]) -> None:
    """Stop a load whose new rows break a rule of level ``stop``.

    Args:
        broken: how many rows break each rule.

    Raises:
        RuleError: some do.
    """
    stops = [
        f'{counted(count, "row breaks", "rows break")} "{rule.name}"'
        for rule in source.rules
        if rule.level == 'stop' and (count := broken.get(rule, 0))
    ]
    if stops:
        raise RuleError(
            f'{source.name}: {"; ".join(stops)}; nothing of this load was written. Repair the files, or let the '
            f'rule warn in kly_mage/declared/{source.name}.py'
        )


def hold_volume(source: Source, found: Sequence[FarOff]) -> None:
    """Stop a load for days whose volume is far off, if the source says so.

    Raises:
        RuleError: it does, and there are such days.
    """
    if found and source.volume and source.volume.level == 'stop':
        raise RuleError(
            f'{source.name}: its volume is far off ({"; ".join(map(str, found))}); nothing of this load was written. '
            f'Deliver the files again or, if that is right, python -m kly_mage status --accept WHY --source {source.name} '
            f'--start {found[0].day} --end {found[-1].day}'
        )


def hold_freshness(source: Source, found: Stale | None) -> None:
    """Stop a load of a source that is stale, if the source says so.

    Raises:
        RuleError: it does, and it is.
    """
    if found and source.freshness and source.freshness.level == 'stop':
        raise RuleError(
            f'{source.name}: {found}; nothing of this load was written. Deliver newer files, load the days there are '
            f'(--end {found.newest}), or let freshness warn in kly_mage/declared/{source.name}.py'
        )
