"""``ops.costs``: what each load, refresh and check has read and was billed, as BigQuery says of its jobs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kly_mage.common.errors import KlyError, UnreachableError
from kly_mage.common.window import Window
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.costs import Cost

logger = logging.getLogger('kly_mage')
COSTS = [
    ('run', 'string', 'What was done: load, refresh or a check, and of what.'),
    ('load_id', 'int64', 'The load, if it was one.'),
    ('finished_at', 'timestamp', 'When it was done.'),
    ('jobs', 'int64', 'How many jobs it took.'),
    ('bytes_processed', 'int64', 'Bytes they have read.'),
    ('bytes_billed', 'int64', 'Bytes that are billed for them.'),
    ('slot_ms', 'int64', 'Milliseconds of slots they have used.'),
]
NOTE = (
    'insert into ops.costs (run, load_id, finished_at, jobs, bytes_processed, bytes_billed, slot_ms)'
    # Of what is no load the parameter is NULL, which is a text.
    ' select @run, cast(@load_id as int64), current_timestamp(), @jobs, @bytes_processed, @bytes_billed, @slot_ms'
)
BY_DAY = (
    'select date(finished_at, @timezone) as day, count(*) as runs, sum(bytes_processed) as bytes_processed,'
    ' sum(bytes_billed) as bytes_billed, sum(slot_ms) as slot_ms from ops.costs'
    ' where date(finished_at, @timezone) between @start and @end group by day order by day desc'
)


@contextmanager
def noted(client: Client, run: str) -> Iterator[dict[str, int]]:
    """Inside a run is done, whose cost is written down at its end, also if it fails; the number of a load is put into it."""
    load = dict[str, int]()
    try:
        yield load
    except UnreachableError:  # it would meet this statement as well
        raise
    except BaseException:
        note(client, run, load.get('load_id'))
        raise
    note(client, run, load.get('load_id'))


def note(client: Client, run: str, load_id: int | None = None) -> None:
    """Write down what the jobs of a run have read, which is done: if that fails, only its cost is not known."""
    jobs = client.spent()
    values = {
        'run': run,
        'load_id': load_id,
        'jobs': len(jobs),
        'bytes_processed': sum(job.bytes for job in jobs),
        'bytes_billed': sum(job.billed for job in jobs),
        'slot_ms': sum(job.slot for job in jobs),
    }
    try:
        client.run(NOTE, values, what='costs')
    except KlyError as error:
        logger.warning('what %s has read is not noted: %s', run, error)


def by_day(client: Client, days: Window, timezone: str) -> list[Cost]:
    """What these days have cost, the last one first."""
    values = {'start': days.start, 'end': days.end, 'timezone': timezone}
    return [Cost(**row) for row in client.run(BY_DAY, values, what='status')]
