"""Is gold what bronze gives, and is every stored row what it was when it came in? And: build gold again."""

from kly_mage.common.settings import Settings
from kly_mage.loads import runner
from kly_mage.warehouse.postgres import gold_checks
from kly_mage.warehouse.postgres.bronze_checks import check_bronze
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema, is_made
from kly_mage.warehouse.postgres.differences import one_picture
from kly_mage.warehouse.postgres.gold_truth import check_gold
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.server import server
from kly_mage.warehouse.report import Report


def rebuild(settings: Settings) -> dict[str, int]:
    """Empty the marts and fill them from all of bronze, in one transaction: readers see the old rows, then the new.

    Returns:
        Rows by gold table.
    """

    def work() -> dict[str, int]:
        reached = server(settings)
        ensure_schema(reached)
        with connect(reached) as connection, connection.cursor() as cursor:
            return gold_checks.rebuild(cursor, block)

    return retrying(work)


def verify(settings: Settings) -> Report | None:
    """Compare gold with bronze, bronze with its hashes, registries and ledger; None if nothing was ever loaded."""

    def work() -> Report | None:
        reached = server(settings)
        if not is_made(reached):
            return None
        ensure_schema(reached)
        report = Report()
        with connect(reached) as connection, connection.cursor() as cursor:
            one_picture(cursor)
            check_bronze(cursor, report)
            check_gold(cursor, report)
        return report

    return retrying(work)


def block(name: str) -> str:
    """The text of the SQL block of that name."""
    return runner.Block(name, 'data_exporter', 'sql', ()).sql()
