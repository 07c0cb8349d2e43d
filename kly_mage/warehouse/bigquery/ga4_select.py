"""A table of GA4's export as rows of ``ga4_events``, in GoogleSQL: no event passes through this process.

What a column is stands in ``landing/ga4_columns.py``, which rows cannot be used in ``rows/casting.py``, and which rows of a
file a load takes in ``landing/outside.py``: the reader of files runs the same on frames. Where both can differ is said in
docs/bigquery.md.
"""

from collections.abc import Collection, Sequence
from datetime import date

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing import ga4_columns
from kly_mage.landing.ga4_columns import (
    LAST_MICROSECOND,
    VALUES,
    Expression,
    Field,
    FirstFilled,
    FirstThere,
    Host,
    Instant,
    Parameter,
    PathGroup,
)
from kly_mage.landing.outside import OUTSIDE
from kly_mage.rows.casting import ID_LENGTH, REASONS
from kly_mage.warehouse.bigquery.hash_sql import hash_expression
from kly_mage.warehouse.bigquery.text import identifier, literal

_NUL = 'code_points_to_string([0])'
_LAST = LAST_MICROSECOND - 86_400_000_000  # a day inside the year 9999, so that its day is one by any clock
_MICROS = 'safe_cast(event_timestamp as int64)'
_INSTANT = f'if({_MICROS} between 0 and {_LAST}, timestamp_micros({_MICROS}), null)'
_FRACTION = literal(r'\.0+$')


def rows_of(
    source: Source,
    table: str,
    fields: Collection[str],
    *,
    file: str,
    delivered_at: str,
    days: Window,
    may_hold: Window,
    own: date,
    timezone: str,
    article: Sequence[str],
) -> str:
    """The SELECT that gives the rows a load takes of a table, with the columns of ``selected``, in their order.

    Equal rows of the table are one, with a count, as in a file.

    Args:
        table: its full name, quoted.
        fields: what it has, as places with points (``device.web_info.hostname``).
        file: what the ledger calls it.
        delivered_at: an instant in ISO 8601.
        days: what the load is asked for.
        may_hold: the days whose rows it may hold.
        own: the day in its name.
    """
    expressions = ga4_columns.expressions(article)
    texts = {name: _text(expression, fields) for name, expression in expressions.items()}
    undeclared = [name for name in expressions if name not in source.names]
    kinds = {**{column.name: column.kind for column in source.columns}, **dict.fromkeys(undeclared, 'text')}
    which, reject = _reject(source, _own(source, undeclared))
    first, last = max(days.start, may_hold.start), min(days.end, may_hold.end)
    inside = f'_partition_date between {_day(first)} and {_day(last)}' if first <= last else 'false'
    outside = f'_partition_date not between {_day(may_hold.start)} and {_day(may_hold.end)}' if own in days else 'false'
    return _SELECT.format(
        parameters=',\n        '.join(f'{_parameter(key, fields)} as {_of(key)}' for key in ga4_columns.keys(article)),
        table=table,
        texts=',\n        '.join(f'{text} as {identifier(name)}' for name, text in texts.items()),
        instant=_INSTANT,
        timezone=literal(timezone),
        which=which,
        reject=reject,
        hashed=hash_expression(source, kinds),
        outside_text=literal(OUTSIDE),
        is_outside=f'ifnull({outside}, false)',
        is_inside=f'ifnull({inside}, false)',
        no_day=' or (_partition_date is null and _reject is not null)' if own in days else '',
        columns=',\n    '.join(map(identifier, _own(source, undeclared))),
        file=literal(file),
        delivered_at=literal(delivered_at),
    )


def selected(source: Source) -> list[str]:
    """The columns of a staged table that ``rows_of`` fills, in its order."""
    undeclared = [name for name in ga4_columns.expressions(()) if name not in source.names]
    places = ['_partition_date', '_hashrow', '_utc_day', '_delivered_at', '_file', '_line', '_reject', '_duplicate_rows']
    return [*_own(source, undeclared), *places]


def _own(source: Source, undeclared: list[str]) -> list[str]:
    return [*source.names, *undeclared]


def _text(expression: Expression, fields: Collection[str]) -> str:
    match expression:
        case Instant(field):
            return _text(field, fields)
        case Field(place):
            name = '.'.join(map(identifier, place))
            return f'cast(event.{name} as string)' if '.'.join(place) in fields else 'cast(null as string)'
        case Parameter(key):
            return _of(key)
        case Host(of):
            return f'lower(regexp_extract({_text(of, fields)}, {literal(ga4_columns.HOST_OF)}))'
        case PathGroup(of, pattern):
            path = f'regexp_extract({_text(of, fields)}, {literal(ga4_columns.PATH_OF)})'
            return f'regexp_extract({path}, {literal(pattern)})'
        case FirstThere(of):
            return f'coalesce({", ".join(_text(each, fields) for each in of)})'
        case FirstFilled(of):
            filled = (f"nullif({_text(each, fields)}, '')" for each in of)
            return f'coalesce({", ".join((*filled, "cast(null as string)"))})'


def _parameter(key: str, fields: Collection[str]) -> str:
    """The text of a parameter of an event."""
    there = [name for name in VALUES if f'event_params.value.{name}' in fields]
    if not there:
        return 'cast(null as string)'
    values = ', '.join(_value(name) for name in there)
    some = ' or '.join(f'parameter.value.{name} is not null' for name in there)
    return (
        f'(select coalesce({values}) from unnest(event.event_params) as parameter with offset as nth'
        f' where parameter.key = {literal(key)} and ({some}) order by nth limit 1)'
    )


def _value(name: str) -> str:
    value = f'parameter.value.{name}'
    if name not in ('double_value', 'float_value'):
        return f'cast({value} as string)'
    return f"regexp_replace(cast({value} as string), {_FRACTION}, '')"


def _of(key: str) -> str:
    return identifier(f'_of_{key}')


def _day(day: date) -> str:
    return f"date '{day}'"


def _reject(source: Source, names: list[str]) -> tuple[str, str]:
    """Which is the first thing that is wrong with a row, by number, and what ``casting.cast`` says of it; or nulls."""
    problems = [(f'strpos({identifier(name)}, {_NUL}) > 0', name, 'holds a NUL byte') for name in names]
    for column in source.columns:
        name = identifier(column.name)
        if column.kind == 'id':
            problems.append((f'char_length({name}) > {ID_LENGTH}', column.name, f'longer than {ID_LENGTH} characters'))
        if column.kind == 'timestamp':
            problems.append((f"{name} <> '' and _instant is null", column.name, REASONS['timestamp']))
        if column.required:
            problems.append((f"ifnull({name}, '') = ''", column.name, 'is missing'))
    which = ' '.join(f'when {condition} then {number}' for number, (condition, _, _) in enumerate(problems))
    columns = ', '.join(literal(name) for _, name, _ in problems)
    values = ', '.join(_printable(name) for _, name, _ in problems)
    reasons = ', '.join(literal(reason) for _, _, reason in problems)
    row = ', '.join(f'{_printable(name)} as {identifier(name)}' for name in names)
    told = (
        f'to_json_string(struct([{columns}][offset(_which)] as `column`, [{values}][offset(_which)] as `value`,'
        f' [{reasons}][offset(_which)] as `reason`, struct({row}) as `row`))'
    )
    return f'case {which} end', f'if(_which is null, null, {told})'


def _printable(name: str) -> str:
    return f'replace({identifier(name)}, {_NUL}, {literal(chr(0xFFFD))})'


_SELECT = """\
with taken as (
    select
        event,
        {parameters}
    from {table} as event
),

texts as (
    select
        {texts}
    from taken
),

instants as (
    select
        * replace (ifnull(format_timestamp('%F %H:%M:%E6SZ', {instant}, 'UTC'), event_timestamp) as event_timestamp),
        {instant} as _instant
    from texts
),

problems as (
    select *, {which} as _which from instants
),

judged as (
    select
        * except (_which) replace (_instant as event_timestamp),
        date(_instant, {timezone}) as _partition_date,
        {reject} as _reject
    from problems
),

placed as (
    select
        * except (_reject),
        if({is_outside}, {outside_text}, _reject) as _reject,
        if(_reject is null and not {is_outside}, {hashed}, null) as _hashrow
    from judged
    where {is_inside} or {is_outside}{no_day}
),

counted as (
    select
        *,
        row_number() over (partition by _hashrow, _reject, _partition_date order by event_name) as _nth,
        count(*) over (partition by _hashrow, _reject, _partition_date) as _copies
    from placed
)

select
    {columns},
    _partition_date,
    _hashrow,
    safe.parse_date('%Y%m%d', left(_hashrow, 8)) as _utc_day,
    timestamp {delivered_at} as _delivered_at,
    {file} as _file,
    if(_reject is null, null, _nth) as _line,
    _reject,
    if(_reject is null, _copies - 1, 0) as _duplicate_rows
from counted
where _reject is not null or _nth = 1"""
