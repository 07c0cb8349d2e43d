"""``DAILY_SUMMARY`` added up for the pages: by article and month, and by day for all, each site and each section.

The statement that merges rows of days adds to both tables what it changes of these, and one that computes all rows has both
filled anew. So they hold what the days hold, and cost what has changed.
"""

from collections.abc import Iterable

from psycopg2 import sql

from kly_mage.declared.marts import DAILY_SUMMARY, NOT_SET
from kly_mage.warehouse.postgres.mart_tables import table_ddl, table_of_names_ddl
from kly_mage.warehouse.postgres.measures import UNITS
from kly_mage.warehouse.postgres.text import identifier, literal

MONTHS, TOTALS = 'gold.monthly_summary', 'gold.daily_totals'
ALL = 'all'  # a total of a day that is of nothing less
GROUPED = ('site', 'section')  # not by author: a late batch of a few articles would touch nearly as many authors
_ROWS = f'{DAILY_SUMMARY.table}_rows'
_NAMES = tuple(key.name for key in DAILY_SUMMARY.attributes if key.name in ('site', 'title', 'author', 'section'))
_MEASURES = tuple(measure.name for measure in DAILY_SUMMARY.measures)
_MONEY = {measure.name for measure in DAILY_SUMMARY.measures if measure.unit == 'USD'}
_MONTH_KEY, _TOTAL_KEY = ('month', 'content_id'), ('by', 'date', 'name')
_MONTH_SUMS, _TOTAL_SUMS = ('count_days', *_MEASURES), ('count_rows', *_MEASURES)
NEEDED = {*_NAMES, *_MEASURES}  # columns of the rows, without which nothing is added up


def rollups_ddl() -> str:
    """The tables and the function that fills them; safe to run again, which fills a table that is new."""
    measures = [(measure.name, UNITS[measure.unit], measure.description) for measure in DAILY_SUMMARY.measures]
    of_month = [
        ('month', 'date not null', 'The first day of the month.'),
        *((key.name, 'text not null', key.description) for key in DAILY_SUMMARY.by),
        ('count_days', 'bigint not null', f'Rows of {DAILY_SUMMARY.table} that are added up.'),
        *((key.name, 'text', key.description) for key in DAILY_SUMMARY.attributes if key.name in _NAMES),
        *measures,
    ]
    of_day = [
        ('by', 'text not null', f'What is added up: {", ".join((ALL, *GROUPED))}.'),
        ('date', 'date not null', DAILY_SUMMARY.day.description),
        ('name', 'text not null', f'Of which site or section; empty for {ALL}.'),
        ('count_rows', 'bigint not null', f'Rows of {DAILY_SUMMARY.table} that are added up; 0 where none is left.'),
        *measures,
    ]
    grain = f'One row per month and article: the days of {DAILY_SUMMARY.table} added up, also their sessions.'
    grain_of_day = (
        f'One row per day, and one per site and section of it: the rows of {DAILY_SUMMARY.table} added up,'
        ' also their sessions.'
    )
    return '\n'.join(
        [
            *table_ddl(MONTHS.partition('.')[2], grain, of_month, _MONTH_KEY),
            *table_of_names_ddl(TOTALS, grain_of_day, of_day),
            _FUNCTIONS.format(
                months=MONTHS,
                totals=TOTALS,
                rows=_ROWS,
                lock=literal(DAILY_SUMMARY.table),
                month_names=_listed((*_MONTH_KEY, 'count_days', *_NAMES, *_MEASURES)),
                total_names=_listed((*_TOTAL_KEY, *_TOTAL_SUMS)),
                asked=', '.join(map(literal, (*_NAMES, *_MEASURES))),
                by_month=_by_month(),
                by_day=_by_day(_parts_of_rows()),
            ),
        ]
    )


def following(new: str, keys: str) -> str:
    """Further parts of a WITH that add to both tables what a merge of rows changes, as the table of rows was before it.

    Args:
        new: the relation of the rows that are merged.
        keys: that of their days and articles.
    """
    signed = [f'-{identifier(name)} as {identifier(name)}' for name in _MEASURES]
    names = [f'max({identifier(name)}) filter (where sign = {{}}) as {identifier(f"{{}}{name}")}' for name in _NAMES]
    named = [name.format(sign, was) for sign, was in ((1, ''), (-1, 'was ')) for name in names]
    sums = _sums(_MEASURES)
    is_named_anew = [f'{identifier(name)} is distinct from {identifier(f"was {name}")}' for name in _NAMES]
    newer = [f'{identifier(name)} = coalesce(excluded.{identifier(name)}, kept.{identifier(name)})' for name in _NAMES]
    return (
        f'before as (select kept.* from {_ROWS} as kept inner join {keys} as key'
        ' on kept.date = key.date and kept.content_id = key.content_id),'
        f' moves as (select 1 as sign, date, content_id, {_listed((*_NAMES, *_MEASURES))} from {new}'
        f' union all select -1, date, content_id, {", ".join((_listed(_NAMES), *signed))} from before),'
        f' moved as (select {_month("date")} as month, content_id, sum(sign) as count_days, {", ".join((*named, *sums))}'
        ' from moves group by 1, 2),'
        f' months as (insert into {MONTHS} as kept ({_listed((*_MONTH_KEY, "count_days", *_NAMES, *_MEASURES))})'
        f' select {_listed((*_MONTH_KEY, "count_days", *_NAMES, *_MEASURES))} from moved'
        f' where {" or ".join((_is_any(_MONTH_SUMS), *is_named_anew))}'
        f' on conflict ({_listed(_MONTH_KEY)}) do update set {", ".join((*newer, *_added(_MONTH_SUMS)))}),'
        f' parts as ({_parts("moves", ["sum(sign) as count_rows", *sums])}),'
        f' of_days as ({_by_day("parts")}),'
        f' totals as (insert into {TOTALS} as kept ({_listed((*_TOTAL_KEY, *_TOTAL_SUMS))})'
        f' select {_listed((*_TOTAL_KEY, *_TOTAL_SUMS))} from of_days where {_is_any(_TOTAL_SUMS)}'
        f' on conflict (by, date, md5(name)) do update set {", ".join(_added(_TOTAL_SUMS))})'
    )


def emptied(keys: str) -> str:
    """The statement that takes out the months of which no day is left, of these keys."""
    is_its = f'kept.month = {_month("key.date")} and kept.content_id = key.content_id'
    return f'delete from {MONTHS} as kept using {keys} as key where kept.count_days = 0 and {is_its}'


def added_up(by: str, start: str, end: str) -> str:
    """The relation of days to add up by their date or what is said of their articles, as a FROM has it.

    Totals of days, or months with the days at both ends; or the rows themselves where nothing is added up of these days: the
    definition lacks a column.

    Args:
        by: a column of the answer.
        start: the first day, as an expression.
        end: the last one.
    """
    told = ', '.join((identifier(by), *map(identifier, _MEASURES)))
    within, rows = f'date between {start} and {end}', f'select {told} from {DAILY_SUMMARY.table}'
    is_done = f'exists (select from {TOTALS} where by = {literal(ALL)} and {within})'
    if by in _NAMES and by not in GROUPED:
        first = f"date_trunc('month', {start}::date + interval '1 month' - interval '1 day')::date"
        after = f"date_trunc('month', {end}::date + interval '1 day')::date"
        found = (
            f'select {told} from {MONTHS} where month >= {first} and month < {after}'
            f' union all {rows} where date between {start} and least({end}, {first} - 1) and {is_done}'
            f' union all {rows} where date between greatest({first}, {after}) and {end} and {is_done}'
        )
    else:
        of, column = (by, 'name') if by in GROUPED else (ALL, 'date')
        found = f'select {column} as {told} from {TOTALS} where by = {literal(of)} and {within} and count_rows <> 0'
    # In one process: others would be started for rows that are not read.
    return f'({found} union all ({rows} where {within} and not {is_done} offset 0)) as counted'


def truths() -> Iterable[tuple[str, sql.SQL, tuple[str, ...], tuple[str, ...], sql.SQL]]:
    """Of each table: name, relation of what it holds, key, values, and what it should hold, worked out from the rows."""
    yield MONTHS, sql.SQL(MONTHS), _MONTH_KEY, ('count_days', *_NAMES, *_MEASURES), sql.SQL(f'({_by_month()}) as added_up')
    kept = sql.SQL(f'(select * from {TOTALS} where count_rows <> 0) as kept')
    yield TOTALS, kept, _TOTAL_KEY, _TOTAL_SUMS, sql.SQL(f'({_by_day(_parts_of_rows())}) as added_up')


def _by_month() -> str:
    names = [f'max({identifier(name)}) as {identifier(name)}' for name in _NAMES]
    told = ', '.join([f'{_month("date")} as month', 'content_id', 'count(*) as count_days', *names, *_sums(_MEASURES)])
    return f'select {told} from {_ROWS} group by 1, 2'


def _by_day(parts: str) -> str:
    """The totals of days, of a relation of ``_parts``."""
    grouped = GROUPED
    by = ' '.join(f'when grouping({identifier(name)}) = 0 then {literal(name)}' for name in grouped)
    sets = ', '.join(['(date)', *(f'(date, {identifier(name)})' for name in grouped)])
    return (
        f"select case {by} else {literal(ALL)} end as by, date, coalesce({_listed(grouped)}, '') as name,"
        f' {", ".join(_sums(_TOTAL_SUMS))} from {parts} group by grouping sets ({sets})'
    )


def _parts(rows: str, sums: Iterable[str]) -> str:
    """Sums by day, site and section: many articles have these in common, so that few rows are added up further."""
    named = [f'coalesce({identifier(name)}, {literal(NOT_SET)}) as {identifier(name)}' for name in GROUPED]
    numbers = ', '.join(str(2 + at) for at, _ in enumerate(named))
    return f'select date, {", ".join((*named, *sums))} from {rows} group by 1, {numbers}'


def _parts_of_rows() -> str:
    return f'({_parts(_ROWS, ["count(*) as count_rows", *_sums(_MEASURES)])}) as parts'


def _sums(names: Iterable[str]) -> list[str]:
    return [f'{_summed(identifier(name), name)} as {identifier(name)}' for name in names]


def _summed(what: str, name: str) -> str:
    return f'trim_scale(sum({what}))' if name in _MONEY else f'sum({what})::bigint'


def _added(names: Iterable[str]) -> list[str]:
    """What an upsert sets each number to: what is kept and what comes."""
    sums = {name: f'kept.{identifier(name)} + excluded.{identifier(name)}' for name in names}
    return [f'{identifier(name)} = ' + (f'trim_scale({sums[name]})' if name in _MONEY else sums[name]) for name in names]


def _is_any(names: Iterable[str]) -> str:
    return ' or '.join(f'{identifier(name)} <> 0' for name in names)


def _listed(names: Iterable[str]) -> str:
    return ', '.join(map(identifier, names))


def _month(day: str) -> str:
    """The first day of a day's month; not by ``date_trunc``, which asks for the session's timezone."""
    return f'{day} - (extract(day from {day})::int - 1)'


# A definition that lacks a column has nothing added up until it has it again, which computes all rows anew.
_FUNCTIONS = """\
create or replace function ops.has_rollups() returns boolean language sql stable as $function$
select array[{asked}]::name[] <@ array(
    select attname from pg_attribute where attrelid = to_regclass('{rows}') and attnum > 0 and not attisdropped
)
$function$;
comment on function ops.has_rollups is 'Whether {rows} has all columns that {months} and {totals} add up.';
create or replace function ops.fill_rollups() returns void language plpgsql as $function$
begin
    perform pg_advisory_xact_lock(hashtext({lock}));  -- a refresh adds to them
    delete from {months};
    delete from {totals};
    if ops.has_rollups() then
        insert into {months} ({month_names})
        {by_month};
        insert into {totals} ({total_names})
        {by_day};
    end if;
end $function$;
comment on function ops.fill_rollups is 'Fills {months} and {totals} anew.';
select ops.fill_rollups() where to_regclass('{rows}') is not null
and not (exists (select from {months}) and exists (select from {totals}));"""
