"""The SQL block of a mart to start from: the rule of refreshing for measures that add up."""

from kly_mage.declared.marts import NOT_SET, Mart, Measure, Rows, Sum
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
