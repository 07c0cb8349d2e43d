"""What a day costs when the history behind it grows: equal days, loaded one by one as a daily trigger would."""

import shutil
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bench import oracle
from bench.contestants import Ours, backfill, database, fresh
from bench.data import Job, articles, events
from bench.measure import Cost, Meter

_FIRST = date(2025, 1, 1)
_MEASURED = 5  # days in a row, of which the median is told


@dataclass(frozen=True)
class Point:
    """The days around one point of the history."""

    day: int
    costs: list[Cost]


def run(host: str, meter: Meter, work: Path, days: int, rows: int, parts: int = 4) -> list[Point]:
    """Load ``days`` days of ``rows`` events; those around day 10 and after each part one by one, and measured."""
    landing = work / f'history_{days}_{rows}'
    shutil.rmtree(landing, ignore_errors=True)
    (landing / 'ga4_events').mkdir(parents=True)
    articles(Job(rows, 1, _FIRST)).write_csv(landing / 'cms_articles.csv')
    points = [10, *(round(days * part / parts) for part in range(1, parts)), days - 2]
    fresh(host, 'bench_history')
    files, measured, start = [], [Point(point, []) for point in points], 1
    for point in measured:
        alone = range(max(start, point.day - 2), min(point.day + 3, days + 1))
        files += [_write(landing, day, rows) for day in range(start, alone.start)]
        if alone.start > start:
            backfill(host, 'bench_history', landing, _date(start), _date(alone.start - 1), Cost())
            with database(host, 'bench_history') as connection, connection.cursor() as cursor:
                cursor.execute('vacuum analyze')  # what autovacuum does in the night between two days
        for day in alone:
            files.append(_write(landing, day, rows))
            with meter.measuring() as cost:
                backfill(host, 'bench_history', landing, _date(day), _date(day), cost)
            point.costs.append(cost)
            sys.stderr.write(
                f'history day {day}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {cost.wal / 1e6:.1f} MB WAL,'
                f' {" ".join(f"{k} {v:.2f}" for k, v in cost.stages.items())}\n'
            )
        start = alone.stop
    with database(host, 'bench_history') as connection:
        oracle.check('kly_mage, history', connection, str(Ours.result), oracle.expected(files))
    fresh(host, 'bench_history')
    shutil.rmtree(landing)
    return measured


def _date(day: int) -> date:
    return _FIRST + timedelta(days=day - 1)


def _write(landing: Path, day: int, rows: int) -> Path:
    file = landing / 'ga4_events' / f'ga4_events_{_date(day):%Y%m%d}.csv'
    events(Job(rows, 1, _date(day)), seed=day)[0].write_csv(file)
    return file
