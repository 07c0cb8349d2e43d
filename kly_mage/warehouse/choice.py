"""Which warehouse the settings choose."""

from kly_mage.common.settings import Settings
from kly_mage.warehouse.base import Warehouse


def warehouse(settings: Settings) -> Warehouse:
    """The warehouse that ``KLY_WAREHOUSE`` names. What it needs is imported when it is asked for."""
    if settings.warehouse == 'bigquery':
        from kly_mage.warehouse.bigquery.engine import BigQuery

        return BigQuery(settings)
    from kly_mage.warehouse.postgres.engine import Postgres

    return Postgres(settings)
