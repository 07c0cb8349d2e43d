"""What a warehouse that bills for it has read, by day."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

USD_PER_TIB = Decimal('6.25')
"""Of BigQuery on demand, in the US; other regions ask up to half as much again."""


@dataclass(frozen=True)
class Cost:
    """Loads, refreshes and checks of a day: how many, bytes they have read and were billed, milliseconds of slots."""

    day: date
    runs: int
    bytes_processed: int
    bytes_billed: int
    slot_ms: int

    @property
    def usd(self) -> Decimal:
        """What is billed for them."""
        return usd(self.bytes_billed)


def usd(billed: int) -> Decimal:
    """What so many bytes cost, to the millionth of a dollar."""
    return (Decimal(billed) * USD_PER_TIB / (1 << 40)).quantize(Decimal('0.000001'))
