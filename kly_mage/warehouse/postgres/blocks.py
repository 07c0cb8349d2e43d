"""The SQL blocks, run without Mage."""

from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.server import server


def run_sql(text: str) -> None:
    """Run the text of a SQL block in one transaction, as Mage does."""

    def work() -> None:
        with connect(server(load_settings())) as connection, connection.cursor() as cursor:
            cursor.execute(text)

    retrying(work)
