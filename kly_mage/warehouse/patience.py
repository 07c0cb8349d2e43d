"""How long a page waits for an answer, whichever warehouse gives it. Commands wait as long as their work takes."""

from kly_mage.common.errors import WarehouseError

SECONDS = 30  # from the question to the last row


def given_up() -> WarehouseError:
    """What a page says in place of an answer that takes longer."""
    return WarehouseError(f'given up after {SECONDS} s: choose fewer days')
