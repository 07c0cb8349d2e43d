"""Units and signs of numbers in somebody else's files: what mappings may say, and what is recognised by looking."""

from typing import Literal, get_args

UNIT_DIGITS = {'micros': 6, 'cents': 2}
"""How many digits of a whole number in that unit stand behind the point of the amount."""

EPOCHS = {'epoch_seconds': 1_000_000, 'epoch_millis': 1_000, 'epoch_micros': 1}
"""Whole numbers since 1970 as formats of a date: how many microseconds one of each is."""

Thousands = Literal['.', ',', ' ', "'", '\N{RIGHT SINGLE QUOTATION MARK}', '\N{NO-BREAK SPACE}', '\N{NARROW NO-BREAK SPACE}']
THOUSANDS: tuple[str, ...] = get_args(Thousands)
"""What may stand between groups of three digits."""
