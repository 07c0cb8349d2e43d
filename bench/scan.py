"""What it costs to read a source again, as ``reconcile`` does, beside the raw scan of its file.

``python -m bench.scan WAY FILE`` is one of the processes that are measured; it prints its seconds and CPU seconds without
the imports.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.csv

from bench.contestants import Ours, command, fresh
from bench.data import Job, write
from bench.measure import Cost, Meter, run_process
from kly_mage.declared import SOURCES
from kly_mage.landing import csv as landing_csv
from kly_mage.landing import files as landing
from kly_mage.landing import readers

WAYS = {
    'raw_scan': 'the CSV reader alone: pyarrow with the same options, text columns, slices of the same size, one thread',
    'read': 'the project reading the file: typed, each row with its file and line',
    'reconcile': '`python -m kly_mage reconcile`, the whole process: read, hashed, each row found in bronze and in gold',
}


@dataclass(frozen=True)
class Scan:
    """What the ways of reading one file cost."""

    rows: int
    costs: dict[str, list[Cost]]


def run(host: str, meter: Meter, work: Path, job: Job, rounds: int) -> Scan:
    """Load the file once, then read it again in every way, round by round."""
    first = write(job, work)['first']
    fresh(host, 'bench_scan')
    contestant = Ours(host, job)
    contestant.database = 'bench_scan'
    contestant.step(first, Cost())
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way, measured in costs.items():
            with meter.measuring() as cost:
                if way == 'reconcile':
                    command(host, 'bench_scan', first.parents[1], ['reconcile', '--source', 'ga4_events', '--quiet'], cost)
                else:
                    code, told = run_process([sys.executable, '-m', 'bench.scan', way, str(first)], {}, cost)
                    if code:
                        raise RuntimeError(f'{way} failed:\n{told[-3000:]}')
            if way != 'reconcile':
                cost.seconds, cost.cpu = map(float, told.split())
            measured.append(cost)
            sys.stderr.write(
                f'scan round {number + 1} {way}: {cost.seconds:.2f} s, {cost.cpu:.2f} s CPU, {cost.peak_mb:.0f} MB\n'
            )
    fresh(host, 'bench_scan')
    return Scan(job.rows, costs)


def _raw_scan(file: Path) -> int:
    with file.open('rb') as stream:
        header = stream.readline().decode().strip().split(',')
    with pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(block_size=landing_csv.SLICE_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pyarrow.string()), strings_can_be_null=True, null_values=['']
        ),
    ) as reader:
        return sum(batch.num_rows for batch in reader)


def _read(file: Path) -> int:
    found = [
        each for each in landing.find_files(SOURCES['ga4_events'], file.parents[1], 'UTC') if each.path == file.resolve()
    ]
    frames = readers.read(SOURCES['ga4_events'], found, None, timezone='Asia/Jakarta', late_days=3)
    return sum(frame.height for frame in frames)


if __name__ == '__main__':
    work = {'raw_scan': _raw_scan, 'read': _read}[sys.argv[1]]
    start, cpu = time.perf_counter(), time.process_time()
    work(Path(sys.argv[2]))
    sys.stderr.write(f'{time.perf_counter() - start} {time.process_time() - cpu}')
