"""The SQL blocks of a mart: its refresh to start from, for measures that add up, and the preview of what it has built."""

from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, NOT_SET, Mart, Measure, Rows, Sum
from kly_mage.warehouse.postgres.text import literal


def mart_block(mart: Mart) -> str:
    """The text of the block. What a declaration cannot say (distinct keys, restatements) is written into it by hand."""
    names = [measure.name for measure in mart.additive]
    return _BLOCK.format(
        mart=mart.name,
        source=mart.source,
        day=mart.day.name,
        grain=', '.join(mart.key),
        keys=''.join(f"        coalesce(nullif({k.column}, ''), {literal(NOT_SET)}) as {k.name},\n" for k in mart.by),
        rows=''.join(f'        {_per_row(measure)},\n' for measure in mart.additive),
        key_lines=''.join(f'        {name},\n' for name in mart.key),
        sums=''.join(f'        sum({name}) as {name},\n' for name in names),
        same=' and '.join(f'target.{name} = source.{name}' for name in mart.key),
        updates=''.join(f'    {m.name} = {_sum(f"target.{m.name} + source.{m.name}", m)},\n' for m in mart.additive),
        columns=', '.join((*mart.key, *names)),
        values=', '.join((*(f'source.{name}' for name in mart.key), *(_sum(f'source.{m.name}', m) for m in mart.additive))),
    )


def preview_block(mart: Mart) -> str:
    """The text of the block that shows, in the editor, the rows of the day that the mart has built last."""
    return _PREVIEW.format(
        table=mart.table,
        first=mart.telling,
        day=mart.day.name,
        columns=''.join(f'    mart.{name},\n' for name in (*mart.key, *(measure.name for measure in mart.measures))),
        keys=', '.join(f'mart.{key.name} asc' for key in mart.by),
    )


def preview_joined() -> str:
    """The same for ``DAILY_SUMMARY``, which is built last when one of its marts is."""
    marts = [mart for mart in MARTS if mart.name in DAILY_SUMMARY.marts]
    return _PREVIEW_JOINED.format(
        table=DAILY_SUMMARY.table,
        first=marts[0].telling,
        day=DAILY_SUMMARY.day.name,
        changes='\n    union all\n'.join(
            f'    select\n        {mart.day.name} as {DAILY_SUMMARY.day.name},\n        _updated_at\n    from {mart.table}'
            for mart in marts
        ),
        order=', '.join(
            [*(f'summary.{mart.telling} desc' for mart in marts), *(f'summary.{key.name} asc' for key in DAILY_SUMMARY.by)]
        ),
    )


def _per_row(measure: Measure) -> str:
    match measure.of:
        case Rows(column, value):
            return f'({column} = {literal(value)})::int as {measure.name}'
        case Sum(column):
            return column if column == measure.name else f'{column} as {measure.name}'
    raise TypeError(f'{measure.name} does not add up over rows')


def _sum(amount: str, measure: Measure) -> str:
    return f'trim_scale({amount})' if measure.unit == 'USD' else amount


_BLOCK = """\
-- Grain: one row per {grain}.
-- Inputs: the rows of bronze.{source} that came in since the last refresh (ops.watermarks).
-- A re-run is safe: the rows read, their sums and the watermark move in one transaction.

-- Each statement has to see what was committed while the locks were waited for, whatever the database defaults to.
set transaction isolation level read committed;
-- To the planner, rows beyond some moment are a third of all: it would read whole partitions and pass the index by.
set local enable_seqscan = off;
-- A session that has no bound for waiting gets one: where Mage runs this block over its own connection.
select set_config('lock_timeout', '15min', true) where current_setting('lock_timeout') = '0';
select pg_advisory_xact_lock(hashtext('gold.{mart}'));  -- one refresh at a time; readers go on

-- Loads hold this table in row exclusive mode from before they take their _updated_at until they commit:
-- this waits for those in flight, and those that come later are stamped beyond the new watermark.
lock table only bronze.{source} in share mode;

with new_rows as (
    select
        _partition_date as {day},
{keys}{rows}        _updated_at
    from bronze.{source}
    where
        _updated_at > (
            select watermarks.watermark from ops.watermarks
            where watermarks.mart = 'gold.{mart}'
        )
),

deltas as materialized (
    select
{key_lines}{sums}        max(_updated_at) as watermark
    from new_rows
    group by {grain}
),

progress as (
    update ops.watermarks
    set
        watermark = (select max(watermark) from deltas),
        refreshed_at = clock_timestamp()
    where mart = 'gold.{mart}' and exists (select from deltas)
)

merge into gold.{mart} as target
using deltas as source
on {same}
when matched then update set
{updates}    _updated_at = clock_timestamp()
when not matched then insert ({columns}, _updated_at)
values ({values}, clock_timestamp());
"""
_PREVIEW = """\
-- The rows of {table} for the day that was built last, most {first} first.
with built_last as (
    select {day}
    from {table}
    order by _updated_at desc
    limit 1
)

select
{columns}    mart._updated_at
from {table} as mart
inner join built_last
    on mart.{day} = built_last.{day}
order by mart.{first} desc, {keys}
limit 100
"""
_PREVIEW_JOINED = """\
-- The rows of {table} for the day that was built last, most {first} first.
with changes as (
{changes}
),

built_last as (
    select {day}
    from changes
    order by _updated_at desc
    limit 1
)

select summary.*
from {table} as summary
inner join built_last
    on summary.{day} = built_last.{day}
order by {order}
limit 100
"""
