"""What Mage takes: a million rows of a day in ``mage run``."""

import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

from bench import oracle
from bench.contestants import REPOSITORY, Ours, backfill, database, environment, fresh
from bench.data import Job, write
from bench.measure import Cost, Meter, run_process

_NAME = 'bench_mage'
WAYS = {
    'a day': '`mage run kly_mage articles_performance` over a million events of one day, the whole process',
}
AIMS = {'a day': 6.0}  # seconds


def run(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> dict[str, list[Cost]]:
    """Each round in an empty database, with gold compared with the oracle."""
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        _measured(costs, 'a day', _day(host, meter, work, job))
    return costs


def _measured(costs: dict[str, list[Cost]], way: str, cost: Cost) -> None:
    costs[way].append(cost)
    sys.stderr.write(f'{way}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {cost.peak_mb:.0f} MB\n')


def _day(host: str, meter: Meter, work: Path, job: Job) -> Cost:
    file = write(job, work)['first']
    fresh(host, _NAME)
    early = date(2024, 1, 1)  # a day without a file makes the tables, which are not measured
    backfill(host, _NAME, file.parents[1], early, early, Cost(), (3,))
    folder = tempfile.mkdtemp(prefix='kly_bench_mage_', dir='/tmp')
    started = [str(Path(sys.executable).with_name('mage')), 'run', str(REPOSITORY / 'kly_mage'), 'articles_performance']
    started += ['--runtime-vars', f'{{"run_date": "{job.start}"}}']
    with meter.measuring() as cost:
        code, told = run_process(started, environment(host, _NAME, file.parents[1]) | {'MAGE_DATA_DIR': folder}, cost)
    if code:
        raise RuntimeError(f'mage run failed with {code}:\n{told[-3000:]}')
    shutil.rmtree(folder, ignore_errors=True)
    with database(host, _NAME) as connection:
        oracle.check('mage run', connection, str(Ours.result), oracle.expected([file]))
    fresh(host, _NAME)
    return cost
