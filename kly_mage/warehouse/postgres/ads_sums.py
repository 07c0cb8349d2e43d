"""Ads added up beyond their mart, for the pages: by day and what delivered them, and by month, article and line item.

Both tables follow the watermark of the mart. Its refresh moves that, and a trigger adds up the rows of bronze between where
it was and where it is, in the same transaction: what came in new, and what was corrected. Where a rebuild puts the watermark
back, they begin anew. So they hold what the mart holds, and cost what is new.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.declared.marts import NOT_SET, Mart
from kly_mage.warehouse.postgres.counting import log
from kly_mage.warehouse.postgres.mart_tables import table_of_names_ddl
from kly_mage.warehouse.postgres.measures import UNITS
from kly_mage.warehouse.postgres.text import identifier, literal

BY_DAY, BY_ARTICLE = 'gold.gam_daily_ads', 'gold.gam_monthly_ads'
PARTS = ('ad_unit', 'line_item', 'creative', 'site')
_PER_ARTICLE = 'line_item'


def ads_sums_ddl(source: Source, mart: Mart) -> str:
    """The tables, the function that adds up, and the trigger; safe to run again, which fills tables that are new."""
    measures = [measure.name for measure in mart.additive]
    own = [(m.name, f'{UNITS[m.unit]} not null', m.description) for m in mart.additive]
    own = [('count_rows', 'bigint not null', 'Rows that count.'), *own]
    by_day = [
        ('by', 'text not null', f'What is named: {", ".join(PARTS)}.'),
        (mart.day.name, 'date not null', mart.day.description),
        ('name', 'text not null', f'Its name; {NOT_SET} for ads without one.'),
        *own,
    ]
    by_article = [
        ('content_id', 'text not null', f'The article beside the ads; {NOT_SET} for ads without one.'),
        ('month', 'date not null', 'The first day of the month.'),
        (_PER_ARTICLE, 'text not null', f'{NOT_SET} for ads without one.'),
        *own,
    ]
    columns = ['_partition_date', 'content_id', *PARTS, *measures]
    of_stored = ', '.join(f'stored.{identifier(name)}' for name in columns)
    named = [
        f"coalesce(nullif({identifier(name)}::text, ''), {literal(NOT_SET)}) as {name}" for name in ('content_id', *PARTS)
    ]
    every = ('count_rows', *measures)
    return '\n'.join(
        [
            *table_of_names_ddl(
                BY_DAY, 'One row per day and ad unit, line item, creative or site: what was delivered there.', by_day
            ),
            *table_of_names_ddl(
                BY_ARTICLE, 'One row per article, month and line item: what was delivered beside it.', by_article
            ),
            _FUNCTIONS.format(
                source=source.name,
                mart=mart.table,
                day=mart.day.name,
                by_day=BY_DAY,
                by_article=BY_ARTICLE,
                per_article=_PER_ARTICLE,
                new=f'select 1 as sign, {of_stored}\n        from bronze.{identifier(source.name)} as stored',
                changes=_changes(source, of_stored),
                named=', '.join(named),
                amounts=', '.join(['sign as count_rows', *(f'sign * {name} as {name}' for name in measures)]),
                parts=', '.join(PARTS),
                sums=', '.join(f'{_exact(f"sum({name})", mart, name)} as {name}' for name in every),
                which=' '.join(f"when grouping({name}) = 0 then '{name}'" for name in PARTS),
                sets=', '.join(f'(day, {name})' for name in PARTS),
                names=', '.join(every),
                added=', '.join(f'{name} = {_exact(f"kept.{name} + excluded.{name}", mart, name)}' for name in every),
            ),
        ]
    )


def _changes(source: Source, columns: str) -> str:
    """What was corrected meanwhile, with its sign."""
    if not source.may_be_corrected:
        return ''
    changed = f'{log(source)} as changed where changed._updated_at > since and changed._updated_at <= until'
    if source.version_columns:
        return (
            f'\n        union all\n        select stored.sign, {columns}\n        from (select * from {changed}) as stored'
        )
    days = f'array(select distinct changed._partition_date from {changed})'
    return (
        f'\n        union all\n        select corrected.sign, {columns}\n        from (select * from {changed}) as corrected'
        f'\n        inner join bronze.{identifier(f"{source.name}_of_days")}({days}) as stored'
        ' on corrected._hashrow = stored._hashrow'
    )


def recount(cursor: Cursor, mart: Mart, days: list[date]) -> None:
    """Make both tables what bronze gives for these days, all rows of which are counted; of a month, for all of its days."""
    months = sorted({day.replace(day=1) for day in days})
    whole = sorted({month + timedelta(days=n) for month in months for n in range(31)})  # a day of the next one is cut below
    for at, (within, those, read) in enumerate(((mart.day.name, days, days), ('month', months, whole))):
        rows = f'bronze.{identifier(f"{mart.source}_counted")}(%(read)s::date[])'
        table, key, values, truth = list(truths(mart, rows))[at]
        names, asked = ', '.join((*key, *values)), {'those': those, 'read': read}
        cursor.execute(f'delete from {table} where {within} = any(%(those)s)', asked)
        cursor.execute(f'insert into {table} ({names}) select {names} from {truth} where {within} = any(%(those)s)', asked)


def truths(mart: Mart, rows: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], str]]:
    """What the tables should hold, worked out at once: table, key, values, and a relation.

    Args:
        rows: the relation of the rows that count.
    """
    measures = [measure.name for measure in mart.additive]
    sums = ', '.join(['count(*) as count_rows', *(f'{_exact(f"sum({name})", mart, name)} as {name}' for name in measures)])
    parts = ', '.join(f'({literal(name)}, {_name(name)})' for name in PARTS)
    by_day = f'select part.by, _partition_date as {mart.day.name}, part.name, {sums} from {rows} as counting'
    by_day += f' cross join lateral (values {parts}) as part (by, name) group by 1, 2, 3'
    month = "date_trunc('month', _partition_date::timestamp)::date"
    by_article = f'select {_name("content_id")} as content_id, {month} as month, {_name(_PER_ARTICLE)} as {_PER_ARTICLE}'
    by_article += f', {sums} from {rows} as counting group by 1, 2, 3'
    values = ('count_rows', *measures)
    yield BY_DAY, ('by', mart.day.name, 'name'), values, f'({by_day}) as truth'
    yield BY_ARTICLE, ('content_id', 'month', _PER_ARTICLE), values, f'({by_article}) as truth'


def _exact(amount: str, mart: Mart, name: str) -> str:
    """Money without zeros at its end, as the marts have it."""
    return f'trim_scale({amount})' if any(m.name == name and m.unit == 'USD' for m in mart.measures) else amount


def _name(column: str) -> str:
    return f"coalesce(nullif({identifier(column)}::text, ''), {literal(NOT_SET)})"


_FUNCTIONS = """\
create or replace function ops.add_up_{source}(since timestamptz, until timestamptz) returns void language plpgsql
set enable_seqscan = off as $function$
begin
    with delivered as (
        {new}
        where stored._updated_at > since and stored._updated_at <= until{changes}
    ),
    named as (
        select
            _partition_date as day, _partition_date - (extract(day from _partition_date)::int - 1) as month,
            {named},
            {amounts}
        from delivered
    ),
    parts as materialized (
        select
            day, month, content_id, {parts},
            case when grouping(content_id) = 1 then case {which} end end as part,
            {sums}
        from named
        group by grouping sets ({sets}, (month, content_id, {per_article}))
    ),
    of_days as (
        insert into {by_day} as kept (by, {day}, name, {names})
        select part, day, coalesce({parts}), {names} from parts where part is not null
        on conflict (by, {day}, md5(name)) do update set {added}
    )
    insert into {by_article} as kept (content_id, month, {per_article}, {names})
    select content_id, month, {per_article}, {names} from parts where part is null
    on conflict (content_id, month, md5({per_article})) do update set {added};
end $function$;
comment on function ops.add_up_{source} is 'Adds rows that came in between two moments to {by_day} and {by_article}.';
create or replace function ops.follow_{source}() returns trigger language plpgsql as $function$
begin
    if new.watermark < old.watermark then  -- a rebuild begins
        delete from {by_day};
        delete from {by_article};
    else
        perform ops.add_up_{source}(old.watermark, new.watermark);
    end if;
    return null;
end $function$;
comment on function ops.follow_{source} is 'Has {by_day} and {by_article} follow the watermark of {mart}.';
create or replace trigger follow_{source} after update of watermark on ops.watermarks
for each row when (new.mart = '{mart}' and new.watermark <> old.watermark) execute function ops.follow_{source}();
select ops.add_up_{source}('-infinity', watermark) from ops.watermarks
where mart = '{mart}' and isfinite(watermark) and not exists (select from {by_day} union all select from {by_article});"""
