"""What a check of BigQuery looks at: gold as rows, bronze as counts, and what jobs were billed as the project sees it."""

from datetime import datetime
from typing import Any

from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, joined_measures
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.text import identifier


def summary_statement() -> str:
    """``gold.daily_summary`` but for what is divided and what the clock decides."""
    table = DAILY_SUMMARY
    names = [table.day.name, *(key.name for key in table.by), *(each.name for each in table.attributes)]
    names += [measure.name for measure in joined_measures()]
    return f'select {", ".join(map(identifier, names))} from {table.table}_rows'


def counts_statement(source: Source) -> str:
    """Rows of bronze, and different hashes among them."""
    return f'select count(*) as rows_in_all, count(distinct _hashrow) as hashes from bronze.{source.name}'


def billed_statement(location: str) -> str:
    """What jobs whose names begin with a text were billed, as the project's list of jobs has it."""
    return (
        'select count(*) as jobs, sum(total_bytes_processed) as bytes, sum(total_bytes_billed) as billed'
        f' from {identifier(f"region-{location.lower()}")}.INFORMATION_SCHEMA.JOBS'
        ' where creation_time >= cast(@since as timestamp) and starts_with(job_id, @prefix) and parent_job_id is null'
    )


def summary(client: Client) -> list[tuple[Any, ...]]:
    """The rows of ``gold.daily_summary``, in any order."""
    return [tuple(row.values()) for row in client.run(summary_statement(), what='check')]


def counts(client: Client, source: Source) -> tuple[int, int]:
    """Rows of bronze, and different hashes among them."""
    (row,) = client.run(counts_statement(source), what='check')
    return row['rows_in_all'], row['hashes']


def billed(client: Client, location: str, since: datetime) -> tuple[int, int]:
    """Bytes read and bytes billed of this warehouse's jobs.

    Raises:
        WarehouseError: the account may not see the project's jobs.
    """
    values = {'since': since.isoformat(sep=' '), 'prefix': client.job_prefix}
    (row,) = client.run(billed_statement(location), values, what='check')
    return row['bytes'] or 0, row['billed'] or 0
