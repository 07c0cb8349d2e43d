"""``verify`` and ``rebuild`` as units of work."""

from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres import gold_checks
from kly_mage.warehouse.postgres.bronze_checks import check_bronze
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema, is_made
from kly_mage.warehouse.postgres.differences import one_picture
from kly_mage.warehouse.postgres.gold_truth import check_gold
from kly_mage.warehouse.report import Report


def rebuild(settings: Settings, block: gold_checks.Block) -> dict[str, int]:
    """Empty the marts and fill them from all of bronze, in one transaction; gives the rows of each table."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        return gold_checks.rebuild(cursor, block)


def verify(settings: Settings) -> Report | None:
    """Compare gold with bronze, and bronze with its hashes, registries and ledger, in one picture of the database."""
    if not is_made(settings):
        return None
    ensure_schema(settings)
    report = Report()
    with connect(settings) as connection, connection.cursor() as cursor:
        one_picture(cursor)
        check_bronze(cursor, report)
        check_gold(cursor, report)
    return report
