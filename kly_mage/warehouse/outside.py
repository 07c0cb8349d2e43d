"""What a load has met of rows that no load takes, because their day is not one their file may hold."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from kly_mage.common.text import counted


@dataclass(frozen=True)
class Outside:
    """Such rows of one file, as one load met them: how many, their days, and their money if the source has any."""

    file: str
    rows: int
    first: date
    last: date
    money: Decimal | None

    def __str__(self) -> str:
        days = f'{self.first}' if self.first == self.last else f'{self.first} to {self.last}'
        worth = f', {self.money:,f} of money' if self.money else ''
        return f'{self.file}: {counted(self.rows, "row")} of {days}{worth}'
