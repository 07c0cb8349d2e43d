"""Rows that wait for somebody: rejects, and further versions of a row."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.landing.files import day_in_name
from kly_mage.rows.rowhash import undeclared_columns
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.text import identifier
from kly_mage.warehouse.waiting import Cause, Conflict, Waiting

_WAIT = 'source in unnest(@sources) and resolved_at is null'
_OF_DAYS = ' and (day is null or day between @start and @end)'
_ORDER = ' order by source, file, line, reject_id'
MARK = 'update bronze.rejects set {} = current_timestamp() where source = @source and reject_id in unnest(@rejects)'
MARKS = ('taken_at', 'resolved_at')
TAKEN = 'select reject_id from bronze.rejects where source = @source and taken_at is not null'
_AT_ONCE = 10_000  # ids in one statement


def rejects_statement(days: Window | None) -> str:
    """The query of the rejects that wait."""
    names = 'source, reject_id, file, line, column_name, value, reason, day'
    return f'select {names} from bronze.rejects where {_WAIT}{_OF_DAYS if days else ""}{_ORDER}'


def causes_statement(days: Window | None) -> str:
    """The query of how many wait for the same reason in the same column of a file, those without a day apart."""
    names = 'source, file, column_name, reason, day is null'
    return (
        'select source, file, column_name, reason, day is null as has_no_day, count(*) as rows_waiting from bronze.rejects'
        f' where {_WAIT}{_OF_DAYS if days else ""} group by {names}'
    )


def rejects(client: Client, sources: Collection[str], days: Window | None, limit: int | None) -> Iterator[Waiting]:
    """The rejects that wait, by source, file and line, as they come."""
    _, rows = client.stream(rejects_statement(days), _values(sources, days), what='rejects')
    found = (Waiting(*row.values()) for row in rows)
    return islice((each for each in found if each.day or _of_days(each.source, each.file, days)), limit)


def causes(client: Client, sources: Collection[str], days: Window | None) -> list[Cause]:
    """How many rejects wait for the same reason in the same column of a file; the most first."""
    found = Counter[tuple[str, str | None, str]]()
    for row in client.run(causes_statement(days), _values(sources, days), what='rejects'):
        if not row['has_no_day'] or _of_days(row['source'], row['file'], days):
            found[row['file'], row['column_name'], row['reason']] += row['rows_waiting']
    told = [Cause(*cause, rows) for cause, rows in found.items()]
    return sorted(told, key=lambda cause: (-cause.rows, cause.file, cause.column or '', cause.reason))


def mark(client: Client, found: Collection[Waiting], column: str) -> None:
    """Note the time in a column of these rejects, which is one of ``MARKS``."""
    for source in dict.fromkeys(reject.source for reject in found):
        ids = [reject.reject_id for reject in found if reject.source == source]
        for at in range(0, len(ids), _AT_ONCE):
            values = {'source': source, 'rejects': ids[at : at + _AT_ONCE]}
            client.run(MARK.format(column), values, what='rejects')


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
    return ' where further._partition_date between @start and @end' if days else ''


def _values(sources: Collection[str], days: Window | None) -> dict[str, Any]:
    values: dict[str, Any] = {'sources': list(sources)} if sources else {}
    return values | ({'start': days.start, 'end': days.end} if days else {})


def _of_days(source: str, file: str, days: Window | None) -> bool:
    """Whether a row without a readable day is asked for: it goes with its file."""
    return days is None or day_in_name(SOURCES[source], file) in days


def _texts(said: str | None) -> dict[str, str | None]:
    return json.loads(said) if said else {}


def _versioned(sources: Collection[str]) -> list[Source]:
    return [SOURCES[name] for name in sources if SOURCES[name].version_columns]
