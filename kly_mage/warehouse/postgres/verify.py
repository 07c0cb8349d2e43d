"""``verify``, ``rebuild``, and what ``repair`` counts anew, as units of work."""

from collections.abc import Collection, Mapping
from datetime import date

from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.warehouse.postgres import gold_checks
from kly_mage.warehouse.postgres import recount as recounting
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


def recount(settings: Settings, days: Mapping[str, Collection[date]], block: gold_checks.Block) -> None:
    """Count these days of sources anew, and what joins their marts, in one transaction."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        gold_checks.lock(cursor)
        for name, of_source in days.items():
            recounting.recount(cursor, block, SOURCES[name], of_source)


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
        cursor.execute('select exists (select from ops.loads)')
        (is_loaded,) = cursor.fetchone()
    return report if any(report.checked.values()) or is_loaded else None
