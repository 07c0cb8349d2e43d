"""What a delivery costs that corrects what counts, beside one of that size that only adds: GA4's tables of whole days.

A hundredth of the events comes late, is restated (another traffic source, and one in ten another article), or is withdrawn:
in one table of one day that is delivered again, or spread over the tables of all days, which all are.
"""

import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bench import oracle
from bench.contestants import Ours, backfill, database, fresh
from bench.data import LATE_SHARE, Job, articles, events, local_day
from bench.measure import Cost, Meter

STEPS = {
    'plain': 'the events as one file a day that only adds, `ga4_events_YYYYMMDD.csv`, into an empty database',
    'first': 'the same files as tables of whole days, `events_YYYYMMDD.csv`, into an empty database',
    'day late': 'the table of one day again, with 1 % of all events more',
    'day restated': 'the same table again, as many of its events restated',
    'day withdrawn': 'the same table again, as many of its events gone',
    'spread late': 'all tables again, with 1 % of all events more',
    'spread restated': 'all tables again, 1 % of all events restated',
    'spread withdrawn': 'all tables again, 1 % of all events gone',
}


@dataclass(frozen=True)
class Corrections:
    """What the steps cost."""

    rows: int
    costs: dict[str, list[Cost]]


def run(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> Corrections:
    """All steps, round by round; gold has to be what the newest tables say after each."""
    zones = _write(work / job.name / 'corrections', job)
    costs: dict[str, list[Cost]] = {step: [] for step in STEPS}
    whole = (job.start, job.start + timedelta(days=job.days - 1))
    for turn in range(rounds):
        for step, measured in costs.items():
            name = 'bench_plain' if step == 'plain' else 'bench_corrections'
            if step in ('plain', 'first'):
                fresh(host, name)
            files = sorted((zones / step / 'ga4_events').iterdir())
            days = (_middle(job),) * 2 if step.startswith('day') else whole
            with meter.measuring() as cost:
                backfill(host, name, zones / step, *days, cost, done=(0, 3))  # days that are final are corrected
            measured.append(cost)
            sys.stderr.write(
                f'corrections round {turn + 1} {step}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {cost.peak_mb:.0f} MB,'
                f' {" ".join(f"{k} {v:.2f}" for k, v in cost.stages.items())}\n'
            )
            stays = [file for file in (zones / 'first' / 'ga4_events').iterdir() if file.name != files[0].name]
            with database(host, name) as connection:
                wanted = oracle.expected([*files, *(stays if step.startswith('day') else [])])
                oracle.check(f'kly_mage, {step}', connection, str(Ours.result), wanted)
    for name in ('bench_plain', 'bench_corrections'):
        fresh(host, name)
    return Corrections(job.rows, costs)


def _middle(job: Job) -> date:
    return job.start + timedelta(days=job.days // 2)


def _write(zones: Path, job: Job) -> Path:
    """A landing zone for each step, if they are not there yet; gives their folder."""
    if (zones / 'complete').exists():
        return zones
    middle, size = _middle(job), round(job.rows * LATE_SHARE)
    on_time, late = (frame.with_columns(local_day()) for frame in events(job))
    more = events(Job(size, 1, middle), seed=size)[0].with_columns(local_day())
    of_day, grown = pl.concat([on_time.filter(pl.col('day') == middle), more]), pl.concat([on_time, late])
    tables = {
        'first': on_time,
        'day late': of_day,
        'day restated': _restated(of_day, size),
        'day withdrawn': on_time.filter(pl.col('day') == middle),
        'spread late': grown,
        'spread restated': _restated(grown, size),
        'spread withdrawn': on_time,
    }
    for step, rows in {'plain': on_time, **tables}.items():
        (zones / step / 'ga4_events').mkdir(parents=True, exist_ok=True)
        articles(job).write_csv(zones / step / 'cms_articles.csv')
        for (day,), frame in rows.partition_by('day', as_dict=True, include_key=False).items():
            kind = 'ga4_events' if step == 'plain' else 'events'
            frame.write_csv(zones / step / 'ga4_events' / f'{kind}_{day:%Y%m%d}.csv')
    (zones / 'complete').touch()
    return zones


def _restated(rows: pl.DataFrame, size: int) -> pl.DataFrame:
    """Some ``size`` of the rows with other values; equal rows stay equal, as both are of one instant."""
    chosen = np.random.default_rng(size).choice(rows['event_timestamp'].unique().sort().to_numpy(), size, replace=False)
    is_restated, moves = (
        pl.col('event_timestamp').is_in(chosen.tolist()),
        pl.col('event_timestamp').is_in(chosen[::10].tolist()),
    )
    return rows.with_columns(
        traffic_source=pl.when(is_restated).then(pl.lit('bing')).otherwise('traffic_source'),
        content_id=pl.when(moves).then(pl.lit('art-0')).otherwise('content_id'),
    )
