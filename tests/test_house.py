"""The house is as docs/architecture.md draws it: who may import whom, where SQL stands, how long a module is.

Every rule reads the modules by ``ast`` and gives what breaks it, one line each; a small tree that breaks it shows that.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from kly_mage.common.settings import REPOSITORY

ROOMS = (
    'cli',
    'dashboard',
    'checks',
    'mage',
    'loads',
    'warehouse',
    'fetch',
    'landing',
    'rows',
    'declared',
    'common',
)  # from above
BLOCKS = ('data_loaders', 'transformers', 'data_exporters', 'callbacks', 'charts')
OPEN_TO_BLOCKS = ('loads', 'mage', 'declared')
WITHOUT_ROOM = ('security', 'walk', 'bench')  # tests that go through all rooms, or look at what is no room
DRIVERS = ('psycopg2', 'psycopg', 'asyncpg', 'sqlalchemy', 'sqlite3', 'adbc_driver_postgresql', 'google')
FETCHING = ('kly_mage.fetch.bigquery', 'kly_mage.fetch.bucket', 'kly_mage.fetch.refusals')
ENGINES = ('postgres', 'bigquery')
LINES = 350
REASON = re.compile(rf'\blonger than {LINES} lines because\b')
STATEMENT = re.compile(
    r"""\s*(--[^\n]*\n\s*)*(
        select\s | insert\s+into\s | update\s+\S+\s+(as\s+\S+\s+)?set\s | delete\s+from\s | merge\s+into\s
        | with\s+(recursive\s+)?\S+\s+as\s+(not\s+)?(materialized\s*)?\( | copy\s+\S+\s*(\(|from|to)
        | truncate\s | lock\s+table\s | refresh\s+materialized\s
        | (create|alter|drop)\s+(or\s+replace\s+)?(temp|temporary|unique|materialized)?\s*
          (table|view|index|schema|database|role|function|type|sequence|extension)\s
        | comment\s+on\s | grant\s.*\son\s | revoke\s.*\son\s | set\s+(local|session|transaction)\s | explain\s
    )""",
    re.IGNORECASE | re.VERBOSE,
)
Rule = Callable[[Path], list[str]]


@cache
def modules(root: Path) -> list[tuple[str, Path]]:
    """Every module of the project by its dotted name."""
    found = []
    for path in sorted((root / 'kly_mage').rglob('*.py')):
        parts = path.relative_to(root).with_suffix('').parts
        found.append(('.'.join(parts[:-1] if parts[-1] == '__init__' else parts), path))
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text('utf-8'), str(path))


def room(module: str) -> str:
    """The folder of a module: the second part of its name; empty for the package itself."""
    return f'{module}.'.split('.')[1]


def imports(root: Path, path: Path) -> Iterator[tuple[str, list[str]]]:
    """Every import of a module, wherever it stands, as the module and the names that are taken from it."""
    own = '.'.join(path.relative_to(root).with_suffix('').parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = '.'.join(own.split('.')[: -node.level]) if node.level else ''
            yield '.'.join(filter(None, (package, node.module))), [alias.name for alias in node.names]


def imported(root: Path, path: Path) -> set[str]:
    """The modules of the project that a module imports."""
    known = {name for name, _ in modules(root)}
    found = set()
    for module, names in imports(root, path):
        if module.split('.')[0] == 'kly_mage':
            of_names = {f'{module}.{name}' for name in names} & known
            found |= of_names | ({module} if len(of_names) < len(names) or not names else set())
    return found


def imports_run_downwards(root: Path) -> list[str]:
    found = []
    for name, path in modules(root):
        own = room(name)
        for other in sorted(imported(root, path)):
            target = room(other)
            if target in (own, '') or own in ('', '__main__'):
                allowed = own != '__main__' or target in ('', 'cli')
            elif own in BLOCKS:
                allowed = target in OPEN_TO_BLOCKS
            else:
                allowed = own in ROOMS and target in ROOMS and ROOMS.index(own) < ROOMS.index(target)
            if not allowed:
                found.append(f'{name} imports {other}')
    return found


def imports_make_no_circle(root: Path) -> list[str]:
    graph = {name: imported(root, path) - {'kly_mage'} for name, path in modules(root)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [' < '.join(error.args[1])]
    return []


def only_the_warehouse_knows_the_driver(root: Path) -> list[str]:
    """Neither imported elsewhere nor named in a text, such as an address. What fetches from BigQuery has Google's, too."""
    found = []
    for name, path in modules(root):
        if name in FETCHING or name.startswith(tuple(f'kly_mage.warehouse.{engine}.' for engine in ENGINES)):
            continue
        found += [f'{name} imports {module}' for module, _ in imports(root, path) if module.split('.')[0] in DRIVERS]
        found += [f'{name}, line {node.lineno}: {node.value}' for node in texts(path) if 'psycopg' in node.value]
    return found


def only_the_warehouse_speaks_sql(root: Path) -> list[str]:
    """Statements in texts; and files, which the editor's SQL blocks are as well."""
    found = []
    for name, path in modules(root):
        if not name.startswith(tuple(f'kly_mage.warehouse.{engine}' for engine in ENGINES)):
            found += [f'{name}, line {n.lineno}: {n.value.strip()[:40]}' for n in texts(path) if STATEMENT.match(n.value)]
    for path in sorted((root / 'kly_mage').rglob('*.sql*')):
        place = path.relative_to(root / 'kly_mage').parts
        if (
            place[:2] not in [('warehouse', engine) for engine in ENGINES]
            and place[0] not in BLOCKS
            and place[0] != '.file_versions'
        ):
            found.append('/'.join(place))
    return found


def texts(path: Path) -> list[ast.Constant]:
    """The texts of a module, parts of f-strings among them, but no docstring."""
    nodes = list(ast.walk(tree(path)))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {id(node.body[0].value) for node in nodes if isinstance(node, documented) and ast.get_docstring(node)}
    return [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docstrings]


def no_module_is_too_long(root: Path) -> list[str]:
    """Or its docstring says why it is."""
    found = []
    for folder in ('kly_mage', 'bench', 'data', 'docs'):
        for path in sorted((root / folder).rglob('*.py')):
            lines = len(path.read_text('utf-8').splitlines())
            if lines > LINES and not REASON.search(' '.join((ast.get_docstring(tree(path)) or '').split())):
                found.append(f'{path.relative_to(root)} has {lines} lines')
    return found


def private_names_stay_in_their_module(root: Path) -> list[str]:
    """``_x`` is neither imported from another module of the project nor taken from it as an attribute."""
    known, found = {name for name, _ in modules(root)}, []
    for name, path in modules(root):
        local = {}
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('kly_mage'):
                found += [f'{name} imports {node.module}.{a.name}' for a in node.names if _is_private(a.name)]
                local |= {a.asname or a.name: f'{node.module}.{a.name}' for a in node.names}
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and _is_private(node.attr):
                module = local.get(node.value.id)
                if module in known:
                    found.append(f'{name} uses {module}.{node.attr}')
    return found


def _is_private(name: str) -> bool:
    return name.startswith('_') and not name.endswith('__')


def every_test_has_a_room_of_the_project(root: Path) -> list[str]:
    found = []
    for path in sorted((root / 'tests').rglob('test_*.py')):
        folder = path.parent.relative_to(root / 'tests')
        if folder.parts and folder.parts[0] not in WITHOUT_ROOM and not (root / 'kly_mage' / folder).is_dir():
            found.append(f'{path.relative_to(root)} has no room')
    return found


BROKEN: list[tuple[Rule, dict[str, str], list[str]]] = [
    (
        imports_run_downwards,
        {
            'kly_mage/rows/a.py': 'from kly_mage.landing import csv\nfrom kly_mage.common import text\n',
            'kly_mage/landing/csv.py': 'def read():\n    from kly_mage.warehouse.postgres.load import load\n',
            'kly_mage/common/text.py': 'from ..declared import marts\n',
            'kly_mage/declared/marts.py': 'from kly_mage import __version__\n',
            'kly_mage/warehouse/postgres/load.py': 'import kly_mage.rows.a\n',
            'kly_mage/data_loaders/a.py': 'from kly_mage.loads.steps import x\nfrom kly_mage.warehouse import postgres\n',
            'kly_mage/loads/steps.py': 'from kly_mage.attic import y\n',
            'kly_mage/attic/__init__.py': '',
            'kly_mage/__main__.py': 'from kly_mage.cli.main import main\nfrom kly_mage.rows.a import b\n',
        },
        [
            'kly_mage.__main__ imports kly_mage.rows.a',
            'kly_mage.common.text imports kly_mage.declared.marts',
            'kly_mage.data_loaders.a imports kly_mage.warehouse.postgres',
            'kly_mage.landing.csv imports kly_mage.warehouse.postgres.load',
            'kly_mage.loads.steps imports kly_mage.attic',
            'kly_mage.rows.a imports kly_mage.landing.csv',
        ],
    ),
    (
        imports_make_no_circle,
        {
            'kly_mage/rows/a.py': 'from kly_mage.rows import b\n',
            'kly_mage/rows/b.py': 'def late():\n    from kly_mage.rows.a import x\n',
        },
        ['kly_mage.rows.a < kly_mage.rows.b < kly_mage.rows.a'],
    ),
    (
        only_the_warehouse_knows_the_driver,
        {
            'kly_mage/checks/a.py': 'def late():\n    from psycopg2.extensions import cursor\n',
            'kly_mage/mage/a.py': 'ADDRESS = f"postgresql+psycopg2://{user}@"\n',
            'kly_mage/warehouse/base.py': 'import sqlalchemy\n',
            'kly_mage/warehouse/postgres/b.py': 'import psycopg2\n',
            'kly_mage/loads/c.py': 'from google.cloud import bigquery\n',
            'kly_mage/fetch/ga4.py': 'from google.cloud import bigquery\n',
            'kly_mage/fetch/bigquery.py': 'from google.cloud import bigquery\n',
            'kly_mage/fetch/bucket.py': 'from google.cloud import storage\n',
            'kly_mage/fetch/refusals.py': 'from google.auth import exceptions\n',
            'kly_mage/warehouse/bigquery/d.py': 'from google.cloud import bigquery\n',
        },
        [
            'kly_mage.checks.a imports psycopg2.extensions',
            'kly_mage.fetch.ga4 imports google.cloud',
            'kly_mage.loads.c imports google.cloud',
            'kly_mage.mage.a, line 1: postgresql+psycopg2://',
            'kly_mage.warehouse.base imports sqlalchemy',
        ],
    ),
    (
        only_the_warehouse_speaks_sql,
        {
            'kly_mage/checks/a.py': '"""Select what is to be checked."""\nA = "SELECT 1"\nB = f"delete from {A}"\n',
            'kly_mage/cli/b.py': 'A = """\n-- what is new\nwith new as (select 1)\n"""\nB = "create table x ()"\n',
            'kly_mage/cli/c.py': 'A = "update your .env"\nB = "with care"\nC = "x in (select)"\nD = "selected"\n',
            'kly_mage/cli/d.py': 'def d():\n    "Update bronze set by set."\n    run("update bronze set x = 1")\n',
            'kly_mage/warehouse/postgres/e.py': 'A = "select 1"\n',
            'kly_mage/warehouse/bigquery/marts/f.sql': 'select 1',
            'kly_mage/data_exporters/mart.sql': 'select 1',
            'kly_mage/checks/verify.sql': 'select 1',
            'kly_mage/mage/mart.sql.template': 'select 1',
        },
        [
            'kly_mage.checks.a, line 2: SELECT 1',
            'kly_mage.checks.a, line 3: delete from',
            'kly_mage.cli.b, line 1: -- what is new\nwith new as (select 1)',
            'kly_mage.cli.b, line 5: create table x ()',
            'kly_mage.cli.d, line 3: update bronze set x = 1',
            'checks/verify.sql',
            'mage/mart.sql.template',
        ],
    ),
    (
        no_module_is_too_long,
        {
            'kly_mage/rows/a.py': '"""Rows."""\n' + 'x = 1\n' * 350,
            'kly_mage/rows/b.py': '"""Rows."""\n' + 'x = 1\n' * 349,
            'kly_mage/rows/c.py': '"""Rows.\n\nIt is longer than\n350 lines because it is a table.\n"""\n' + 'x = 1\n' * 350,
            'bench/d.py': 'x = 1\n' * 351,
        },
        ['kly_mage/rows/a.py has 351 lines', 'bench/d.py has 351 lines'],
    ),
    (
        private_names_stay_in_their_module,
        {
            'kly_mage/rows/a.py': 'from kly_mage.rows.b import _x, y\nfrom kly_mage.rows import b as other\nother._z()\n',
            'kly_mage/rows/b.py': 'from kly_mage import __version__\nimport os\nos._exit\n',
        },
        ['kly_mage.rows.a imports kly_mage.rows.b._x', 'kly_mage.rows.a uses kly_mage.rows.b._z'],
    ),
    (
        every_test_has_a_room_of_the_project,
        {
            'kly_mage/rows/a.py': '',
            'tests/test_all.py': '',
            'tests/rows/test_a.py': '',
            'tests/walk/test_start.py': '',
            'tests/frames/test_b.py': '',
            'tests/rows/odd/test_c.py': '',
        },
        ['tests/frames/test_b.py has no room', 'tests/rows/odd/test_c.py has no room'],
    ),
]  # fmt: skip
rules = pytest.mark.parametrize(('rule', 'files', 'found'), BROKEN, ids=[rule.__name__ for rule, *_ in BROKEN])


@rules
def test_the_project_keeps_the_rule(rule: Rule, files: dict[str, str], found: list[str]) -> None:
    assert rule(REPOSITORY) == []


@rules
def test_the_rule_finds_what_breaks_it_and_nothing_else(
    tmp_path: Path, rule: Rule, files: dict[str, str], found: list[str]
) -> None:
    for name, text in {'kly_mage/cli/main.py': '', 'kly_mage/warehouse/postgres/__init__.py': '', **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, 'utf-8')
    assert rule(tmp_path) == found


def test_the_documents_name_the_rooms_that_there_are() -> None:
    """The picture in docs/architecture.md has the order that is checked here."""
    drawn = next(line for line in (REPOSITORY / 'docs/architecture.md').read_text('utf-8').splitlines() if 'CLI -->' in line)
    there = [name for name in ROOMS if (REPOSITORY / 'kly_mage' / name).is_dir()]
    assert [name.strip().lower() for name in drawn.split('-->')] == there
    folders = {path.parent.name for path in (REPOSITORY / 'kly_mage').glob('*/__init__.py')}
    assert folders - {*BLOCKS, 'pipelines'} == set(there)


def test_a_load_starts_without_libraries_that_it_may_not_need() -> None:
    # Each takes a command 10 to 60 ms to import: for a mapping, a table on a terminal, Avro, Parquet, Mage, the dashboard.
    code = 'import sys, kly_mage.cli.backfill, kly_mage.loads.steps; print(*sys.modules)'
    told = subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    rarely = {'pydantic', 'rich', 'fastavro', 'pyarrow.parquet', 'pandas', 'mage_ai', 'streamlit', 'importlib.metadata'}
    assert not rarely & set(told.split())
