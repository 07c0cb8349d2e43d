"""Loads at work (``ops.at_work``): each says that it has begun, and a minute later that it is still there.

What became of a load says ``ops.loads``, which its transaction writes. One that is begun, has not ended and says nothing any
more has died, unless a job of it is still at work: BigQuery finishes what its client has left behind.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from kly_mage.common.errors import KlyError
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.request import Request

logger = logging.getLogger('kly_mage')
SIGN_SECONDS = 60  # between two signs of a load
SILENT_SECONDS = 150  # after which it is taken for dead: two signs that were not heard, and some
AT_WORK = [
    ('start_day', 'date', 'First day asked for.'),
    ('end_day', 'date', 'Last day asked for.'),
    ('started_by', 'string', 'Who asked.'),
    ('pipeline_run', 'string', 'The run of the pipeline, in Mage.'),
    ('signed_at', 'timestamp', 'When it has said so.'),
]
SIGN = (
    'insert into ops.at_work (source, load_id, start_day, end_day, started_by, pipeline_run, signed_at)'
    ' select @source, @load_id, @start, @end, @started_by, @pipeline_run, current_timestamp()'
)
# Those that have not ended.
BEGUN = (
    'select begun.source, begun.load_id, begun.start_day, begun.end_day, begun.silent from ('
    'select source, load_id, min(start_day) as start_day, min(end_day) as end_day,'
    ' timestamp_diff(current_timestamp(), max(signed_at), second) as silent from ops.at_work'
    ' where source in unnest(@sources) group by source, load_id) as begun'
    ' left join ops.loads as ended on begun.source = ended.source and begun.load_id = ended.load_id'
    ' where ended.load_id is null'
)


@contextmanager
def signed(client: Client, request: Request, load_id: int) -> Iterator[None]:
    """Inside, a load is at work, and says so."""
    values = {'source': request.source.name, 'load_id': load_id, 'start': request.window.start, 'end': request.window.end}
    values |= {'started_by': request.started_by, 'pipeline_run': request.pipeline_run}
    client.run(SIGN, values, what='begin', name=f'{request.source.name}_{load_id}')
    is_over = Event()

    def sign() -> None:
        while not is_over.wait(SIGN_SECONDS):
            try:
                client.run(SIGN, values, what='sign')
            except KlyError as error:  # the load itself will meet it, or the next sign is heard
                logger.debug('load %s cannot say that it is at work: %s', load_id, error)

    Thread(target=sign, name=f'load {load_id} is at work', daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def begun(client: Client, sources: list[str]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The loads that have begun and not ended: what is known of them, and whether they are at work."""
    rows = client.run(BEGUN, {'sources': sources}, what='status')
    jobs = client.names_at_work() if any(row['silent'] >= SILENT_SECONDS for row in rows) else []
    for row in rows:
        own = f'_{row["source"]}_{row["load_id"]}'
        yield row, row['silent'] < SILENT_SECONDS or any(f'{own}_' in f'{name}_' for name in jobs)
