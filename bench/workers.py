"""Days side by side: the files of a month loaded by one process, and by several (``backfill --workers``).

Beside them the server is asked twenty times a second what its sessions wait for: what stands in the way of more of them
shows there, and in the CPU seconds.
"""

import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bench import oracle
from bench.contestants import Ours, backfill, database, fresh
from bench.data import Job, articles, events, local_day
from bench.measure import Cost, Meter

SIDE_BY_SIDE = (1, 2, 4, 8)
_LOOK = 0.05  # seconds between two looks at what sessions wait for


@dataclass
class Team:
    """What so many processes cost, round by round, and the seconds their sessions have waited, by what for.

    Attributes:
        waits: kind and name of a wait, as ``pg_stat_activity`` has them, to session seconds.
    """

    size: int
    costs: list[Cost] = field(default_factory=list)
    waits: Counter[str] = field(default_factory=Counter)


def run(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> list[Team]:
    """Load the month with each number of processes; gold has to be the same."""
    landing, files = _write(work / job.name / 'days', job)
    teams = [Team(size) for size in SIDE_BY_SIDE]
    for turn in range(rounds):
        for team in teams:
            fresh(host, 'bench_workers')
            backfill(
                host, 'bench_workers', landing, job.start - timedelta(days=1), job.start - timedelta(days=1), Cost(), (3,)
            )
            last = job.start + timedelta(days=job.days - 1)
            with meter.measuring() as cost, _Waits(host, team.waits):
                backfill(host, 'bench_workers', landing, job.start, last, cost, workers=team.size)
            team.costs.append(cost)
            told = ', '.join(f'{what} {seconds:.2f}' for what, seconds in team.waits.most_common(6))
            sys.stderr.write(
                f'workers round {turn + 1} {team.size}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU,'
                f' {cost.peak_mb:.0f} MB; waits: {told}\n'
            )
            with database(host, 'bench_workers') as connection:
                oracle.check(f'kly_mage, {team.size} side by side', connection, str(Ours.result), oracle.expected(files))
    fresh(host, 'bench_workers')
    return teams


class _Waits:
    """Looks what sessions of the benchmark's database wait for, beside the work inside."""

    def __init__(self, host: str, waits: Counter[str]) -> None:
        self._host, self._waits, self._over = host, waits, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> '_Waits':
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with database(self._host, 'postgres') as connection, connection.cursor() as cursor:
            while not self._over.wait(_LOOK):
                cursor.execute(
                    "select wait_event_type || ' ' || wait_event from pg_stat_activity"
                    " where datname = 'bench_workers' and state = 'active' and wait_event is not null"
                )
                for (what,) in cursor.fetchall():
                    self._waits[what] += _LOOK


def _write(landing: Path, job: Job) -> tuple[Path, list[Path]]:
    """The month's events as a file a day, written if they are not there yet."""
    if not (landing / 'complete').exists():
        (landing / 'ga4_events').mkdir(parents=True, exist_ok=True)
        articles(job).write_csv(landing / 'cms_articles.csv')
        rows = events(job)[0].with_columns(local_day())
        for (day,), of_day in rows.partition_by('day', as_dict=True, include_key=False).items():
            of_day.write_csv(landing / 'ga4_events' / f'ga4_events_{day:%Y%m%d}.csv')
        (landing / 'complete').touch()
    return landing, sorted((landing / 'ga4_events').iterdir())
