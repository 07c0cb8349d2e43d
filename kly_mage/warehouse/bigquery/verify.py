"""Is gold what bronze gives, and is every stored row what it was when it came in? One query: one picture of all tables."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kly_mage.declared import SOURCES
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, joined_measures
from kly_mage.rows.rowhash import undeclared_columns
from kly_mage.warehouse.bigquery import truth, turns
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.hash_sql import hash_expression, undeclared_expression
from kly_mage.warehouse.bigquery.text import cells, identifier, literal
from kly_mage.warehouse.report import (
    SHOWN,
    Report,
    against_ledger,
    against_registry,
    changed_row,
    compared,
    conflict_without_row,
    wrong_correction,
)

_COUNT, _WAITS = 'count', 'waits'
_Tell = Callable[[list[Any]], Iterator[str]]


@dataclass(frozen=True)
class Check:
    """Something to look at.

    Attributes:
        table: of which it is said.
        query: gives a line to sort by, ``key``, and ``cells``: a JSON list of texts, per difference.
        tell: says one in words.
        in_gold: whether ``rebuild`` repairs it.
    """

    table: str
    query: str
    tell: _Tell
    in_gold: bool = False


def verify(client: Client, timezone: str) -> Report:
    """Compare gold with bronze, bronze with its hashes, registry and ledger."""
    columns = {name: client.column_names(f'bronze.{name}') for name in SOURCES}
    found = checks(columns, timezone)
    rows = client.run(statement(found), what='verify')
    report, waits = Report(), set[str]()
    for row in rows:
        if row['kind'] == _COUNT:
            report.checked[row['name']] = row['rows_in_all']
        elif row['kind'] == _WAITS:
            waits.add(row['name'])
    report.waiting = [f'{mart.table} has rows of bronze.{mart.source} to count' for mart in MARTS if mart.table in waits]
    if DAILY_SUMMARY.table in waits:
        report.waiting.append(f'{DAILY_SUMMARY.table} has changes of its inputs to take in')
    for number, check in enumerate(found):
        own = sorted((row for row in rows if row['kind'] == str(number)), key=lambda row: int(row['place']))
        if own and not (check.table == DAILY_SUMMARY.table and check.table in waits):
            told = [line for row in own for line in check.tell(json.loads(row['cells']))]
            report.add(check.table, told, in_gold=check.in_gold, further=own[0]['rows_in_all'] - len(own))
    report.checked = {name: report.checked[name] for name in _tables()}
    return report


def statement(found: list[Check]) -> str:
    """The query of all checks: their differences, the first of each, how many there are; rows of the tables; what waits."""
    parts = [
        f"select '{number}' as kind, '' as name, place, rows_in_all, cells from ("
        f'select row_number() over (order by key) as place, count(*) over () as rows_in_all, cells from ({check.query})'
        f') where place <= {SHOWN + 1}'
        for number, check in enumerate(found)
    ]
    parts += [_plain(_COUNT, name, f'select count(*) as amount from {table}') for name, table in _tables().items()]
    waits = {mart.table: truth.waiting(mart) for mart in MARTS} | {DAILY_SUMMARY.table: truth.joined_waiting()}
    parts += [_plain(_WAITS, name, f'select 1 as amount from (select 1) where {where}') for name, where in waits.items()]
    return f'{truth.with_truths()}, daily_summary_truth as ({truth.joined_truth()}) ' + ' union all '.join(parts)


def checks(columns: Mapping[str, list[str]], timezone: str) -> list[Check]:
    """What is looked at.

    Args:
        columns: of each table of bronze, by its source.
    """
    found = []
    for name, source in SOURCES.items():
        table, undeclared = f'bronze.{name}', undeclared_columns(source, columns[name])
        found.append(Check(table, _changed_rows(source, undeclared, timezone), _changed(source)))
        found.append(Check(table, _registry(source), _against_registry(source)))
        found.append(Check(f'{table}_hashrow', _entries(source), _more_entries))
        found.append(Check(table, _ledger(source), lambda c: against_ledger(c[0], int(c[1]), _number(c[2]), *c[3:])))
        if source.may_be_corrected:
            found.append(Check(f'{table}_corrections', turns.wrong(source), _wrong_turn(source)))
        if source.version_columns:
            found.append(Check(f'{table}_conflicts', _conflicts(source), _without_row(source)))
    for mart in MARTS:
        values = [measure.name for measure in mart.measures]
        found.append(_compared(mart.table, mart.table, f'{mart.name}_truth', mart.key, values))
        for counted in mart.registries:
            table, key = f'gold.{counted.registry}', (mart.day.name, counted.key)
            found.append(_compared(table, table, f'({truth.keys(mart, counted)})', key, []))
    joined = DAILY_SUMMARY
    values = [each.name for each in joined.attributes] + [each.name for each in joined_measures()]
    values += [each.name for each in joined.ratios]
    found.append(_compared(joined.table, f'{joined.table}_rows', 'daily_summary_truth', joined.key, values))
    return found


def _tables() -> dict[str, str]:
    """The tables that are looked at, under the names people know."""
    names = [f'bronze.{name}' for name in SOURCES] + [table for mart in MARTS for table in mart.tables]
    return {name: name for name in names} | {DAILY_SUMMARY.table: f'{DAILY_SUMMARY.table}_rows'}


def _plain(kind: str, name: str, query: str) -> str:
    return f"select '{kind}', '{name}', 1, amount, '' from ({query})"


def _changed_rows(source: Source, undeclared: list[str], timezone: str) -> str:
    """Rows whose values no longer give their hash, their day, or what they say in undeclared columns."""
    kinds = {column.name: column.kind for column in source.columns} | dict.fromkeys(undeclared, 'text')
    versions = bool(source.version_columns)
    told = identifier(UNDECLARED.name) if versions else 'cast(null as string)'
    now = undeclared_expression(undeclared) if versions else 'cast(null as string)'
    found = cells('_hashrow', 'computed', '_partition_date', 'day_of_row', 'undeclared is not distinct from now', '_load_id')
    return (
        f'select _hashrow as key, {found} from ('
        f'select _hashrow, _partition_date, _load_id, {hash_expression(source, kinds)} as computed,'
        f' date({identifier(source.day_column)}, {literal(timezone)}) as day_of_row, {told} as undeclared, {now} as now'
        f' from bronze.{source.name})'
        ' where computed is distinct from _hashrow or day_of_row is distinct from _partition_date'
        ' or undeclared is distinct from now'
    )


def _changed(source: Source) -> _Tell:
    return lambda cells: changed_row(source, cells[0], cells[1], cells[2], cells[3], cells[4] == 'true', int(cells[5]))


def _registered(source: Source) -> list[str]:
    return ['_updated_at', *(column.name for column in source.version_columns)]


def _registry(source: Source) -> str:
    """Rows without an entry in the registry, entries without a row, rows there twice, and pairs that differ."""
    names = [identifier(name) for name in _registered(source)]
    sums = ', '.join(f'min({name}) as {name}' for name in names)
    differ = ' or '.join(f'stored.{name} is distinct from known.{name}' for name in names)
    hash_, rows = 'coalesce(stored._hashrow, known._hashrow)', 'coalesce(stored.number, 0)'
    both = [f'{table}.{name}' for table in ('stored', 'known') for name in names]
    return (
        f'select {hash_} as key, {cells(hash_, rows, "known._hashrow is not null", *both)}'
        f' from (select _hashrow, count(*) as number, {sums} from {turns.as_counted(source)} group by _hashrow) as stored'
        f' full join (select _hashrow, {sums} from bronze.{source.name}_hashrow group by _hashrow) as known'
        f' on stored._hashrow = known._hashrow where {rows} <> 1 or {differ}'
    )


def _against_registry(source: Source) -> _Tell:
    names = _registered(source)

    def tell(cells: list[Any]) -> Iterator[str]:
        here, there = cells[3 : 3 + len(names)], cells[3 + len(names) :]
        yield from against_registry(source, cells[0], int(cells[1]), cells[2] == 'true', names, here, there)

    return tell


def _entries(source: Source) -> str:
    """Hashes that the registry has more than once: nothing in BigQuery keeps a key single but the loads themselves."""
    return (
        f'select _hashrow as key, {cells("_hashrow", "number")} from ('
        f'select _hashrow, count(*) as number from bronze.{source.name}_hashrow group by _hashrow) where number > 1'
    )


def _more_entries(cells: list[Any]) -> Iterator[str]:
    yield f'{cells[0]}: {int(cells[1]):,} entries of this hash, 1 is right'


def _ledger(source: Source) -> str:
    """Loads whose rows are not as many as the ledger says, or not of one moment."""
    load_id, rows = 'coalesce(stored._load_id, noted.load_id)', 'coalesce(stored.number, 0)'
    told = cells(load_id, rows, 'noted.number', 'stored.first_at', 'stored.last_at')
    return (
        f'select cast({load_id} as string) as key, {told} from ('
        'select _load_id, count(*) as number, min(_created_at) as first_at, max(_created_at) as last_at'
        f' from bronze.{source.name} group by _load_id) as stored full join ('
        "select load_id, sum(if(status = 'done', rows_new - coalesce(rows_removed, 0), 0)) as number from ops.loads"
        f' where source = {literal(source.name)} group by load_id) as noted on stored._load_id = noted.load_id'
        f' where {rows} is distinct from noted.number or first_at <> last_at'
    )


def _conflicts(source: Source) -> str:
    return (
        f'select further._hashrow as key, {cells("further._hashrow", "further._load_id")}'
        f' from bronze.{source.name}_conflicts as further left join bronze.{source.name}_hashrow as known'
        ' on further._hashrow = known._hashrow where known._hashrow is null'
    )


def _wrong_turn(source: Source) -> _Tell:
    return lambda cells: iter([wrong_correction(source, cells[0], int(cells[1]), cells[2])])


def _without_row(source: Source) -> _Tell:
    return lambda cells: iter([conflict_without_row(source, cells[0], int(cells[1]))])


def _compared(name: str, table: str, truth: str, key: tuple[str, ...], values: list[str]) -> Check:
    """Rows of gold that are not those that bronze gives."""
    names = [*key, *values]
    both = [f'{side}.{identifier(column)}' for side in ('found', 'truth') for column in names]
    same = ' and '.join(f'found.{identifier(column)} = truth.{identifier(column)}' for column in key)
    differ = ' or '.join(f'found.{identifier(column)} is distinct from truth.{identifier(column)}' for column in names)
    line = ", '|', ".join(f'coalesce(cast(found.{c} as string), cast(truth.{c} as string))' for c in map(identifier, key))
    query = (
        f'select concat({line}) as key, {cells(*both)} from {table} as found full join {truth} as truth on {same}'
        f' where {differ}'
    )
    return Check(name, query, lambda c: compared(names, len(key), c[: len(names)], c[len(names) :]), in_gold=True)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
