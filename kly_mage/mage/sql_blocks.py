"""Mage's SQL blocks, run as the command line runs them: corrections of Mage 0.9.80, as those of ``patches``."""

from typing import Any

from kly_mage.common.errors import UsageError
from kly_mage.common.settings import Settings, load_settings


def correct() -> None:
    """Put them into this process."""
    _connect_as_we_do()
    _run_where_the_warehouse_is()


def _run_where_the_warehouse_is() -> None:
    """On BigQuery the blocks of marts and previews go the way of the command line: Mage's own would know no name, label or
    cap of a job, and would not wait for it. A mart's block cannot say what it did: it is said for it, whoever runs it.

    Corrects ``mage_ai/data_preparation/models/block/sql/__init__.py: SQLBlock._execute_block``.
    """
    from mage_ai.data_preparation.models.block.sql import SQLBlock

    execute = SQLBlock._execute_block

    def ours(self: Any, *args: Any, **kwargs: Any) -> Any:
        settings = load_settings()
        if settings.warehouse == 'bigquery' and self.configuration.get('data_provider') == 'postgres':
            found = on_bigquery(self, settings, kwargs.get('global_vars') or {})
        else:
            found = execute(self, *args, **kwargs)
        from kly_mage.mage import alerts  # in the run, not in the scheduler: see patches.PRELOADED

        if self.type == 'data_exporter':
            alerts.tell_refresh(self.uuid, kwargs.get('logger'))
        elif found and hasattr(found[0], 'columns') and kwargs.get('logger'):  # nobody sees the rows of `mage run`
            alerts.tell_rows(self.uuid, len(found[0]), kwargs['logger'])
        return found

    SQLBlock._execute_block = ours


def on_bigquery(block: Any, settings: Settings, variables: dict[str, Any]) -> list[Any]:
    """What a block gives that refreshes a mart, or shows one; its text is PostgreSQL's.

    Raises:
        UsageError: it does neither.
    """
    from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Joined, Mart  # by the run: see patches.PRELOADED
    from kly_mage.loads.handed_on import to_pandas
    from kly_mage.warehouse.bigquery.engine import BigQuery

    warehouse = BigQuery(settings)
    if block.type == 'data_exporter':
        warehouse.refresh(block.uuid, lambda: str(block.content))
        return []
    marts: list[Joined | Mart] = [DAILY_SUMMARY, *MARTS]
    for mart in marts:
        if block.uuid == f'preview_{mart.name}':
            return [to_pandas(warehouse.preview(mart, str(variables.get('pipeline_run_id') or '')))]
    raise UsageError(
        f'block {block.uuid} is SQL for PostgreSQL, and the warehouse is BigQuery: give it the data provider bigquery, '
        'with a connection in io_config.yaml'
    )


def _connect_as_we_do() -> None:
    """A SQL block has the session of our own: it waits with words, and is told what it is refused, by whom, with a remedy.

    Corrects ``mage_ai/io/postgres.py:87: Postgres.open``, which prints why nobody was let in and goes on without a
    connection, and ``mage_ai/io/base.py:430: BaseSQLDatabase.__exit__``, which asks nobody about an error. Other databases
    than the warehouse stay with Mage. None of them says that it opens a connection: it is no news to who runs a block.
    """
    from mage_ai.io.postgres import Postgres

    init, open_, exit_ = Postgres.__init__, Postgres.open, Postgres.__exit__

    def silently(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs | {'verbose': False})

    def open_ours(self: Any) -> None:
        from kly_mage.warehouse.postgres.connection import session, told  # by the run: see patches.PRELOADED
        from kly_mage.warehouse.postgres.server import server

        settings = server(load_settings())
        if any(str(self.settings[name]) != str(getattr(settings, name)) for name in ('host', 'port', 'dbname', 'user')):
            open_(self)
            return
        self._ctx = session(settings)
        self.told = told(settings, self._ctx)
        self.told.__enter__()

    def exit_ours(self: Any, *error: Any) -> None:
        try:
            if hasattr(self, 'told'):
                self.told.__exit__(*error)
        finally:
            exit_(self, *error)

    Postgres.__init__, Postgres.open, Postgres.__exit__ = silently, open_ours, exit_ours
