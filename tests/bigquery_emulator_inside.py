"""The emulator of BigQuery, started so that a test costs less: this runs on its own Python, among its own modules.

For one statement of ours it looks dozens of times whether a table is there and which columns it has, in lists that DuckDB
makes of every table of every project; and to make the tables of a project takes it longer than most tests take.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from typing import Any

import duckdb
from local_bigquery.engine import database

TEMPLATE, COPIED = 'test-prepared', 'test-'
"""A project with all tables, in files of its own ending; those that are named so begin as a copy of it."""
DESCRIBED = 'SELECT name, "notnull" FROM pragma_table_info(?)'
columns: dict[tuple[str, ...], tuple[list[tuple], list[tuple[str, bool]]]] = {}
OWN = 'kly-bigquery-'
"""How the folders begin that the tests make for an emulator, of each its own."""
_fetch, _attach = database.fetch, database._attach


def fetch(sql: str, params: list | None = None) -> list[tuple]:
    """The rows of a query; which columns a table has is asked of that table."""
    if 'FROM duckdb_columns()' not in sql or not params:
        return _fetch(sql, params)
    table, asked = params[:3], params[3:]
    return [(name,) for name, is_required in described(*table) if (name in asked if asked else is_required)]


def described(*table: str) -> list[tuple[str, bool]]:
    """The columns of a table, and whether each is required; asked once in each version of its project's tables."""
    if table[0] == 'emulator':
        return known(DESCRIBED, [database.quote(*table)])
    lake = database.quote(f'__ducklake_metadata_{table[0]}')
    version = known(f'SELECT schema_version FROM {lake}.ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1')
    if version and columns.get(table, ())[:1] != (version,):
        columns[table] = version, known(DESCRIBED, [database.quote(*table)])
    return columns[table][1] if version else []


def known(sql: str, params: list | None = None) -> list[tuple]:
    """The rows of a query; none, if what it names is not there."""
    try:
        return _fetch(sql, params)
    except (duckdb.CatalogException, duckdb.BinderException):
        return []


def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> list[tuple[str, str, int]]:
    """Tables and views of a data set, and the rows of the tables: DuckLake's catalog is itself a database."""
    if project_id == 'emulator':  # what queries have answered
        found = known(f'SELECT count(*) FROM {database.quote(project_id, dataset_id, table_id)}')
        return [(table_id, 'TABLE', count) for (count,) in found]
    lake = database.quote(f'__ducklake_metadata_{project_id}')
    of, counts = f'JOIN {lake}.ducklake_schema d USING (schema_id)', f'{lake}.ducklake_table_stats'
    now = 'x.end_snapshot IS NULL AND d.end_snapshot IS NULL AND d.schema_name = $1'
    return known(
        f"SELECT x.table_name, 'TABLE', coalesce(s.record_count, 0) FROM {lake}.ducklake_table x {of}"
        f' LEFT JOIN {counts} s USING (table_id) WHERE {now} AND x.table_name = coalesce($2, x.table_name)'
        f" UNION ALL SELECT x.view_name, 'VIEW', 0 FROM {lake}.ducklake_view x {of}"
        f' WHERE {now} AND x.view_name = coalesce($2, x.view_name) ORDER BY 1',
        [dataset_id, table_id],
    )


def has_data_set(project_id: str, dataset_id: str) -> bool:
    """Whether a data set is there."""
    lake = database.quote(f'__ducklake_metadata_{project_id}')
    return bool(known(f'SELECT 1 FROM {lake}.ducklake_schema WHERE end_snapshot IS NULL AND schema_name = ?', [dataset_id]))


def attach(con: duckdb.DuckDBPyConnection, project_id: str) -> None:
    """Have a project there: empty, or with all tables."""
    folder = database.settings.data_dir
    lake, template = folder / f'{project_id}.ducklake', folder / f'{TEMPLATE}.template'
    if project_id.startswith(COPIED) and template.exists() and not lake.exists():
        new = shutil.copy(template, folder / f'{project_id}.new')
        shutil.copytree(folder / f'{TEMPLATE}.files', folder / project_id)
        with duckdb.connect(new) as scratch:  # what is written there names in full the tables that it reads
            for name in ('ducklake_view', 'ducklake_macro_impl'):
                scratch.execute(f'UPDATE {name} SET sql = replace(sql, ?, ?)', [TEMPLATE, project_id])
        new.rename(lake)
        for name, keys in database.RESOURCES.items():
            rest = ''.join(f'{key}, ' for key in keys[1:])
            con.execute(
                f'INSERT INTO emulator.{name} SELECT $new, {rest}replace(resource::VARCHAR, $was, $new)::JSON'
                f' FROM emulator.{name} WHERE project_id = $was',
                {'was': TEMPLATE, 'new': project_id},
            )
    _attach(con, project_id)


database.fetch, database.objects, database._attach = fetch, objects, attach

from local_bigquery.catalog import datasets  # noqa: E402 -- others take over what they find there
from local_bigquery.jobs import query, store  # noqa: E402
from local_bigquery.models import Job  # noqa: E402
from sqlglot import exp  # noqa: E402

_save, _load, _list, _execute, _evaluator = store.save, store.load, store.list_, query.execute, query._evaluator
jobs: dict[tuple[str, str], str] = {}
unwritten: dict[tuple[str, str], Job] = {}


def save(job: Job) -> Job:
    """Keep a job, of a script also those of its statements; it is written into the table of jobs for who asks that."""
    key = job.jobReference.projectId, job.jobReference.jobId
    jobs[key], unwritten[key] = json.dumps(job.dump()), job
    return job


def load(project_id: str, job_id: str) -> Job | None:
    """A job by its name."""
    found = jobs.get((project_id, job_id))
    return Job.model_validate_json(found) if found else _load(project_id, job_id)


def write_jobs() -> None:
    """Have in the table of jobs what is kept beside it."""
    while unwritten:
        _save(unwritten.popitem()[1])


def listed(*given: Any, **more: Any) -> list[Job]:
    """The jobs of a project."""
    write_jobs()
    return _list(*given, **more)


def execute(cur: Any, project_id: str, job_id: str | None, config: Any, *given: Any, **more: Any) -> Any:
    """Run a query."""
    if 'information_schema' in (config.query or '').lower():
        write_jobs()
    return _execute(cur, project_id, job_id, config, *given, **more)


def evaluator(cur: Any) -> Callable[[exp.Expression], Any]:
    """What an option is worth; a text, as nearly all are, is no question for DuckDB."""
    evaluate = _evaluator(cur)
    return lambda node: node.this if isinstance(node, exp.Literal) and node.is_string else evaluate(node)


datasets.exists = has_data_set
store.save, store.load, store.list_ = save, load, listed
query.execute, query._evaluator = execute, evaluator


def end_with_the_tests() -> None:
    """Leave nothing in memory if the tests are killed: what they hold open here ends with them."""
    sys.stdin.buffer.read()
    folder = database.settings.data_dir.parent
    if folder.name.startswith(OWN):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == '__main__':
    from local_bigquery.cli import main

    threading.Thread(target=end_with_the_tests, daemon=True).start()
    main()
