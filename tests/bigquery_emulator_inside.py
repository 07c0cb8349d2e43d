"""The emulator of BigQuery, started so that a test costs less: this runs on its own Python, among its own modules.

For one statement of ours it looks dozens of times whether a table is there and which columns it has, in lists that DuckDB
makes of every table of every project; and to make the tables of a project takes it longer than most tests take.
"""

import json
import os
import re
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
columns: dict[tuple[str, ...], tuple[tuple, list[tuple[str, bool]]]] = {}
tables_of: dict[str, tuple[int | None, dict[tuple[str, str], tuple]]] = {}


class Epoch:
    """The time between two changes of which tables there are, or of their columns.

    Attributes:
        number: of this one.
        changing: how many changes are at work.
    """

    def __init__(self) -> None:
        self.number, self.changing, self._lock = 0, 0, threading.Lock()

    def changed_by(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Work that may change them."""

        def change(*given: Any, **more: Any) -> Any:
            with self._lock:
                self.changing += 1
            try:
                return work(*given, **more)
            finally:
                with self._lock:
                    self.number, self.changing = self.number + 1, self.changing - 1

        return change


epoch = Epoch()
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
    """The columns of a table, and whether each is required."""
    if table[0] == 'emulator':
        return known(DESCRIBED, [database.quote(*table)])
    found = standing(table[0]).get(table[1:], ())
    if not found or found[0] == 'TABLE':
        return [(name, not may_be_null) for name, _, may_be_null, is_whole in found[2:] if is_whole]
    if columns.get(table, ())[:1] != (found,):
        columns[table] = found, known(DESCRIBED, [database.quote(*table)])
    return columns[table][1]


def standing(project: str) -> dict[tuple[str, str], tuple]:
    """Tables and views of a project by data set and name: its kind, number and columns, or what a view is made of."""
    was = None if epoch.changing else epoch.number
    if was is not None and tables_of.get(project, ())[:1] == (was,):
        return tables_of[project][1]
    lake = database.quote(f'__ducklake_metadata_{project}')
    of, now = f'JOIN {lake}.ducklake_schema d USING (schema_id)', 'x.end_snapshot IS NULL AND d.end_snapshot IS NULL'
    found: dict[tuple[str, str], tuple] = {}
    for data_set, name, number, *column in known(
        'SELECT d.schema_name, x.table_name, x.table_id,'
        ' c.column_name, c.column_type, c.nulls_allowed, c.parent_column IS NULL'
        f' FROM {lake}.ducklake_table x {of} LEFT JOIN {lake}.ducklake_column c'
        f' ON c.table_id = x.table_id AND c.end_snapshot IS NULL WHERE {now} ORDER BY x.table_id, c.column_id'
    ):
        found[data_set, name] = (*found.get((data_set, name), ('TABLE', number)), tuple(column))
    views = known(f'SELECT d.schema_name, x.view_name, x.view_id, x.sql FROM {lake}.ducklake_view x {of} WHERE {now}')
    beside = frozenset((table, each[2:]) for table, each in found.items() if 'staging' not in table[0])
    below = hash((beside, *(sql.replace(project, '') for *_, sql in views)))
    for data_set, name, number, sql in views:
        found[data_set, name] = 'VIEW', number, below, sql.replace(project, '')
    if was is not None:
        tables_of[project] = was, found
    return found


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
    there = standing(project_id)
    if table_id is None:
        chosen = sorted((name, each) for (data_set, name), each in there.items() if data_set == dataset_id)
    else:
        chosen = [(table_id, there[dataset_id, table_id])] if (dataset_id, table_id) in there else []
    return [(name, each[0], rows(project_id, each[1]) if each[0] == 'TABLE' else 0) for name, each in chosen]


def rows(project_id: str, number: int) -> int:
    """How many rows a table has."""
    lake = database.quote(f'__ducklake_metadata_{project_id}')
    found = known(f'SELECT record_count FROM {lake}.ducklake_table_stats WHERE table_id = {number}')
    return found[0][0] or 0 if found else 0


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
    with keeping:
        saved[0] += 1
        for key in list(resources):
            if key[1:2] == (project_id,):
                resources.pop(key, None)


database.fetch, database.objects, database._attach = fetch, objects, attach

from local_bigquery.catalog import datasets, metadata  # noqa: E402 -- others take over what they find there
from local_bigquery.sql import translate as translating  # noqa: E402
from sqlglot import exp  # noqa: E402

_list_resources, _save_resource, _delete_resource = metadata.list_, metadata.save, metadata.delete
_parse, _translate = translating.parse, translating.translate
resources: dict[tuple, list[str]] = {}
"""What the emulator keeps of data sets and tables, as JSON: by its kind and the names that were asked for."""
saved, keeping = [0], threading.Lock()


def list_resources(model: type, *keys: str) -> list[Any]:
    """Resources of a kind; the answer holds until one of them is saved."""
    key, before = (metadata.KINDS[model], *keys), saved[0]
    found = resources.get(key)
    if found is None:
        rows = _fetch(
            f'SELECT resource FROM emulator.{key[0]} WHERE {metadata._where(key[0], len(keys))}',
            list(keys),
        )
        found = [resource for (resource,) in rows]
        with keeping:
            if before == saved[0]:
                resources[key] = found
    return [model.model_validate_json(resource) for resource in found]


def changed(change: Callable[..., Any], model: Callable[..., type]) -> Callable[..., Any]:
    """A change of resources, after which they are asked for again."""

    def change_them(first: Any, *keys: str) -> Any:
        try:
            return change(first, *keys)
        finally:
            kind = metadata.KINDS[model(first)]
            with keeping:
                saved[0] += 1
                for key in list(resources):
                    if key[0] == kind and all(a == b for a, b in zip(key[1:], keys, strict=False)):
                        resources.pop(key, None)

    return change_them


metadata.list_ = list_resources
metadata.save, metadata.delete = changed(_save_resource, type), changed(_delete_resource, lambda model: model)


class Translations:
    """What statements are in DuckDB's words, once for all projects: to translate one takes longer than to run it.

    A load of each test sends the same statements. A translation holds for the same text with the same names and types
    around it, as long as the tables that it names are as they were: both are compared. A text that may mean something else
    each time is translated each time.
    """

    AGAIN = re.compile(r'@@|information_schema|system_time|external_query|\bfunction\b|\*`|@-?\d', re.IGNORECASE)
    STAGED = re.compile(r'(?<=staging[.])\w+_\d+\b')

    def __init__(self) -> None:
        self.kept: dict[Any, list[tuple[dict[tuple[str, str], Any], str, set[str], set[tuple[str, str]], set[str]]]] = {}
        self.trees: dict[str, list[exp.Expression]] = {}
        self.conditions: dict[str, exp.Expression] = {}
        self.texts: dict[int, str] = {}  # of trees that are kept

    def parse(self, text: str) -> list[exp.Expression]:
        """The statements of a text; queries and changes of rows are read only, and kept."""
        found = self.trees.get(text)
        if found is None:
            found = _parse(text)
            if len(found) == 1 and isinstance(found[0], (exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge)):
                found = self.trees.setdefault(text, found)  # another job's, if that was faster: an id is one tree's
                self.texts[id(found[0])] = text
        return found

    def evaluate(self, interpreter: Any, text: str) -> Any:
        """The value of an expression of a script."""
        select = self.conditions.get(text)
        if select is None:
            select = self.conditions.setdefault(text, script._select(interpreter.expression(text)))
            self.texts[id(select)] = f'select {text}'
        sql, bound = self.translate(select, interpreter.context)
        [(value,)] = interpreter.cursor.sql(sql, params=bound).fetchall()
        return value

    def state(self, project: str, data_set: str, table: str) -> Any:
        """What a statement may rest on, of a table."""
        found = metadata.load(Table, project, data_set, table)
        told = found and (found.type, found.requirePartitionFilter, str(found.timePartitioning), str(found.view))
        each = standing(project).get((data_set, table), ())
        return each[:1] + each[2:], told, tables.expired(found)

    def translate(self, tree: exp.Expression, context: Any) -> tuple[str, dict]:
        """A statement in DuckDB's words, and the values that it binds."""
        project = context.project_id
        text = self.texts.get(id(tree)) or tree.sql(dialect=translating.BigQueryDialect)
        is_made = isinstance(tree, (exp.Create, exp.Drop, exp.Alter)) and tree.find(exp.TemporaryProperty) is None
        if (
            not project.startswith(COPIED)
            or is_made
            or isinstance(tree, exp.Command)
            or context.functions
            or context.settings
            or self.AGAIN.search(text)
        ):
            return _translate(tree, context)
        variables = sorted(context.variables.items())
        staged = sorted(set(self.STAGED.findall(text)))
        names = [(project, '\x00p'), *((name, f'\x00s{number}\x00') for number, name in enumerate(staged))]
        names += [(table, f'\x00v{number}\x00') for number, (_, table) in enumerate(variables)]
        around = context.dataset_id, context.position, tuple(name for name, _ in variables), frozenset(context.values)
        key = (
            general(text, names),
            type(tree),
            around,
            tuple(sorted(context.parameters.items())),
            frozenset(context.temporary),
        )
        for rests_on, made, used, referenced, temporary in self.kept.get(key, ()):
            if all(self.state(project, *own(table, names)) == was for table, was in rests_on.items()):
                context.used.clear()
                context.used |= used
                context.temporary |= temporary
                context.referenced |= {(project, *own(table, names)) for table in referenced}
                return own((made,), names)[0], {name: context.values[name] for name in used}
        before, named = set(context.temporary), set(context.referenced)
        context.referenced.clear()
        try:
            made, values = _translate(tree, context)
            referenced = set(context.referenced)
        finally:
            context.referenced |= named
        if context.position == around[1] and all(reference[0] == project for reference in referenced):
            found = {tuple(general(part, names) for part in reference[1:]): reference for reference in referenced}
            rests_on = {table: self.state(*reference) for table, reference in found.items()}
            entry = rests_on, general(made, names), set(context.used), set(found), context.temporary - before
            self.kept.setdefault(key, []).append(entry)
        return made, values


def general(text: str, names: list[tuple[str, str]]) -> str:
    """A text without the names that are another's in another project, script or load."""
    for name, mark in names:
        text = text.replace(name, mark) if mark[1] != 's' else re.sub(rf'\b{name}\b', mark, text)
    return text


def own(texts: tuple[str, ...], names: list[tuple[str, str]]) -> tuple[str, ...]:
    """Texts with these names in their places."""
    for name, mark in names:
        texts = tuple(text.replace(mark, name) for text in texts)
    return texts


translations = Translations()

from local_bigquery.catalog import tables  # noqa: E402
from local_bigquery.jobs import merge, query, runner, store  # noqa: E402
from local_bigquery.models import Job, Table  # noqa: E402
from local_bigquery.sql import script  # noqa: E402

script.parse = translations.parse
script.translate = query.translate = merge.translate = translations.translate
script.Interpreter.evaluate = lambda interpreter, text: translations.evaluate(interpreter, text)


_statement, _write = query._statement, tables.write


def statement(cur: Any, tree: exp.Expression, *given: Any) -> Any:
    """Run a statement of a job."""
    is_of_rows = isinstance(tree, (exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge))
    run = _statement if is_of_rows or tree.find(exp.TemporaryProperty) else epoch.changed_by(_statement)
    return run(cur, tree, *given)


def write(cur: Any, sql: str, params: Any, reference: tuple[str, str, str], *given: Any, **more: Any) -> bool:
    """Keep the answer of a query."""
    run = _write if reference[1] == tables.RESULTS else epoch.changed_by(_write)
    return run(cur, sql, params, reference, *given, **more)


query._statement, tables.write = statement, write
database.execute = epoch.changed_by(database.execute)
runner.HANDLERS.update({name: epoch.changed_by(handle) for name, handle in runner.HANDLERS.items()})
_save, _load, _list, _execute, _evaluator = store.save, store.load, store.list_, query.execute, query._evaluator
jobs: dict[tuple[str, str], str] = {}
unwritten: dict[tuple[str, str], Job] = {}
writing = threading.Lock()


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
    """Have in the table of jobs what is kept beside it; one after the other, or the older state of a job might come last."""
    with writing:
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
