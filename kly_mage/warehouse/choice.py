"""Which warehouse the settings choose."""

from kly_mage.common.settings import Settings
from kly_mage.warehouse.base import Warehouse
from kly_mage.warehouse.elsewhere import not_yet


def warehouse(settings: Settings) -> Warehouse:
    """The warehouse that ``KLY_WAREHOUSE`` names. What it needs is imported when it is asked for."""
    if settings.warehouse == 'bigquery':
        from kly_mage.warehouse.bigquery.engine import BigQuery

        return BigQuery(settings)
    from kly_mage.warehouse.postgres.engine import Postgres

    return Postgres(settings)


def only_on_postgres(settings: Settings, what: str) -> None:
    """Let what is done on PostgreSQL alone begin there alone.

    Args:
        what: see ``elsewhere.not_yet``.

    Raises:
        UsageError: the settings choose another warehouse.
    """
    if settings.warehouse != 'postgres':
        raise not_yet(what)
