"""Rows that wait for somebody: rejects, and further versions of a row."""

import json
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.rows.rowhash import undeclared_columns
from kly_mage.warehouse.bigquery import unchanged
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.text import identifier
from kly_mage.warehouse.waiting import Cause, Conflict, Waiting

WAIT = 'source in unnest(@sources) and resolved_at is null'
_OF_DAYS = ' and coalesce(day, file_day) between @start and @end'  # a row without a readable day goes with its file
_ORDER = ' order by source, file, line, reject_id'
MARK = 'update bronze.rejects set {} = current_timestamp() where source = @source and reject_id in unnest(@rejects);'
MARKS = ('taken_at', 'resolved_at')
TAKEN = 'select reject_id from bronze.rejects where source = @source and taken_at is not null'
_ACCEPT = """\
declare v_amount int64;

begin transaction;
{decided}
set v_amount = (select count(*) from {table} where {waiting});
update {table} set accepted_at = current_timestamp(), accepted_by = @by, accepted_because = @why where {waiting};
commit transaction;

select v_amount as amount;
"""
_AT_ONCE = 10_000  # ids in one statement


def _waiting(days: Window | None, *, accepted_too: bool = False) -> str:
    return f'{WAIT}{"" if accepted_too else " and accepted_at is null"}{_OF_DAYS if days else ""}'


def rejects_statement(days: Window | None, *, accepted_too: bool = False) -> str:
    """The query of the rejects that wait; on request accepted ones as well."""
    names = 'source, reject_id, file, line, column_name, value, reason, day'
    return f'select {names} from bronze.rejects where {_waiting(days, accepted_too=accepted_too)}{_ORDER}'


def causes_statement(days: Window | None) -> str:
    """The query of how many wait for the same reason in the same column of a file."""
    return (
        'select file, column_name, reason, count(*) as rows_waiting from bronze.rejects'
        f' where {_waiting(days)} group by file, column_name, reason'
    )


def rejects(
    client: Client, sources: Collection[str], days: Window | None, *, accepted_too: bool = False, limit: int | None = None
) -> Iterator[Waiting]:
    """The rejects that wait, by source, file and line, as they come; on request accepted ones as well."""
    statement = rejects_statement(days, accepted_too=accepted_too)
    _, rows = client.stream(statement, _values(sources, days), what='rejects')
    return islice((Waiting(*row.values()) for row in rows), limit)


def causes(client: Client, sources: Collection[str], days: Window | None) -> list[Cause]:
    """How many rejects wait for the same reason in the same column of a file; the most first."""
    rows = client.run(causes_statement(days), _values(sources, days), what='rejects')
    told = [Cause(*row.values()) for row in rows]
    return sorted(told, key=lambda cause: (-cause.rows, cause.file, cause.column or '', cause.reason))


def mark(client: Client, found: Collection[Waiting], column: str) -> None:
    """Note the time in a column of these rejects, which is one of ``MARKS``."""
    for source in dict.fromkeys(reject.source for reject in found):
        ids = [reject.reject_id for reject in found if reject.source == source]
        for at in range(0, len(ids), _AT_ONCE):
            values = {'source': source, 'rejects': ids[at : at + _AT_ONCE]}
            client.run(mark_script(source, column), values, what='rejects')


def mark_script(source: str, column: str) -> str:
    """The statements that note the time in a column of the rejects of a source that ``rejects`` names, a parameter."""
    return '\n'.join(['begin transaction;', unchanged.decided([source]), MARK.format(column), 'commit transaction;'])


def accept_rejects(client: Client, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
    """Note that the rejects that wait need no further look; gives how many."""
    values = _values(sources, days) | {'by': by, 'why': why}
    script = accept_script('bronze.rejects', _waiting(days), unchanged.decided(sources))
    return _amount(client.run(script, values, what='rejects'))


def accept_conflicts(client: Client, sources: Collection[str], days: Window | None, by: str, why: str) -> int:
    """The same of the conflicts."""
    values, waiting = _values([], days) | {'by': by, 'why': why}, _within(days).removeprefix(' where ')
    scripts = [accept_script(f'bronze.{source.name}_conflicts as further', waiting) for source in _versioned(sources)]
    return sum(_amount(client.run(script, values, what='conflicts')) for script in scripts)


def accept_script(table: str, waiting: str, decided: str = '') -> str:
    """The statements that note the decision about what waits in a table, and give how many these were.

    Its parameters: ``by``, ``why``, and those of ``waiting``.

    Args:
        decided: further statements, which stand before it.
    """
    return _ACCEPT.format(table=table, waiting=waiting, decided=decided)


def _amount(rows: list[dict[str, Any]]) -> int:
    return int(rows[0]['amount'])


def taken(client: Client, source: str) -> frozenset[str]:
    """The ids of the rejects of which somebody has said that they are whole rows."""
    return frozenset(row['reject_id'] for row in client.run(TAKEN, {'source': source}, what='rejects'))


def conflicts(client: Client, sources: Collection[str], days: Window | None, limit: int | None) -> Iterator[Conflict]:
    """The conflicts that wait, by source, file and line, as they come."""
    for source in _versioned(sources):
        undeclared = undeclared_columns(source, client.column_names(f'bronze.{source.name}'))
        statement = conflicts_statement(source, undeclared, days)
        _, rows = client.stream(statement, _values([], days), what='conflicts')
        for file, line, key, says, counting, *pairs in islice((row.values() for row in rows), limit):
            names = [column.name for column in source.value_columns]
            both = list(zip(names, pairs[::2], pairs[1::2], strict=True))
            told, counts = _texts(says), _texts(counting)
            both += [(name, told.get(name), counts.get(name)) for name in undeclared]
            differences = {name: (here, there) for name, here, there in both if here != there}
            yield Conflict(source.name, file, line, key, differences)


def count_conflicts(client: Client, sources: Collection[str], days: Window | None) -> int:
    """How many conflicts wait."""
    statement = count_statement(sources, days)
    return sum(row['amount'] for row in client.run(statement, _values([], days), what='conflicts')) if statement else 0


def count_statement(sources: Collection[str], days: Window | None) -> str:
    """The query of how many there are, a row per source."""
    counts = [
        f'select count(*) as amount from bronze.{source.name}_conflicts as further{_within(days)}'
        for source in _versioned(sources)
    ]
    return ' union all '.join(counts)


def conflicts_statement(source: Source, undeclared: list[str], days: Window | None) -> str:
    """The query of the further versions of a source.

    Args:
        undeclared: the columns of bronze that are not declared. What the version that counts says there is in its row.
    """
    key = ', '.join(f'cast(further.{identifier(name)} as string)' for name in source.hash_columns or ())
    pairs = ''.join(
        f', cast(further.{identifier(prefix + column.name)} as string)'
        for column in source.value_columns
        for prefix in ('', 'counted_')
    )
    says = counting = 'cast(null as string)'
    joined = ''
    if undeclared:
        told = identifier(UNDECLARED.name)
        differs = f'further.{told} is distinct from further.{identifier(f"counted_{UNDECLARED.name}")}'
        names = ', '.join(f'stored.{identifier(name)} as {identifier(name)}' for name in undeclared)
        says = f'if({differs}, further._undeclared_values, null)'
        counting = f'if(stored._hashrow is null, null, to_json_string(struct({names})))'
        joined = f' left join bronze.{source.name} as stored on further._hashrow = stored._hashrow and {differs}'
    return (
        f"select further._file, further._line, array_to_string([{key}], ' '), {says}, {counting}{pairs}"
        f' from bronze.{source.name}_conflicts as further{joined}{_within(days)} order by further._file, further._line'
    )


def _within(days: Window | None) -> str:
    of_days = ' and further._partition_date between @start and @end' if days else ''
    return f' where further.accepted_at is null and further.is_restatement is not true{of_days}'


def _values(sources: Collection[str], days: Window | None) -> dict[str, Any]:
    values: dict[str, Any] = {'sources': list(sources)} if sources else {}
    return values | ({'start': days.start, 'end': days.end} if days else {})


def _texts(said: str | None) -> dict[str, str | None]:
    return json.loads(said) if said else {}


def _versioned(sources: Collection[str]) -> list[Source]:
    return [SOURCES[name] for name in sources if SOURCES[name].version_columns]
