"""Is gold what bronze gives, and is every stored row what it was when it came in? And: build gold again."""

from kly_mage.common.settings import Settings
from kly_mage.loads import runner
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.report import Report


def rebuild(settings: Settings) -> dict[str, int]:
    """Empty the marts and fill them from all of bronze, in one transaction: readers see the old rows, then the new.

    Returns:
        Rows by gold table.
    """
    return warehouse(settings).rebuild(block)


def verify(settings: Settings) -> Report | None:
    """Compare gold with bronze, bronze with its hashes, registries and ledger; None if nothing was ever loaded."""
    return warehouse(settings).verify()


def block(name: str) -> str:
    """The text of the SQL block of that name."""
    return runner.Block(name, 'data_exporter', 'sql', ()).sql()
