"""Who does the job: the project's command line, plain SQL, and the raw limit."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from bench.data import Job
from bench.measure import Cost, run_process

REPOSITORY = Path(__file__).resolve().parents[1]
COLUMNS = (
    'event_timestamp',
    'event_name',
    'user_pseudo_id',
    'session_id',
    'content_id',
    'site',
    'page_location',
    'device_category',
    'country',
    'traffic_source',
)
_METRICS = """
    count(*) filter (where event_name = 'page_view') as pageviews,
    count(distinct (user_pseudo_id, session_id))
        filter (where user_pseudo_id is not null and session_id is not null) as sessions,
    count(*) filter (where event_name = 'user_engagement') as user_engagements
"""


@contextmanager
def database(host: str, name: str) -> Iterator[Connection]:
    """A connection in autocommit."""
    connection = psycopg2.connect(host=host, dbname=name, user='postgres')
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def fresh(host: str, name: str) -> None:
    """An empty database."""
    with database(host, 'postgres') as admin, admin.cursor() as cursor:
        cursor.execute(f'drop database if exists {name} with (force)')
        cursor.execute(f'create database {name}')


class Contestant:
    """One way to do the job, in a database of its own.

    Attributes:
        name: for tables and the name of the database.
        says: what it is, in one line.
        result: the query whose rows are compared with the oracle; None if it does not claim to be right.
        steps: of ``first``, ``again`` and ``late`` those it takes part in.
    """

    name = ''
    says = ''
    result: str | None = None
    steps: tuple[str, ...] = ('first', 'again', 'late')

    def __init__(self, host: str, job: Job) -> None:
        self.host, self.job, self.database = host, job, f'bench_{self.name}'

    def prepare(self) -> None:
        """Before the first step, not measured."""
        fresh(self.host, self.database)

    def step(self, file: Path, cost: Cost) -> None:
        """Load one file and bring the mart up to date."""
        raise NotImplementedError

    def size(self) -> int:
        """Bytes of all its tables and indexes."""
        return _size(self.host, self.database, 'true')


class Ours(Contestant):
    """The command line as people call it, a whole process with its start-up."""

    name = 'kly_mage'
    says = '`python -m kly_mage backfill --pipeline articles_performance`, the whole process'
    result = (
        'select event_date::text, content_id, pageviews, sessions, user_engagements from gold.ga4_daily_summary'
        ' where (pageviews, sessions, user_engagements) ='
        ' (select d.pageviews, d.sessions, d.user_engagements from gold.daily_summary as d'
        ' where d.date = event_date and d.content_id = ga4_daily_summary.content_id)'
    )

    def step(self, file: Path, cost: Cost) -> None:
        """Run the command over all days of the job."""
        last = self.job.start.toordinal() + self.job.days - 1
        backfill(self.host, self.database, file.parents[1], self.job.start, type(self.job.start).fromordinal(last), cost)

    def size(self) -> int:
        """Bronze, registries and the sessions registry, with indexes."""
        return _size(self.host, self.database, "n.nspname = 'bronze' or c.relname like 'ga4_daily_sessions%'")


class Yardstick(Contestant):
    """Plain SQL doing the same: COPY, md5, a unique index, GROUP BY."""

    name = 'plain_sql'
    says = 'plain SQL: `COPY`, `md5`, `INSERT … ON CONFLICT` with a unique index, mart by `GROUP BY`'
    result = 'select event_date::text, content_id, pageviews, sessions, user_engagements from mart'

    def prepare(self) -> None:
        """Its tables."""
        super().prepare()
        with database(self.host, self.database) as connection, connection.cursor() as cursor:
            cursor.execute(f'create table raw ({", ".join(f"{name} text" for name in COLUMNS)})')
            typed = ', '.join(f'{name} {"timestamptz" if name == "event_timestamp" else "text"}' for name in COLUMNS)
            cursor.execute(f'create table events ({typed}, _hashrow text, _updated_at timestamptz)')
            cursor.execute('create unique index on events (_hashrow)')

    def step(self, file: Path, cost: Cost) -> None:
        """Four statements."""
        with database(self.host, self.database) as connection, connection.cursor() as cursor:
            cursor.execute('truncate raw')
            with file.open('rb') as stream:
                cursor.copy_expert('copy raw from stdin (format csv, header)', stream, size=1 << 20)
            text = "||'|'||".join(f"coalesce({name}, '')" for name in COLUMNS)
            values = ', '.join(f'{name}{"::timestamptz" if name == "event_timestamp" else ""}' for name in COLUMNS)
            cursor.execute(f'insert into events select {values}, md5({text}), now() from raw on conflict do nothing')
            cursor.execute('drop table if exists mart')
            cursor.execute(
                "create table mart as select (event_timestamp at time zone 'Asia/Jakarta')::date as event_date,"
                f" coalesce(content_id, '(not set)') as content_id, {_METRICS} from events group by 1, 2"
            )


class Floor(Contestant):
    """The physical limit: the raw file into an unlogged table, and one GROUP BY; no hash, no key, no types."""

    name = 'floor'
    says = 'raw `COPY` + `GROUP BY`: no hash, no key, no types, equal rows counted twice'
    steps = ('first',)

    def step(self, file: Path, cost: Cost) -> None:
        """Two statements."""
        with database(self.host, self.database) as connection, connection.cursor() as cursor:
            cursor.execute(f'create table raw ({", ".join(f"{name} text" for name in COLUMNS)})')
            with file.open('rb') as stream:
                cursor.copy_expert('copy raw from stdin (format csv, header)', stream, size=1 << 20)
            cursor.execute(
                f'create table mart as select left(event_timestamp, 10), content_id, {_METRICS} from raw group by 1, 2'
            )


@dataclass(frozen=True)
class Folder:
    """A contender in a folder of ``bench/contenders``: ``run.py`` and, in ``about.json``, what it is and needs.

    ``environment`` is ``project`` for the interpreter at hand, or the folder whose ``requirements.txt`` is installed into
    an environment of its own.
    """

    path: Path

    def contestant(self, work: Path) -> type[Contestant]:
        """The class that runs it: ``run.py ARGUMENTS HOST DATABASE FILE`` loads one file and brings its mart up to date."""
        about: dict[str, Any] = json.loads((self.path / 'about.json').read_text())
        python = sys.executable if about['environment'] == 'project' else self._python(work, about['environment'])
        command = [python, str(self.path / about.get('script', 'run.py')), *about.get('arguments', [])]

        class Contender(Contestant):
            name = about['name']
            says = about['says']
            result = about['result']

            def step(self, file: Path, cost: Cost) -> None:
                code, told = run_process([*command, self.host, self.database, str(file)], {}, cost)
                if code:
                    raise RuntimeError(f'{self.name} failed:\n{told[-3000:]}')

        return Contender

    def _python(self, work: Path, name: str) -> str:
        """The interpreter of a virtual environment, which is made when missing."""
        home = work / f'venv_{name}'
        python = home / 'bin' / 'python'
        if not (home / 'done').exists():
            subprocess.run([sys.executable, '-m', 'venv', str(home)], check=True)
            requirements = self.path.parent / name / 'requirements.txt'
            subprocess.run([str(python), '-m', 'pip', 'install', '-q', '-r', str(requirements)], check=True)
            (home / 'done').touch()
        return str(python)


def backfill(
    host: str, name: str, landing: Path, start: Any, end: Any, cost: Cost, done: tuple[int, ...] = (0,), workers: int = 1
) -> None:
    """One run of the project's command over the days from ``start`` to ``end``; ``done`` are the exit codes to expect."""
    days = ['--start', str(start), '--end', str(end), '--workers', str(workers)]
    told = command(
        host, name, landing, ['backfill', '--pipeline', 'articles_performance', '--quiet', '--debug', *days], cost, done
    )
    for line in told.splitlines():
        _, found, stages = line.partition('seconds by stage: ')
        if found:
            cost.stages = json.loads(stages)


def command(host: str, name: str, landing: Path, arguments: list[str], cost: Cost, done: tuple[int, ...] = (0,)) -> str:
    """``python -m kly_mage ARGUMENTS`` as a whole process; gives what it said on stderr."""
    code, told = run_process([sys.executable, '-m', 'kly_mage', *arguments], environment(host, name, landing), cost)
    if code not in done:
        raise RuntimeError(f'kly_mage failed with {code}:\n{told[-3000:]}')
    return told


def environment(host: str, name: str, landing: Path) -> dict[str, str]:
    """What a command of the project needs beside this process's own environment."""
    return {
        'PYTHONPATH': str(REPOSITORY),
        'KLY_ENV_FILE': os.devnull,
        'KLY_DATA_DIR': str(landing),
        'KLY_TIMEZONE': 'Asia/Jakarta',
        'KLY_SETTLE_SECONDS': '0',
        'POSTGRES_HOST': host,
        'POSTGRES_PORT': '5432',
        'POSTGRES_DBNAME': name,
        'POSTGRES_USER': 'postgres',
        'POSTGRES_PASSWORD': '',
    }


def _size(host: str, name: str, condition: str) -> int:
    with database(host, name) as connection, connection.cursor() as cursor:
        cursor.execute(
            'select sum(pg_total_relation_size(c.oid))'
            ' from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace'
            f" where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') and ({condition})"
        )
        return int(cursor.fetchone()[0] or 0)
