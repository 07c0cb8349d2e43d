"""The real GoogleSQL for tests: ZetaSQL's analyzer as a local server, which says whether a statement is right.

The server is one file of npm's ``@fivetrandevelopers/zetasql``, its messages are those of PyPI's ``zetasql``. Both are
installed once per machine, into a folder of the user's cache.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kly_mage.warehouse.bigquery import unchanged
from kly_mage.warehouse.bigquery.correcting import PARAMETERS
from kly_mage.warehouse.bigquery.text import placed
from tests.bigquery_emulator import built, uv
from tests.ports import free_port

SERVER, MESSAGES, GRPC = '1.13.0', '0.1.5', '1.74.0'
SECONDS = 120  # for an answer: a tenth of one as a rule, but the machine may have much else to do
_CREATED = re.compile(r'create table if not exists (\w+)\.(\w+) \((.*?)\n\)', re.DOTALL)
_TEXTS = ('array', 'string')
# Those of all statements.
_PARAMETERS = {
    **dict.fromkeys(('file_names', 'file_sizes', 'file_times', 'read', 'found', 'left_out', 'sources', 'rejects'), _TEXTS),
    **dict.fromkeys(('own_files', 'own_days', 'file_days', 'records', 'named', 'named_days', 'hashes', *PARAMETERS), _TEXTS),
    **dict.fromkeys((*unchanged.WHICH, *unchanged.NOTED), _TEXTS),
    **dict.fromkeys(('may_hold_from', 'may_hold_until', 'runs', 'any_day', 'names', 'announced'), _TEXTS),
    **dict.fromkeys(('started_by', 'source', 'error', 'article', 'since', 'prefix'), ('string',)),
    **dict.fromkeys(('pipeline_run', 'run', 'timezone', 'by', 'why', 'file', 'asked', 'value', 'reasons'), ('string',)),
    **dict.fromkeys(('finding', 'amount', 'usual'), ('string',)),
    **dict.fromkeys(('load_id', 'jobs', 'bytes_processed', 'bytes_billed', 'slot_ms'), ('int64',)),
    **dict.fromkeys(('start', 'end', 'day'), ('date',)),
}
# What BigQuery keeps for itself, though GoogleSQL does not know: no column of ours, in whatever table, may begin so.
_RESERVED = re.compile(
    r"'(?:[^'\\]|\\.)*'|--[^\n]*"
    r'|(?<!\w)((?:_partition|_table_|_file_|_row_timestamp|__root__|_colidentifier|_change_(?:sequence_number|type|timestamp))\w*)',
    re.IGNORECASE,
)
_STEP = re.compile(r'\s*(?:--[^\n]*\n\s*)*(?:end if;\s*)*')


class GoogleSql:
    """A connection to the analyzer, and the tables it knows.

    Args:
        schema: statements that create tables; what is not in them is not there.
    """

    def __init__(self, port: int, schema: str) -> None:
        import grpc
        from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as messages
        from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
        from zetasql.wasi._pb2.zetasql.public import options_pb2 as public
        from zetasql.wasi._pb2.zetasql.public import type_pb2

        self.scans: list[tuple[str, tuple[str, ...]]] = []
        """What the statements that were right read: tables, in the order of the statements, and the columns of each."""
        self._grpc, self._messages, self._types = grpc, messages, type_pb2
        self._channel = grpc.insecure_channel(f'127.0.0.1:{port}')
        grpc.channel_ready_future(self._channel).result(timeout=SECONDS)
        asked = messages.LanguageOptionsRequest(maximum_features=True)
        self._options = self._call('GetLanguageOptions', asked, options_pb2.LanguageOptionsProto)
        self._options.product_mode = public.PRODUCT_EXTERNAL
        del self._options.supported_statement_kinds[:]  # none named: all
        self._catalog = simple_catalog_pb2.SimpleCatalogProto(name='project')
        self._catalog.builtin_function_options.language_options.CopyFrom(self._options)
        self._sets: dict[str, Any] = {}
        self._values: dict[str, tuple[str, ...]] = {}
        for place, name, body in _CREATED.findall(schema):
            self.add_table(place, name, [(column, self.kind(kind)) for column, kind in re.findall(r'`(\w+)` (\w+)', body)])

    def add_table(self, place: str, name: str, columns: list[tuple[str, Any]]) -> None:
        """Have a table: in a data set (``REGION.NAME`` if it is the region's), or a temporary one if ``place`` is empty."""
        if place and place not in self._sets:
            region, _, name_of_set = place.rpartition('.')
            catalog = self._catalog.catalog.add(name=region) if region else self._catalog
            self._sets[place] = catalog.catalog.add(name=name_of_set)
        tables = (self._sets[place] if place else self._catalog).table
        _leave_out(tables, lambda each: each.name == name)
        table = tables.add(name=name)
        for column, kind in columns:
            table.column.add(name=column, is_writable_column=True).type.CopyFrom(kind)

    def add_nested(self, place: str, name: str, schema: Any) -> None:
        """Have a table with groups and lists, whose columns are those of a schema of Arrow."""
        self.add_table(place, name, [(field.name, self._nested(field.type)) for field in schema])

    def evaluate(self, query: str, table: str, schema: Any, rows: list[dict[str, Any]]) -> list[list[Any]]:
        """What a query over one table gives, as texts, numbers and days; the reference evaluator works it out.

        Args:
            rows: of the table, as Arrow's ``to_pylist`` gives them.
        """
        request = self._messages.EvaluateQueryRequest(sql=query)
        request.options.language_options.CopyFrom(self._options)
        request.simple_catalog.CopyFrom(self._catalog)
        content = request.table_content[table].table_data
        for row in rows:
            cells = content.row.add().cell
            for field in schema:
                cells.append(self._value(row.get(field.name), field.type))
        told = self._call('EvaluateQuery', request, self._messages.EvaluateQueryResponse)
        return [[_plain(cell) for cell in row.cell] for row in told.content.table_data.row]

    def _nested(self, kind: Any) -> Any:
        import pyarrow as pa

        if pa.types.is_list(kind):
            found = self._types.TypeProto(type_kind=self._types.TYPE_ARRAY)
            found.array_type.element_type.CopyFrom(self._nested(kind.value_type))
            return found
        if pa.types.is_struct(kind):
            found = self._types.TypeProto(type_kind=self._types.TYPE_STRUCT)
            for field in kind:
                found.struct_type.field.add(field_name=field.name).field_type.CopyFrom(self._nested(field.type))
            return found
        names = {pa.string(): 'string', pa.int64(): 'int64', pa.float64(): 'double', pa.bool_(): 'bool'}
        return self.kind(names[kind])

    def _value(self, value: Any, kind: Any) -> Any:
        import pyarrow as pa
        from zetasql.wasi._pb2.zetasql.public import value_pb2

        found = value_pb2.ValueProto()
        if pa.types.is_list(kind):  # without one it is empty, as in BigQuery
            found.array_value.SetInParent()
            found.array_value.element.extend(self._value(each, kind.value_type) for each in value or ())
        elif value is None:
            return found
        elif pa.types.is_struct(kind):
            found.struct_value.SetInParent()
            found.struct_value.field.extend(self._value(value.get(field.name), field.type) for field in kind)
        else:
            names = {pa.string(): 'string_value', pa.int64(): 'int64_value', pa.float64(): 'double_value'}
            setattr(found, names.get(kind, 'bool_value'), value)
        return found

    def widen(self, place: str, name: str, texts: list[str]) -> None:
        """Add columns of text to a table, where it has them not."""
        (table,) = (each for each in self._sets[place].table if each.name == name)
        for column in set(texts) - {column.name for column in table.column}:
            table.column.add(name=column, is_writable_column=True).type.CopyFrom(self.kind('string'))

    def refusal(self, statement: str) -> str | None:
        """Why a statement is none of GoogleSQL; None if it is right. A temporary table it makes is there from then on."""
        if reserved := [found[1] for found in _RESERVED.finditer(placed(statement, '')) if found[1]]:
            return f'Invalid field name "{reserved[0]}"'
        request = self._messages.AnalyzeRequest(sql_statement=statement)
        request.options.language_options.CopyFrom(self._options)
        request.options.prune_unused_columns = True
        for name, kind in (_PARAMETERS | self._values).items():
            request.options.query_parameters.add(name=name).type.CopyFrom(self.kind(*kind))
        request.simple_catalog.CopyFrom(self._catalog)
        try:
            told = self._call('Analyze', request, self._messages.AnalyzeResponse)
        except self._grpc.RpcError as error:
            return str(error.details())
        self.scans += _scans(told.resolved_statement)
        made = told.resolved_statement.resolved_create_statement_node
        if named := re.fullmatch(r'create table (\w+)\.(\w+) \((.*)\)', statement, re.DOTALL):
            columns = (column.split() for column in named[3].split(', '))
            self.add_table(named[1], named[2], [(name.strip('`'), self.kind(kind)) for name, kind in columns])
        elif named := re.match(r'alter table (\w+)\.(\w+) add column', statement):
            self.widen(named[1], named[2], re.findall(r'add column if not exists `?(\w+)`? string', statement))
        if named := re.match(r'create temp table (\w+) as', statement):
            query = made.resolved_create_table_stmt_base_node.resolved_create_table_as_select_stmt_node
            self.add_table('', named[1], [(each.name, each.column.type) for each in query.output_column_list])
        elif named := re.match(r'create or replace view (\w+)\.(\w+)', statement):
            view = made.resolved_create_view_base_node.resolved_create_view_stmt_node.parent
            self.add_table(named[1], named[2], [(each.name, each.column.type) for each in view.output_column_list])
        return None

    def refusals(self, script: str, values: dict[str, Any] | None = None) -> list[str]:
        """Why statements of a script are none of GoogleSQL, each with how it begins.

        A variable is a constant to the analyzer, an assignment and a condition are selected.

        Args:
            values: of its parameters, which have the types that the client gives them.
        """
        found, self._values = [], {name: _kind_of(value) for name, value in (values or {}).items()}
        for step in re.split(r';\n|(?<= then)\n', script + '\n'):
            statement = _STEP.sub('', step, count=1).strip().removesuffix(';')
            if declared := re.fullmatch(r'declare (\w+) (\w+)(?:<(\w+)>)?(?: default .*)?', statement):
                self._declare(*declared.groups())
                continue
            if not statement or statement in ('end if', 'begin transaction', 'commit transaction'):
                continue
            if condition := re.fullmatch(r'if (.*) then', statement, re.DOTALL):
                statement = f'select ({condition[1]})'
            if assigned := re.fullmatch(r'set \w+ = (.*)', statement, re.DOTALL):
                statement = f'select {assigned[1]}'
            if refused := self.refusal(statement):
                found.append(f'{refused} <- {" ".join(statement.split())[:100]}')
        return found

    def _declare(self, name: str, kind: str, element: str | None) -> None:
        from zetasql.wasi._pb2.zetasql.public import value_pb2

        _leave_out(self._catalog.constant, lambda each: list(each.name_path) == [name])
        constant = self._catalog.constant.add(name_path=[name])
        constant.type.CopyFrom(self.kind(kind, element))
        constant.value.CopyFrom(value_pb2.ValueProto())

    def kind(self, kind: str, element: str | None = None) -> Any:
        """A type by its name; an array of ``element`` if there is one."""
        found = self._types.TypeProto(type_kind=getattr(self._types, f'TYPE_{kind.upper()}'))
        if element:
            found.array_type.element_type.CopyFrom(self.kind(element))
        return found

    def _call(self, name: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(
            f'/zetasql.local_service.ZetaSqlLocalService/{name}',
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request, timeout=SECONDS)

    def close(self) -> None:
        self._channel.close()


def _kind_of(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return _TEXTS
    kinds = {str: 'string', int: 'int64', datetime: 'timestamp', date: 'date'}
    return (kinds.get(type(value), 'string'),)


def _leave_out(entries: Any, which: Callable[[Any], bool]) -> None:
    """Take what has that name out of a catalog, where another of the name is about to be added."""
    for at in reversed(range(len(entries))):
        if which(entries[at]):
            del entries[at]


def _scans(message: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The tables that an analyzed statement reads, and the columns of each."""
    if message.DESCRIPTOR.name == 'ResolvedTableScanProto':
        yield message.table.name, tuple(column.name for column in message.parent.column_list)
    into = message.DESCRIPTOR.name == 'ResolvedInsertStmtProto'
    for field, value in message.ListFields():
        if field.message_type is not None and not (into and field.name == 'table_scan'):  # what is filled is not read
            for each in value if field.is_repeated else [value]:
                yield from _scans(each)


def _plain(cell: Any) -> Any:
    """A value of the evaluator: an instant as microseconds, a day as one, all else as it is."""
    kind = cell.WhichOneof('value')
    if kind is None:
        return None
    if kind == 'timestamp_value':
        return cell.timestamp_value.seconds * 1_000_000 + cell.timestamp_value.nanos // 1_000
    if kind == 'date_value':
        return date(1970, 1, 1) + timedelta(days=cell.date_value)
    return getattr(cell, kind)


@contextmanager
def analyzer(schema: str) -> Iterator[GoogleSql]:
    """The analyzer with the tables that some statements create. Skips the test without npm."""
    server = built(f'zetasql-{SERVER}', _server) / 'remote_server.so'
    messages = built(f'zetasql-messages-{MESSAGES}', _messages)
    if str(messages) not in sys.path:
        sys.path.append(str(messages))
    port = free_port()
    process = subprocess.Popen([str(server), '127.0.0.1', str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connection = GoogleSql(port, schema)
        yield connection
        connection.close()
    finally:
        process.kill()
        process.wait()


def _server(folder: Path) -> None:
    npm = shutil.which('npm')
    if npm is None:
        pytest.skip("GoogleSQL's analyzer needs npm")
    command = [npm, 'install', '--no-audit', '--no-fund', '--prefix', str(folder)]
    package = '@fivetrandevelopers/zetasql'
    subprocess.run([*command, f'{package}@{SERVER}'], check=True, capture_output=True, timeout=300)
    shutil.move(folder / f'node_modules/{package}/lib/zetasql/remote_server.so', folder)
    shutil.rmtree(folder / 'node_modules')  # 260 MB that nobody needs


def _messages(folder: Path) -> None:
    packages = [f'zetasql=={MESSAGES}', f'grpcio=={GRPC}']
    uv('pip', 'install', '--no-deps', '--python', sys.executable, '--target', str(folder), *packages)
