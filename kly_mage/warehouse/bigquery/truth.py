"""What gold should hold, from the declarations of the marts over all of bronze: a second way beside their scripts."""

import re
from collections.abc import Collection
from pathlib import Path

from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, NOT_SET, Distinct, Mart, Measure, Rows, Sum
from kly_mage.warehouse.bigquery import counting
from kly_mage.warehouse.bigquery.text import identifier, literal

_MARTS = Path(__file__).parent / 'marts'
_OF_DAYS = re.compile(r'\bgold\.(\w+) where \w+ in unnest\(v_days\)')


def rebuild_script(
    holder: str = 'rebuild', declares: Collection[str] = (), first: Collection[str] = (), told: str | None = None
) -> str:
    """The scripts of all marts as one, in one transaction, after all of gold was emptied.

    Args:
        holder: who is said to hold the locks.
        declares: further declarations.
        first: what is done before, when nothing else is at work any more.
        told: the query it ends in; None for that of the rows of each table.
    """
    names = [*(mart.name for mart in MARTS), DAILY_SUMMARY.name]
    emptied = [table for mart in MARTS for table in mart.tables]
    tables = {**{mart.table: mart.table for mart in MARTS}, DAILY_SUMMARY.table: f'{DAILY_SUMMARY.table}_rows'}
    counts = ' union all '.join(f"select '{name}' as name, count(*) as amount from {rows}" for name, rows in tables.items())
    steps = [
        *first,
        # A day that no mart has any more is built anew as well.
        'insert into ops.touched_days (day, touched_at)',
        f'select distinct {DAILY_SUMMARY.day.name}, current_timestamp() from {DAILY_SUMMARY.table}_rows;',
        *(f'delete from {table} where true;' for table in emptied),
        *(f'update ops.{mart.source}_lock set watermark = null where true;' for mart in MARTS),
        *(line for name in names for line in _body(name)),
    ]
    return alone(holder, declares, names, steps, told or f'{counts};')


def alone(holder: str, declares: Collection[str], refreshes: Collection[str], steps: Collection[str], told: str) -> str:
    """A script of one transaction beside which no load or refresh is at work.

    Args:
        holder: who is said to hold the locks.
        declares: declarations.
        refreshes: tables of gold whose scripts are among the steps, and need theirs.
        steps: what it does.
        told: the query it ends in.
    """
    further = [line for name in refreshes for line in _lines(name) if line.startswith('declare ')]
    locks = [f'ops.{DAILY_SUMMARY.name}_lock', *(f'ops.{name}_lock' for name in SOURCES)]
    taken = [f"update {lock} set holder = '{holder}' where true;" for lock in locks]
    return '\n'.join([*declares, *dict.fromkeys(further), 'begin transaction;', *taken, *steps, 'commit transaction;', told])


def recounted(mart: Mart, days: str) -> list[str]:
    """The steps that make a mart, and what joins it, what bronze gives for the days of a variable, an array.

    What waits for a refresh is taken in first: then all that is left has been counted.
    """
    day, names = (
        identifier(mart.day.name),
        ', '.join(identifier(name) for name in (*mart.key, *(m.name for m in mart.measures))),
    )
    return [
        *_body(mart.name),
        f'create temp table {mart.name}_counted as\n{counted(mart, f"_partition_date in unnest({days})")};',
        *(f'delete from {table} where {day} in unnest({days});' for table in mart.tables),
        f'insert into {mart.table} ({names}, _updated_at)\nselect {names}, current_timestamp() from ({truth(mart)});',
        *(f'insert into gold.{of.registry} ({day}, {identifier(of.key)})\n{keys(mart, of)};' for of in mart.registries),
        f'insert into ops.touched_days (day, touched_at) select day, current_timestamp() from unnest({days}) as day;',
        *_body(DAILY_SUMMARY.name),
    ]


def _lines(name: str) -> list[str]:
    return (mart_script(name) or '').splitlines()


def _body(name: str) -> list[str]:
    """The steps of the script that refreshes a table of gold."""
    frame = ('begin transaction;', 'commit transaction;')
    return [line for line in _lines(name) if line not in frame and not line.startswith('declare ')]


def mart_script(name: str) -> str | None:
    """The script that refreshes a table of gold; None if there is none."""
    path = _MARTS / f'{name}.sql'
    return path.read_text('utf-8') if path.is_file() else None


def counted(mart: Mart, which: str = 'true') -> str:
    """The query of what each row that the mart has counted contributes to it; of those for which a condition holds."""
    keys = [f'_partition_date as {identifier(mart.day.name)}']
    keys += [f'{_key(key.column)} as {identifier(key.name)}' for key in mart.by]
    amounts = [f'{per_row(measure)} as {identifier(measure.name)}' for measure in mart.additive]
    amounts += [f'{_distinct(mart, of)} as {identifier(of.key)}' for of in mart.registries]
    upto = f'_updated_at <= (select watermark from ops.{mart.source}_lock) and {which}'
    return f'select {", ".join([*keys, *amounts])} from {counting.counting(SOURCES[mart.source], upto)} as counting'


def truth(mart: Mart) -> str:
    """The query of the rows that a mart should hold, over ``counted``."""
    sums = []
    for measure in mart.measures:
        of = f'count(distinct {identifier(measure.of.key)})' if isinstance(measure.of, Distinct) else _total(measure)
        sums.append(f'{of} as {identifier(measure.name)}')
    keys = ', '.join(map(identifier, mart.key))
    return f'select {keys}, {", ".join(sums)} from {mart.name}_counted group by {keys}'


def keys(mart: Mart, counted: Distinct) -> str:
    """The query of what a registry should hold."""
    day, key = identifier(mart.day.name), identifier(counted.key)
    return f'select distinct {day}, {key} from {mart.name}_counted where {key} is not null'


def joined_truth() -> str:
    """The query of the rows that ``gold.daily_summary`` should hold: that of its script, over what the marts should hold.

    Raises:
        ValueError: the script is not as it is read here.
    """
    script = mart_script(DAILY_SUMMARY.name) or ''
    found = re.search(rf'insert into {DAILY_SUMMARY.table}_rows \([^)]*\)\n(.*?);', script, re.DOTALL)
    if found is None:
        raise ValueError(script)
    query, marts = _OF_DAYS.subn(r'\1_truth', found[1])
    if marts != len(DAILY_SUMMARY.marts):
        raise ValueError(query)
    return query


def waiting(mart: Mart) -> str:
    """The condition that rows came in which no refresh has counted."""
    since = f"coalesce((select watermark from ops.{mart.source}_lock), timestamp '0001-01-01 00:00:00+00')"
    log = counting.log(SOURCES[mart.source])
    return (
        f'(exists (select 1 from bronze.{mart.source} where _updated_at > {since})'
        f' or exists (select 1 from {log} where _updated_at > {since}))'
    )


def joined_waiting() -> str:
    """The condition that ``gold.daily_summary`` has changes of its inputs to take in."""
    first = "timestamp '0001-01-01 00:00:00+00'"
    return (
        '(exists (select 1 from ops.touched_days) or exists (select 1 from ops.cms_articles_lock as loaded'
        f' cross join ops.{DAILY_SUMMARY.name}_lock as known'
        f' where coalesce(loaded.stamp, {first}) > coalesce(known.articles, {first})))'
    )


def with_truths() -> str:
    """A WITH clause that names ``counted`` and ``truth`` of each mart."""
    parts = [(f'{mart.name}_counted', counted(mart)) for mart in MARTS]
    parts += [(f'{mart.name}_truth', truth(mart)) for mart in MARTS]
    return 'with ' + ', '.join(f'{name} as ({query})' for name, query in parts)


def _key(column: str | None) -> str:
    return f"coalesce(nullif({identifier(column or '')}, ''), {literal(NOT_SET)})"


def per_row(measure: Measure) -> str:
    """What a row of bronze contributes to a measure that adds up.

    Raises:
        TypeError: it does not.
    """
    match measure.of:
        case Rows(column, value):
            return f'if({identifier(column)} = {literal(value)}, 1, 0)'
        case Sum(column):
            return identifier(column)
    raise TypeError(f'{measure.name} does not add up over rows')


def _total(measure: Measure) -> str:
    return f'coalesce(sum({identifier(measure.name)}), {"cast(0 as bignumeric)" if measure.unit == "USD" else "0"})'


def _distinct(mart: Mart, of: Distinct) -> str:
    """The key of a registry, as the mart's script makes it: the lengths keep texts apart that run into each other."""
    values = [f"nullif({identifier(column)}, '')" for column in of.columns]
    lengths = [f"cast(length({value}) as string), ':'" for value in values]
    parts = [*lengths, *values, *(_key(key.column) for key in mart.by)]
    return f'left(to_hex(sha256(concat({", ".join(parts)}))), 32)'
