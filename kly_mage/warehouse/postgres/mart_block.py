"""The SQL blocks of a mart: its refresh to start from, for measures that add up, and the preview of what it has built."""

from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, NOT_SET, Key, Mart, Measure, Rows, Sum
from kly_mage.warehouse.postgres.text import literal


def mart_block(mart: Mart) -> str:
    """The text of the block. What a declaration cannot say (distinct keys) is written into it by hand."""
    names, keys = [measure.name for measure in mart.additive], [f'{_key(key)} as {key.name}' for key in mart.by]
    return _BLOCK.format(
        mart=mart.name,
        source=mart.source,
        day=mart.day.name,
        grain=', '.join(mart.key),
        keys=''.join(f'        {key},\n' for key in keys),
        rows=''.join(f'        {_named(measure)},\n' for measure in mart.additive),
        changes=''.join(f'        sign * {_per_row(measure)} as {measure.name},\n' for measure in mart.additive),
        key_lines=''.join(f'        {name},\n' for name in mart.key),
        sums=''.join(f'        sum({name}) as {name},\n' for name in names),
        left_keys=',\n'.join(f'        deltas.{name}' for name in mart.key),
        left=''.join(f'\n            and deltas.{key.name} = {_key(key, "stored.")}' for key in mart.by),
        own=''.join(f'        deltas.{name},\n' for name in (*mart.key, *names)),
        same_left=' and '.join(f'deltas.{name} = left_over.{name}' for name in mart.key),
        same=' and '.join(f'target.{name} = source.{name}' for name in mart.key),
        updates=''.join(f'    {m.name} = {_sum(f"target.{m.name} + source.{m.name}", m)},\n' for m in mart.additive),
        columns=', '.join((*mart.key, *names)),
        values=', '.join((*(f'source.{name}' for name in mart.key), *(_sum(f'source.{m.name}', m) for m in mart.additive))),
    )


def preview_block(mart: Mart) -> str:
    """The text of the block that shows, in Mage, the rows of the days that were loaded last."""
    return _PREVIEW.format(
        table=mart.table,
        first=mart.telling,
        loaded_last=_LOADED_LAST.format(which=f'source = {literal(mart.source)}'),
        columns=','.join(
            f'\n    mart.{name}' for name in (*mart.key, *(measure.name for measure in mart.measures), '_updated_at')
        ),
        day=mart.day.name,
        order=', '.join((f'mart.{mart.telling} desc', *(f'mart.{key.name} asc' for key in mart.by))),
    )


def preview_joined() -> str:
    """The same for ``DAILY_SUMMARY``: of whichever source of its marts was loaded last."""
    marts = [mart for mart in MARTS if mart.name in DAILY_SUMMARY.marts]
    return _PREVIEW.format(
        table=DAILY_SUMMARY.table,
        first=marts[0].telling,
        loaded_last=_LOADED_LAST.format(which=f'source in ({", ".join(literal(mart.source) for mart in marts)})'),
        columns=' mart.*',
        day=DAILY_SUMMARY.day.name,
        order=', '.join(
            [*(f'mart.{mart.telling} desc' for mart in marts), *(f'mart.{key.name} asc' for key in DAILY_SUMMARY.by)]
        ),
    )


def _key(key: Key, of: str = '') -> str:
    return f"coalesce(nullif({of}{key.column}, ''), {literal(NOT_SET)})"


def _per_row(measure: Measure) -> str:
    match measure.of:
        case Rows(column, value):
            return f'({column} = {literal(value)})::int'
        case Sum(column):
            return column
    raise TypeError(f'{measure.name} does not add up over rows')


def _named(measure: Measure) -> str:
    amount = _per_row(measure)
    return amount if amount == measure.name else f'{amount} as {measure.name}'


def _sum(amount: str, measure: Measure) -> str:
    return f'trim_scale({amount})' if measure.unit == 'USD' else amount


_BLOCK = """\
-- Grain: one row per {grain}.
-- Inputs: the rows of bronze.{source} that came in since the last refresh (ops.watermarks), and what was corrected since.
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
{keys}{rows}        1 as sign,
        _updated_at
    from bronze.{source}
    where
        _updated_at > (
            select watermarks.watermark from ops.watermarks
            where watermarks.mart = 'gold.{mart}'
        )
    union all
    -- What was counted and counts no longer (-1), and what counts in its place (1).
    select
        _partition_date as {day},
{keys}{changes}        sign,
        _updated_at
    from bronze.{source}_to_correct
),

deltas as materialized (
    select
{key_lines}{sums}        sum(sign) <= 0 as is_lessened,
        max(_updated_at) as watermark
    from new_rows
    group by {grain}
),

-- Where rows were taken back: what is left there.
left_over as materialized (
    select distinct
{left_keys}
    from deltas
    inner join bronze.{source}_counted(array(select distinct {day} from deltas where is_lessened)) as stored
        on
            deltas.{day} = stored._partition_date{left}
    where deltas.is_lessened
),

changes as (
    select
{own}        deltas.is_lessened and left_over.{day} is null as is_empty
    from deltas
    left join left_over
        on {same_left}
),

progress as (
    update ops.watermarks
    set
        watermark = (select max(watermark) from deltas),
        refreshed_at = clock_timestamp()
    where mart = 'gold.{mart}' and exists (select from deltas)
)

merge into gold.{mart} as target
using changes as source
on {same}
when matched and source.is_empty then delete
when matched then update set
{updates}    _updated_at = clock_timestamp()
when not matched and not source.is_empty then insert ({columns}, _updated_at)
values ({values}, clock_timestamp());
"""
# In the editor, which has no run, the days are those that somebody has just loaded there.
_LOADED_LAST = """\
with loaded_last as (
    select
        start_day,
        end_day
    from ops.loads
    where status = 'done' and {which}
    order by pipeline_run is not distinct from '{{{{ pipeline_run_id }}}}' desc, load_id desc
    limit 1
)"""
_PREVIEW = """\
-- The rows of {table} for the days that this run has loaded, else for those loaded last, most {first} first.
{loaded_last}

select{columns}
from {table} as mart
inner join loaded_last
    on mart.{day} between loaded_last.start_day and loaded_last.end_day
order by {order}
limit 100
"""
