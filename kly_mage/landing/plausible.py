"""Whether the money of a file can be meant: an amount in micros that is taken for units is a million times too much.

Known at the end of the file: its frames were handed on by then, and whoever took them lets go of them (``left_out.py``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from typing import cast as as_type

import polars as pl

from kly_mage.declared.base import Source

if TYPE_CHECKING:
    from kly_mage.declared.mapping import Mapping

_PER = 1_000


class Money:
    """What a file's usable rows bring, added up frame by frame; nothing for a source without a bound.

    Args:
        mapping: the file's, which may say another bound.
    """

    def __init__(self, source: Source, mapping: Mapping | None) -> None:
        self._of = source.plausible
        self._most = (mapping and mapping.ecpm_limit) or (self._of.most if self._of else 0)
        self._money, self._count = Decimal(0), 0

    def add(self, frame: pl.DataFrame) -> None:
        """Add the rows of a typed frame. Amounts count without their signs: corrections do not hide what they correct."""
        if self._of is None:
            return
        if frame['_reject'].null_count() < frame.height:
            frame = frame.filter(pl.col('_reject').is_null())
        self._money += as_type(Decimal, frame[self._of.money].abs().sum())
        self._count += as_type(int, frame[self._of.per].sum())

    def is_plausible(self, frame: pl.DataFrame) -> bool:
        """Whether a file that has these typed rows may be meant."""
        self.add(frame)
        return self.problem() is None

    def problem(self) -> str | None:
        """What is wrong with the sums of the whole file, in a sentence with its remedy; None if nothing is."""
        if self._of is None or self._money * _PER <= self._most * max(self._count, _PER):
            return None
        found = self._money * _PER / max(self._count, _PER)
        return (
            f'{self._of.money} is {found:,.2f} for {_PER:,} {self._of.per} over the whole file ({self._count:,} of them), '
            f"and at most {self._most:,} is plausible: are these micros? Then say so in landing.toml (unit = 'micros'); if "
            'the amounts are right, give its files a higher ecpm_limit there'
        )
