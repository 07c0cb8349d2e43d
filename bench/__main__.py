"""``python -m bench``: how fast the project is, as ratios to plain SQL measured in the same run.

Every round gives each contestant an empty database and lets it do first, again and late; the order turns from round to
round, and medians are told. Whatever a contestant claims is compared with an oracle (DuckDB over the CSV): a wrong result
ends the benchmark with exit code 1.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

from bench import corrections, dashboard, export, history, in_mage, oracle, places, report, scan, workers
from bench.contestants import Contestant, Floor, Folder, Ours, Yardstick, database
from bench.data import Job, write
from bench.measure import Cost, Meter
from kly_mage.common.settings import load_settings
from kly_mage.warehouse.postgres.embedded import stop_embedded
from kly_mage.warehouse.postgres.server import server

JOBS = {
    'month': Job(1_000_000, 31),
    'day': Job(1_000_000, 1, date(2025, 10, 15)),
    'large': Job(5_000_000, 31),
}
CONTENDERS = {path.parent.name: Folder(path.parent) for path in Path(__file__).parent.glob('contenders/*/about.json')}


def main(arguments: list[str] | None = None) -> int:
    """Run the jobs asked for and write ``bench/RESULTS.md``. 0 done, 1 a contestant was wrong or failed."""
    options = _parser().parse_args(arguments)
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    folders = [CONTENDERS[name].contestant(work) for name in options.contender]
    told = report.Report()
    try:
        with _embedded_server() as (host, postmaster), database(host, 'postgres') as admin:
            meter = Meter(admin, postmaster)
            told.server(admin)
            for name in options.jobs or ['month', 'day', 'scan', 'export', 'corrections']:
                if name == 'history':
                    told.history(history.run(host, meter, work, options.history_days, options.history_rows))
                    continue
                if name == 'history3y':  # a year, two and three of a small publisher
                    told.history(history.run(host, meter, work, 1_095, options.rows or 1_000, parts=3))
                    continue
                if name == 'scan':
                    told.scan(scan.run(host, meter, work, _job('month', options.rows), options.repeat))
                    continue
                if name == 'export':
                    told.export(export.run(host, meter, work, _job('month', options.rows), options.repeat))
                    continue
                if name == 'corrections':
                    told.corrections(corrections.run(host, meter, work, _job('month', options.rows), options.repeat))
                    continue
                if name == 'smallfiles':
                    job = _job('month', options.rows)
                    told.places(name, job, places.small_files(host, meter, work, job, options.repeat))
                    continue
                if name == 'rejects':
                    job = _job('month', options.rows or 750_000)
                    told.places(name, job, places.rejects(host, meter, work, job, options.repeat))
                    continue
                if name == 'workers':
                    job = _job('month', options.rows)
                    told.workers(job, workers.run(host, meter, work, job, options.repeat))
                    continue
                if name == 'mage':
                    told.in_mage(in_mage.run(host, meter, work, _job('day', options.rows), options.repeat))
                    continue
                if name == 'dashboard':
                    told.dashboard(*dashboard.run(host, meter, work, options.repeat))
                    continue
                job = _job(name, options.rows)
                kinds = [Yardstick, Ours, Floor, *(folders if name == 'month' else [])]
                told.job(name, job, _run(job, kinds, host, meter, work, options.repeat))
    except (oracle.WrongResultError, RuntimeError) as error:
        sys.stderr.write(f'error: {error}\n')
        return 1
    if not options.no_results:
        told.write(Path(__file__).with_name('RESULTS.md'))
    return 0


def _job(name: str, rows: int | None) -> Job:
    return replace(JOBS[name], rows=rows or JOBS[name].rows)


def _run(
    job: Job, kinds: list[type[Contestant]], host: str, meter: Meter, work: Path, rounds: int
) -> list[tuple[Contestant, dict[str, list[Cost]]]]:
    """Interleaved rounds; gives the costs of every step, by contestant."""
    files = write(job, work)
    contestants = [kind(host, job) for kind in kinds]
    costs: dict[str, dict[str, list[Cost]]] = {c.name: {step: [] for step in c.steps} for c in contestants}
    for turn in range(rounds):
        start = turn % len(contestants)
        for contestant in contestants[start:] + contestants[:start]:
            contestant.prepare()
            for step in contestant.steps:
                with meter.measuring() as cost:
                    contestant.step(files['late' if step == 'late' else 'first'], cost)
                cost.bytes = contestant.size()
                costs[contestant.name][step].append(cost)
                sys.stderr.write(
                    f'{job.name} round {turn + 1} {contestant.name} {step}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU,'
                    f' {cost.peak_mb:.0f} MB, {" ".join(f"{k} {v:.2f}" for k, v in cost.stages.items())}\n'
                )
                if contestant.result:
                    loaded = [files['first'], files['late']] if step == 'late' else [files['first']]
                    with database(host, contestant.database) as connection:
                        oracle.check(f'{contestant.name}, {step}', connection, contestant.result, oracle.expected(loaded))
            with database(host, 'postgres') as admin, admin.cursor() as cursor:
                cursor.execute(f'drop database {contestant.database} with (force)')
    return [(contestant, costs[contestant.name]) for contestant in contestants]


@contextmanager
def _embedded_server() -> Iterator[tuple[str, int]]:
    """A fresh embedded server with the project's own settings: its socket folder and the postmaster's process id."""
    folder = Path(tempfile.mkdtemp(prefix='kly_bench_', dir='/tmp'))
    settings = replace(load_settings(), local_dir=folder, host=None)
    try:
        host = str(server(settings).host)
        yield host, int((folder / 'postgres' / 'postmaster.pid').read_text().splitlines()[0])
    finally:
        stop_embedded(settings)
        shutil.rmtree(folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m bench', description=__doc__)
    parser.add_argument(
        'jobs',
        nargs='*',
        choices=[
            *JOBS,
            'scan',
            'export',
            'corrections',
            'history',
            'history3y',
            'smallfiles',
            'rejects',
            'workers',
            'dashboard',
            'mage',
            [],
        ],
        help='month, day, scan, export and corrections, if none is named',
    )
    parser.add_argument('--rows', type=int, metavar='N', help='events per job instead of 1 or 5 million')
    parser.add_argument('--repeat', type=int, default=3, metavar='N', help='rounds (3)')
    parser.add_argument(
        '--contender', action='append', default=[], choices=sorted(CONTENDERS), help='further contestant of month'
    )
    parser.add_argument('--history-days', type=int, default=365, metavar='N', help='days of the job history (365)')
    parser.add_argument('--history-rows', type=int, default=10_000, metavar='N', help='events per day there (10,000)')
    parser.add_argument('--no-results', action='store_true', help='leave RESULTS.md as it is')
    parser.add_argument('--work', type=Path, default=Path('.local/bench'), metavar='FOLDER', help='data and environments')
    return parser


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped, too
    sys.exit(main())
