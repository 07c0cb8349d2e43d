"""``DAILY_SUMMARY`` added up by article and month, for the pages: a year of days is twelve rows of an article.

The refresh that merges rows of days has its months added up anew, in the same transaction: those of the articles and days
it has computed, and no others. So the table holds what the days hold, whatever changed them.
"""

from psycopg2 import sql

from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.warehouse.postgres.mart_tables import table_ddl
from kly_mage.warehouse.postgres.measures import UNITS
from kly_mage.warehouse.postgres.text import identifier, literal

MONTHS = 'gold.monthly_summary'
KEY = ('month', 'content_id')
_ROWS = f'{DAILY_SUMMARY.table}_rows'
_NAMES = tuple(key.name for key in DAILY_SUMMARY.attributes if key.name in ('site', 'title', 'author', 'section'))
VALUES = ('count_days', *_NAMES, *(measure.name for measure in DAILY_SUMMARY.measures))


def months_ddl() -> str:
    """The table and the function that adds up; safe to run again, which fills a table that is new."""
    columns = [
        ('month', 'date not null', 'The first day of the month.'),
        *((key.name, 'text not null', key.description) for key in DAILY_SUMMARY.by),
        ('count_days', 'bigint not null', f'Rows of {DAILY_SUMMARY.table} that are added up.'),
        *((key.name, 'text', key.description) for key in DAILY_SUMMARY.attributes if key.name in _NAMES),
        *((measure.name, UNITS[measure.unit], measure.description) for measure in DAILY_SUMMARY.measures),
    ]
    return '\n'.join(
        [
            *table_ddl(
                MONTHS.partition('.')[2],
                f'One row per month and article: the days of {DAILY_SUMMARY.table} added up, also their sessions.',
                columns,
                KEY,
            ),
            _FUNCTION.format(
                months=MONTHS,
                rows=_ROWS,
                names=', '.join(map(identifier, (*KEY, *VALUES))),
                asked=', '.join(map(literal, VALUES[1:])),
                newer=', '.join(f'excluded.{identifier(name)}' for name in VALUES),
                values=', '.join(map(identifier, VALUES)),
                kept=', '.join(f'kept.{identifier(name)}' for name in VALUES),
                every=_added_up(f'{_ROWS} as kept'),
                touched=_added_up(
                    f'touched inner join {_ROWS} as kept on kept.content_id = touched.content_id and kept.date >='
                    " touched.month and kept.date < touched.month + interval '1 month'"
                ),
                month=_month('date'),
            ),
        ]
    )


def truth() -> sql.SQL:
    """What the table should hold, worked out at once from the rows of days, as a relation."""
    return sql.SQL('({}) as added_up').format(sql.SQL(_added_up(f'{_ROWS} as kept')))


def _added_up(rows: str) -> str:
    names = [f'max(kept.{identifier(name)}) as {identifier(name)}' for name in _NAMES]
    sums = []
    for measure in DAILY_SUMMARY.measures:
        total = f'sum(kept.{identifier(measure.name)})'
        total = f'trim_scale({total})' if measure.unit == 'USD' else f'{total}::{UNITS[measure.unit]}'
        sums.append(f'{total} as {identifier(measure.name)}')
    told = ', '.join([f'{_month("kept.date")} as month', 'kept.content_id', 'count(*) as count_days', *names, *sums])
    return f'select {told} from {rows} group by 1, 2'


def _month(day: str) -> str:
    """The first day of a day's month; not by ``date_trunc``, which asks for the session's timezone."""
    return f'{day} - (extract(day from {day})::int - 1)'


# A definition that lacks a column has no months until it has it again, which computes all rows anew.
_FUNCTION = """\
create or replace function ops.add_up_months(everything boolean) returns void language plpgsql
set random_page_cost to 1.1 as $function$
declare
    is_whole boolean := array[{asked}]::name[] <@ array(
        select attname from pg_attribute where attrelid = to_regclass('{rows}') and attnum > 0 and not attisdropped
    );
begin
    if everything or not is_whole then
        delete from {months};
    end if;
    if is_whole and everything then
        insert into {months} ({names})
        {every};
    elsif is_whole then
        with touched as materialized (
            select distinct content_id, {month} as month from daily_summary_keys
        ),
        new as materialized (
            {touched}
        ),
        gone as (
            delete from {months} as kept using touched
            where kept.month = touched.month and kept.content_id = touched.content_id and not exists (
                select from new where new.month = kept.month and new.content_id = kept.content_id
            )
        )
        insert into {months} as kept ({names})
        select {names} from new
        on conflict (month, content_id) do update set ({values}) = row({newer})
        where ({kept}) is distinct from ({newer});
    end if;
end $function$;
comment on function ops.add_up_months is 'Has {months} follow the rows that a refresh computes, or all of them.';
select ops.add_up_months(true) where to_regclass('{rows}') is not null and not exists (select from {months});"""
