"""What many small files cost, and rows that cannot be used, beside as many good rows in one file.

Job ``smallfiles``: the events of the month as one file, and in files of a hundred rows, each of the day its name says.
Job ``rejects``: a file of which two rows in five lack their event's name (a file with more of them than others would be left
out), beside the same file whole; and the list of them.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl

from bench import oracle
from bench.contestants import Ours, backfill, command, database, fresh
from bench.data import Job, articles, events, local_day
from bench.measure import Cost, Meter

_SMALL = 100  # rows in a file
WAYS = {
    'one file': 'all rows in one undated file, into an empty database',
    'small files': f'the same rows in files of {_SMALL}, each with its day in its name',
    'good': 'a file of good rows, into an empty database',
    'rejected': 'the same file, two rows in five without the name of their event',
    'listed': '`python -m kly_mage rejects`, the whole process',
}
Costs = dict[str, list[Cost]]


def small_files(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> Costs:
    """The two ways to deliver the rows, each loaded into an empty database and compared with the oracle."""
    whole = events(job)[0].with_columns(local_day())
    small = {
        f'ga4_events_{day:%Y%m%d}_{number:05}.csv': rows
        for (day,), of_day in whole.partition_by('day', as_dict=True, include_key=False).items()
        for number, rows in enumerate(of_day.iter_slices(_SMALL))
    }
    zones = {
        'one file': _zone(work, job, 'one', {'ga4_events.csv': whole.drop('day')}),
        'small files': _zone(work, job, 'small', small),
    }
    costs: Costs = {way: [] for way in zones}
    for _ in range(rounds):
        for way, landing in zones.items():
            fresh(host, 'bench_places')
            _measured(meter, costs, way, lambda cost, at=landing: _load(host, at, job, cost))
            with database(host, 'bench_places') as connection:
                wanted = oracle.expected([zones['one file'] / 'ga4_events' / 'ga4_events.csv'])
                oracle.check(f'kly_mage, {way}', connection, str(Ours.result), wanted)
    fresh(host, 'bench_places')
    return costs


def rejects(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> Costs:
    """Loading good rows, loading rejects, and listing these; as many rejects are stored as rows were spoilt."""
    good = events(job)[0]
    number = pl.int_range(good.height, dtype=pl.Int64, eager=True)
    spoilt = good.with_columns(event_name=pl.when(number % 5 > 1).then('event_name'))
    zones = {
        'good': _zone(work, job, 'good', {'ga4_events.csv': good}),
        'rejected': _zone(work, job, 'rejected', {'ga4_events.csv': spoilt}),
    }
    costs: Costs = {'good': [], 'rejected': [], 'listed': []}
    for _ in range(rounds):
        for way, landing in zones.items():
            fresh(host, 'bench_places')
            _measured(meter, costs, way, lambda cost, at=landing: _load(host, at, job, cost))
        _measured(
            meter, costs, 'listed', lambda cost: command(host, 'bench_places', zones['rejected'], ['rejects'], cost, (3,))
        )
        with database(host, 'bench_places') as connection, connection.cursor() as cursor:
            cursor.execute('select count(*) from bronze.rejects')
            found = cursor.fetchone()[0]
        if found != spoilt['event_name'].null_count():
            raise oracle.WrongResultError(f'{found:,} rejects are kept of {spoilt["event_name"].null_count():,}')
    fresh(host, 'bench_places')
    return costs


def _load(host: str, landing: Path, job: Job, cost: Cost) -> None:
    last = job.start + timedelta(days=job.days - 1)
    backfill(host, 'bench_places', landing, job.start, last, cost, done=(0, 3))  # rejects need a look


def _measured(meter: Meter, costs: Costs, way: str, work: Callable[[Cost], object]) -> None:
    with meter.measuring() as cost:
        work(cost)
    costs[way].append(cost)
    stages = ' '.join(f'{stage} {seconds:.2f}' for stage, seconds in cost.stages.items())
    sys.stderr.write(f'{way}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {cost.peak_mb:.0f} MB, {stages}\n')


def _zone(work: Path, job: Job, name: str, files: dict[str, pl.DataFrame]) -> Path:
    """A landing zone of these event files, written if it is not there yet."""
    zone = work / job.name / name
    if not (zone / 'complete').exists():
        (zone / 'ga4_events').mkdir(parents=True, exist_ok=True)
        articles(job).write_csv(zone / 'cms_articles.csv')
        for file, rows in files.items():
            rows.write_csv(zone / 'ga4_events' / file)
        (zone / 'complete').touch()
    return zone
