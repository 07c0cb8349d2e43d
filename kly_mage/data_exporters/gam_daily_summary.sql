-- Grain: one row per serving date and content_id.
-- Inputs: the rows of bronze.gam_delivery that came in since the last refresh (ops.watermarks), and what was corrected since.
-- A re-run is safe: the rows read, their sums and the watermark move in one transaction.

-- Each statement has to see what was committed while the locks were waited for, whatever the database defaults to.
set transaction isolation level read committed;
-- To the planner, rows beyond some moment are a third of all: it would read whole partitions and pass the index by.
set local enable_seqscan = off;
-- A session that has no bound for waiting gets one: where Mage runs this block over its own connection.
select set_config('lock_timeout', '15min', true) where current_setting('lock_timeout') = '0';
select pg_advisory_xact_lock(hashtext('gold.gam_daily_summary'));  -- one refresh at a time; readers go on

-- Loads hold this table in row exclusive mode from before they take their _updated_at until they commit:
-- this waits for those in flight, and those that come later are stamped beyond the new watermark.
lock table only bronze.gam_delivery in share mode;

with new_delivery as (
    select
        _partition_date as served_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        impressions,
        clicks,
        revenue_usd,
        1 as sign,
        _updated_at
    from bronze.gam_delivery
    where
        _updated_at > (
            select watermarks.watermark from ops.watermarks
            where watermarks.mart = 'gold.gam_daily_summary'
        )
    union all
    -- What was counted and counts no longer (-1), and what counts in its place (1); empty where the first version counts.
    select
        _partition_date as served_date,
        coalesce(nullif(content_id, ''), '(not set)') as content_id,
        sign * impressions as impressions,
        sign * clicks as clicks,
        sign * revenue_usd as revenue_usd,
        sign,
        _updated_at
    from bronze.gam_delivery_to_correct
),

deltas as materialized (
    select
        served_date,
        content_id,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(revenue_usd) as revenue_usd,
        sum(sign) <= 0 as is_lessened,
        max(_updated_at) as watermark
    from new_delivery
    group by served_date, content_id
),

-- Where rows were taken back: what is left there. Empty unless a newer delivery has corrected a day.
left_over as materialized (
    select distinct
        deltas.served_date,
        deltas.content_id
    from deltas
    inner join bronze.gam_delivery_counted(array(select distinct served_date from deltas where is_lessened)) as delivery
        on
            deltas.served_date = delivery._partition_date
            and deltas.content_id = coalesce(nullif(delivery.content_id, ''), '(not set)')
    where deltas.is_lessened
),

changes as (
    select
        deltas.served_date,
        deltas.content_id,
        deltas.impressions,
        deltas.clicks,
        deltas.revenue_usd,
        deltas.is_lessened and left_over.content_id is null as is_empty
    from deltas
    left join left_over
        on deltas.served_date = left_over.served_date and deltas.content_id = left_over.content_id
),

progress as (
    update ops.watermarks
    set
        watermark = (select max(watermark) from deltas),
        refreshed_at = clock_timestamp()
    where mart = 'gold.gam_daily_summary' and exists (select from deltas)
)

merge into gold.gam_daily_summary as target
using changes as source
on target.served_date = source.served_date and target.content_id = source.content_id
when matched and source.is_empty then delete
when matched then update set
    impressions = target.impressions + source.impressions,
    clicks = target.clicks + source.clicks,
    revenue_usd = trim_scale(target.revenue_usd + source.revenue_usd),
    _updated_at = clock_timestamp()
when not matched and not source.is_empty then insert (served_date, content_id, impressions, clicks, revenue_usd, _updated_at)
values (source.served_date, source.content_id, source.impressions, source.clicks, trim_scale(source.revenue_usd), clock_timestamp());
