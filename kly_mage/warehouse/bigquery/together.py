"""What loads did beside their own counts: how their days look beside others, and several loads told as one."""

import json
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from kly_mage.common.window import Window, today
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery import standing
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.counting import log
from kly_mage.warehouse.bigquery.schema import COUNTS
from kly_mage.warehouse.ledger import CORRECTED, PARTS
from kly_mage.warehouse.standing import told_stale

_COUNTED = [*(f'rows_{part}' for part in (*COUNTS, *CORRECTED)), 'rejects_accepted', 'conflicts_accepted']
OF_RUNS = (
    'select source, array_agg(load_id) as load_ids,'
    ' array_agg(left_out ignore nulls order by load_id) as left_out, min(start_day) as start_day, max(end_day) as end_day,'
    f' sum(money_read) as money_read, {", ".join(f"sum(coalesce({name}, 0)) as {name}" for name in _COUNTED)}'
    " from ops.loads where pipeline_run in unnest(@runs) and status = 'done' group by source order by source"
)
CHANGED_BY_RUNS = (
    'select held.source, count(distinct held.file) as files from ops.file_days as held'
    ' inner join ops.loads as done on held.source = done.source and held.changed_by = done.load_id'
    ' where done.pipeline_run in unnest(@runs) group by held.source'
)


def of_runs(client: Client, runs: list[str], timezone: str) -> list[dict[str, Any]]:
    """Per source what the finished loads of these runs of pipelines in Mage did, as a load tells it of itself."""
    changed = {row['source']: row['files'] for row in client.run(CHANGED_BY_RUNS, {'runs': runs}, what='loads')}
    found = []
    for row in client.run(OF_RUNS, {'runs': runs}, what='loads'):
        source, days = SOURCES[row['source']], Window(row['start_day'], row['end_day'])
        counts = dict.fromkeys((f'rows_{part}' for part in PARTS), 0) | {name: row[name] for name in _COUNTED}
        money = (row['money_read'] or Decimal(0)).normalize() if source.money_columns else None
        left_out = {name: reason for of_load in row['left_out'] or () for name, reason in json.loads(of_load).items()}
        done = {'source': source.name, 'money_read': money, 'left_out': left_out, **counts}
        done |= {'files_changed': changed.get(source.name, 0)}
        found.append(done | beside(client, source, days, timezone, row['load_ids'], counts))
    return found


def beside(
    client: Client, source: Source, days: Window, timezone: str, load_ids: Collection[int], counts: Mapping[str, Any]
) -> dict[str, Any]:
    """What is out of the ordinary about the days of loads, and which of them were final when they were corrected.

    Args:
        counts: what the loads did together.
    """
    final = list[date]()
    if source.finality and any(counts[f'rows_{part}'] for part in CORRECTED):
        rows, now = client.run(corrected_days(source, load_ids), what='days'), today(timezone)
        final = [row['day'] for row in rows if source.finality.of(row['day']) <= now]
    found: dict[str, Any] = {'final_days': [str(day) for day in final]}
    found['far_off'] = [str(day) for day in standing.far_off(client, source, days)]
    return found | told_stale(standing.stale_now(client, source, days, timezone))


def corrected_days(source: Source, load_ids: Collection[int]) -> str:
    """The query of the days that loads have corrected."""
    numbers = ', '.join(map(str, load_ids))
    return f'select distinct _partition_date as day from {log(source)} where _load_id in ({numbers}) order by day'
