"""``DAILY_SUMMARY`` added up by article and month, for the pages: a year of days is twelve rows of an article.

The statement that merges rows of days adds to the months what it changes of these, and one that computes all rows has all
months added up anew. So the table holds what the days hold, and costs what has changed.
"""

from collections.abc import Iterable

from psycopg2 import sql

from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.postgres.mart_tables import table_ddl
from kly_mage.warehouse.postgres.measures import UNITS
from kly_mage.warehouse.postgres.text import identifier, literal

MONTHS = 'gold.monthly_summary'
KEY = ('month', 'content_id')
_ROWS = f'{DAILY_SUMMARY.table}_rows'
_NAMES = tuple(key.name for key in DAILY_SUMMARY.attributes if key.name in ('site', 'title', 'author', 'section'))
_MEASURES = tuple(measure.name for measure in DAILY_SUMMARY.measures)
_MONEY = {measure.name for measure in DAILY_SUMMARY.measures if measure.unit == 'USD'}
VALUES = ('count_days', *_NAMES, *_MEASURES)


def months_ddl() -> str:
    """The table and the function that fills it; safe to run again, which fills a table that is new."""
    columns = [
        ('month', 'date not null', 'The first day of the month.'),
        *((key.name, 'text not null', key.description) for key in DAILY_SUMMARY.by),
        ('count_days', 'bigint not null', f'Rows of {DAILY_SUMMARY.table} that are added up.'),
        *((key.name, 'text', key.description) for key in DAILY_SUMMARY.attributes if key.name in _NAMES),
        *((measure.name, UNITS[measure.unit], measure.description) for measure in DAILY_SUMMARY.measures),
    ]
    grain = f'One row per month and article: the days of {DAILY_SUMMARY.table} added up, also their sessions.'
    return '\n'.join(
        [
            *table_ddl(MONTHS.partition('.')[2], grain, columns, KEY),
            _FUNCTIONS.format(
                months=MONTHS,
                rows=_ROWS,
                lock=literal(DAILY_SUMMARY.table),
                names=_listed((*KEY, *VALUES)),
                asked=', '.join(map(literal, (*_NAMES, *_MEASURES))),
                added_up=_added_up(),
            ),
        ]
    )


def following(new: str, keys: str) -> str:
    """Further parts of a WITH that add to the months what a merge of rows changes, as the table of rows was before it.

    Args:
        new: the relation of the rows that are merged.
        keys: that of their days and articles.
    """
    columns = _listed((*_NAMES, *_MEASURES))
    names = [f'max({identifier(name)}) filter (where sign = {{}}) as {identifier(f"{{}}{name}")}' for name in _NAMES]
    named = [name.format(sign, was) for sign, was in ((1, ''), (-1, 'was ')) for name in names]
    sums = [f'{_summed(f"sign * {identifier(name)}", name)} as {identifier(name)}' for name in _MEASURES]
    is_moved = ' or '.join(
        [
            *(f'{identifier(name)} <> 0' for name in ('count_days', *_MEASURES)),
            *(f'{identifier(name)} is distinct from {identifier(f"was {name}")}' for name in _NAMES),
        ]
    )
    newer = [f'{identifier(name)} = coalesce(excluded.{identifier(name)}, kept.{identifier(name)})' for name in _NAMES]
    for name in ('count_days', *_MEASURES):
        added = f'kept.{identifier(name)} + excluded.{identifier(name)}'
        newer.append(f'{identifier(name)} = ' + (f'trim_scale({added})' if name in _MONEY else added))
    return (
        f'before as (select kept.* from {_ROWS} as kept inner join {keys} as key'
        ' on kept.date = key.date and kept.content_id = key.content_id),'
        f' moves as (select 1 as sign, date, content_id, {columns} from {new}'
        f' union all select -1, date, content_id, {columns} from before),'
        f' moved as (select {_month("date")} as month, content_id, sum(sign) as count_days, {", ".join((*named, *sums))}'
        ' from moves group by 1, 2),'
        f' months as (insert into {MONTHS} as kept ({_listed((*KEY, *VALUES))})'
        f' select {_listed((*KEY, *VALUES))} from moved where {is_moved}'
        f' on conflict ({_listed(KEY)}) do update set {", ".join(newer)})'
    )


def emptied(keys: str) -> str:
    """The statement that takes out the months of which no day is left, of these keys."""
    is_its = f'kept.month = {_month("key.date")} and kept.content_id = key.content_id'
    return f'delete from {MONTHS} as kept using {keys} as key where kept.count_days = 0 and {is_its}'


def truth() -> sql.SQL:
    """What the table should hold, worked out at once from the rows of days, as a relation."""
    return sql.SQL(f'({_added_up()}) as added_up')


def _added_up() -> str:
    names = [f'max({identifier(name)}) as {identifier(name)}' for name in _NAMES]
    sums = [f'{_summed(identifier(name), name)} as {identifier(name)}' for name in _MEASURES]
    told = ', '.join([f'{_month("date")} as month', 'content_id', 'count(*) as count_days', *names, *sums])
    return f'select {told} from {_ROWS} group by 1, 2'


def _summed(what: str, name: str) -> str:
    return f'trim_scale(sum({what}))' if name in _MONEY else f'sum({what})::bigint'


def _listed(names: Iterable[str]) -> str:
    return ', '.join(map(identifier, names))


def _month(day: str) -> str:
    """The first day of a day's month; not by ``date_trunc``, which asks for the session's timezone."""
    return f'{day} - (extract(day from {day})::int - 1)'


# A definition that lacks a column has no months until it has it again, which computes all rows anew.
_FUNCTIONS = """\
create or replace function ops.has_months() returns boolean language sql stable as $function$
select array[{asked}]::name[] <@ array(
    select attname from pg_attribute where attrelid = to_regclass('{rows}') and attnum > 0 and not attisdropped
)
$function$;
comment on function ops.has_months is 'Whether {rows} has all columns that {months} adds up.';
create or replace function ops.fill_months() returns void language plpgsql as $function$
begin
    perform pg_advisory_xact_lock(hashtext({lock}));  -- a refresh adds to them
    delete from {months};
    if ops.has_months() then
        insert into {months} ({names})
        {added_up};
    end if;
end $function$;
comment on function ops.fill_months is 'Fills {months} anew.';
select ops.fill_months() where to_regclass('{rows}') is not null and not exists (select from {months});"""
