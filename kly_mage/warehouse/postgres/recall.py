"""What finished loads have kept of files (``unchanged``), for who is about to read them."""

from collections.abc import Collection
from typing import Any

from kly_mage.common.settings import Settings
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.unchanged import Kept
from kly_mage.warehouse.announced import days_of
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.unchanged import KEPT_OF, has_rows


def recall(settings: Settings, source: Source, files: Collection[LandingFile]) -> dict[str, Kept]:
    """What is kept of some files, by their names."""

    def work() -> list[tuple[str, str, dict[str, Any]]]:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(KEPT_OF, {'source': source.name, 'files': [file.name for file in files]})
            found: list[tuple[str, str, dict[str, Any]]] = cursor.fetchall()
            return found

    return {
        file: Kept(
            content,
            days_of(held['days']),
            days_of(day for day in held['seen'] if day not in held['days']),
            days_of(day for day, counts in held['days'].items() if has_rows(counts)),
        )
        for file, content, held in retrying(work)
    }
