"""The emulator of BigQuery, started so that a test costs less: this runs on its own Python, among its own modules.

For one statement of ours it looks dozens of times whether a table is there and which columns it has, in lists that DuckDB
makes of every table of every project; and to make the tables of a project takes it longer than most tests take.
"""

import shutil

import duckdb
from local_bigquery.engine import database

TEMPLATE, COPIED = 'test-prepared', 'test-'
"""A project with all tables, in files of its own ending; those that are named so begin as a copy of it."""
_fetch, _attach = database.fetch, database._attach


def fetch(sql: str, params: list | None = None) -> list[tuple]:
    """The rows of a query; which columns a table has is asked of that table."""
    if 'FROM duckdb_columns()' not in sql or not params:
        return _fetch(sql, params)
    table, asked = params[:3], params[3:]
    columns = known('SELECT name, "notnull" FROM pragma_table_info(?)', [database.quote(*table)])
    return [(name,) for name, is_required in columns if (name in asked if asked else is_required)]


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

datasets.exists = has_data_set

if __name__ == '__main__':
    from local_bigquery.cli import main

    main()
