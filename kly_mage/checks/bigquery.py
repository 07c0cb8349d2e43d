"""Does BigQuery do what an emulator cannot show? The sample is loaded into data sets that are dropped again.

Two loads of everything run at once, then a third finds nothing new: processes of the command line, as everybody runs them.
Gold has to be what the sample's truth is, and what the jobs were billed is added up.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from kly_mage.common.errors import KlyError, WarehouseError
from kly_mage.common.records import plain
from kly_mage.common.settings import ENV_FILE, REPOSITORY, Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.warehouse.bigquery import look
from kly_mage.warehouse.bigquery.client import Client, Job
from kly_mage.warehouse.bigquery.engine import BigQuery

PREFIX = 'kly_check_'
JOB_BYTES = 1_000_000_000
"""No job of a check may be billed for more."""
JOBS = 120
"""A check runs fewer jobs, those included that are tried again."""
EVENT_BYTES, KEPT_BYTES, HASH_BYTES = 852, 85, 174
"""What a load reads of each staged event, for what it keeps of its file, and of each hash of its days: docs/bigquery.md, of
which a test keeps all three."""
_IN_THE_WAY = 'another transaction was in the way'
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """A landing zone whose truth is known.

    Attributes:
        new: rows of bronze, by source.
        rows: of ``gold.daily_summary``.
        fingerprint: of these rows (``fingerprint``).
    """

    folder: Path
    days: Window
    timezone: str
    new: Mapping[str, int]
    rows: int
    fingerprint: str


SAMPLE = Sample(
    REPOSITORY / 'data',
    Window(date(2025, 10, 1), date(2025, 10, 31)),
    'Asia/Jakarta',
    {'cms_articles': 317, 'ga4_events': 49_817, 'gam_delivery': 7_991},
    3_709,
    '3f63261b54cd5b24',
)


@dataclass(frozen=True)
class Finding:
    """Something that was looked at; ``is_right`` is None where this service says nothing about it."""

    what: str
    expected: str
    found: str
    is_right: bool | None


@dataclass(frozen=True)
class Report:
    """What a check has found, and the jobs it took."""

    findings: list[Finding]
    jobs: list[Job]


def fingerprint(rows: list[tuple[Any, ...]]) -> str:
    """Tells rows from others, whatever their order."""
    lines = sorted('\x1f'.join('' if value is None else _text(value) for value in row) for row in rows)
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


def throw_away(settings: Settings, sample: Sample) -> Settings:
    """The settings with data sets of their own, and the cap of a check."""
    return replace(
        settings,
        warehouse='bigquery',
        bigquery_prefix=f'{PREFIX}{uuid.uuid4().hex[:8]}_',
        bigquery_max_bytes=min(settings.bigquery_max_bytes, JOB_BYTES),
        data_dir=sample.folder,
        timezone=sample.timezone,
    )


def check(settings: Settings, sample: Sample, tell: Tell) -> Report:
    """Load the sample and look at what came of it. Whatever happens, the data sets are dropped.

    Args:
        settings: those of ``throw_away``.

    Raises:
        KlyError: BigQuery refuses something, or a load fails.
    """
    warehouse, since = BigQuery(settings), datetime.now(UTC)
    Client(settings)  # whoever has no credentials has nothing to drop
    with _dropped(warehouse, tell) as dropped:
        tell('making tables')
        client = warehouse.client
        tell('two loads of the sample at once')
        first = _loads(settings, sample, 2)
        tell('the same load again')
        second = _loads(settings, sample, 1)
        tell('looking at gold')
        findings = [*_of_loads(first, second, sample), *_of_gold(warehouse, sample), _of_verify(warehouse)]
        jobs = client.jobs(since)
        findings += [*_of_bytes(warehouse, jobs, since), of_formula(jobs, sample)]
    return Report(findings + dropped, jobs)


@contextmanager
def _dropped(warehouse: BigQuery, tell: Tell) -> Iterator[list[Finding]]:
    """Whatever happens inside, the data sets are dropped; what it gives has, behind it, a finding about that."""
    found = list[Finding]()
    try:
        yield found
    finally:
        with _undisturbed():
            tell('dropping the data sets')
            try:
                warehouse.drop_everything()
                found.append(Finding('data sets', 'dropped', 'dropped', is_right=True))
            except KlyError as error:
                found.append(Finding('data sets', 'dropped', 'still there', is_right=False))
                tell(f'{warehouse.settings.bigquery_prefix}… may be left in the project: drop these data sets ({error})')


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside, Ctrl-C does nothing: a second one would leave behind what the first was to clear away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class _Load:
    """What a process said: rows that were new, by source, and how often another transaction was in its way."""

    new: dict[str, int]
    waits: int


def _loads(settings: Settings, sample: Sample, at_once: int) -> list[_Load]:
    command = [sys.executable, '-m', 'kly_mage', 'backfill', '--json', '--quiet']
    command += ['--start', str(sample.days.start), '--end', str(sample.days.end)]
    with ExitStack() as ended:
        running = [ended.enter_context(_process(command, settings)) for _ in range(at_once)]
        ended.callback(_terminate, running)
        said = [process.communicate() for process in running]
        return [_said(process.returncode, *told) for process, told in zip(running, said, strict=True)]


def _process(command: list[str], settings: Settings) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, env=_environment(settings), text=True, **pipes)  # noqa: S603


def _terminate(running: list[subprocess.Popen[str]]) -> None:
    for process in running:
        if process.poll() is None:
            process.terminate()


def _said(code: int, out: str, error: str) -> _Load:
    if code not in (0, 3):
        told = [line for line in error.splitlines() if line.startswith('error: ')] or error.splitlines() or ['no word']
        raise WarehouseError(told[-1].removeprefix('error: '))
    loads = [load for each in json.loads(out)['ranges'] for load in each['loads']]
    return _Load({load['source']: load['rows']['new'] for load in loads}, error.count(_IN_THE_WAY))


def _environment(settings: Settings) -> dict[str, str]:
    """That of a process with these settings, whatever else is set here or in ``.env``."""
    own = {name: value for name, value in os.environ.items() if not name.startswith('KLY_')}
    return own | {
        ENV_FILE: os.devnull,
        'KLY_WAREHOUSE': settings.warehouse,
        'KLY_BIGQUERY_PROJECT': settings.bigquery_project or '',
        'KLY_BIGQUERY_LOCATION': settings.bigquery_location,
        'KLY_BIGQUERY_PREFIX': settings.bigquery_prefix,
        'KLY_BIGQUERY_MAX_BYTES': str(settings.bigquery_max_bytes),
        'KLY_DATA_DIR': str(settings.data_dir),
        'KLY_TIMEZONE': settings.timezone,
    }


def _of_loads(first: list[_Load], second: list[_Load], sample: Sample) -> Iterator[Finding]:
    for name, new in sample.new.items():
        each = [load.new.get(name, 0) for load in first]
        yield Finding(f'{name}: new, two loads', f'{new:,}', ' + '.join(f'{n:,}' for n in each), sum(each) == new)
    again = sum(sum(load.new.values()) for load in second)
    yield Finding('new, third load', '0', f'{again:,}', again == 0)
    waits = sum(load.waits for load in first)
    yield Finding('waits for each other', 'some', f'{waits:,}', True if waits else None)


def _of_gold(warehouse: BigQuery, sample: Sample) -> Iterator[Finding]:
    for name, new in sample.new.items():
        rows, hashes = look.counts(warehouse.client, SOURCES[name])
        yield Finding(f'bronze.{name}: rows, hashes', f'{new:,}, {new:,}', f'{rows:,}, {hashes:,}', rows == hashes == new)
    found = look.summary(warehouse.client)
    rows, told = len(found), fingerprint(found)
    yield Finding('gold.daily_summary: rows', f'{sample.rows:,}', f'{rows:,}', rows == sample.rows)
    yield Finding('gold.daily_summary: fingerprint', sample.fingerprint, told, told == sample.fingerprint)


def _of_verify(warehouse: BigQuery) -> Finding:
    report = warehouse.verify()
    found = len(report.differences) if report else 0
    return Finding('verify: differences', '0', f'{found:,}' if report else 'nothing is loaded', bool(report) and not found)


def _of_bytes(warehouse: BigQuery, jobs: list[Job], since: datetime) -> Iterator[Finding]:
    of_jobs = sum(job.bytes for job in jobs)
    try:
        listed, _ = look.billed(warehouse.client, warehouse.settings.bigquery_location, since)
    except WarehouseError:
        yield Finding('INFORMATION_SCHEMA.JOBS', f'{of_jobs:,} bytes', 'not to be seen', None)
        return
    yield Finding('INFORMATION_SCHEMA.JOBS', f'{of_jobs:,} bytes', f'{listed:,} bytes', listed >= of_jobs)


def of_formula(jobs: list[Job], sample: Sample) -> Finding:
    """What the loads have read beside what the formula says: two read all rows, one finds their hashes, a third reads none.

    It takes articles and ads for events of usual lengths, so from half to twice as much is as it should be; anything else
    asks for a look, as nothing does that is seen here for the first time on a service that tells bytes.
    """
    rows = sum(sample.new.values())
    formula, found = rows * (2 * (EVENT_BYTES + KEPT_BYTES) + HASH_BYTES), sum(j.bytes for j in jobs if j.what == 'load')
    is_near = formula < 2 * found < 4 * formula
    return Finding('loads: bytes, by the formula', f'{formula:,}', f'{found:,}', True if is_near else None)


def by_what(jobs: list[Job]) -> dict[str, tuple[int, int, int, int]]:
    """Number of jobs, bytes read, bytes billed and milliseconds of slots, by what the jobs were for."""
    numbers = Counter(job.what for job in jobs)
    return {
        what: (count, *(sum(getattr(job, name) for job in jobs if job.what == what) for name in ('bytes', 'billed', 'slot')))
        for what, count in sorted(numbers.items())
    }


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return plain(value) if isinstance(value, Decimal | date) else str(value)
