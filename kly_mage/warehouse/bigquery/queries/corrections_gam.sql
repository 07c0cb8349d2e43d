-- By how much deliveries of some days have corrected what ads had counted there, by load: as gold.restatements says, out of the rows of ads alone.
with steps as (
    select
        stored._partition_date as day,
        coalesce(nullif(stored.content_id, ''), '(not set)') as content_id,
        stored._load_id as load_id,
        stored._updated_at as changed_at,
        false as is_restated,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery as stored
    where stored._partition_date between @start and @end
    union all
    select
        changed._partition_date as day,
        coalesce(nullif(changed.content_id, ''), '(not set)') as content_id,
        changed._load_id as load_id,
        changed._updated_at as changed_at,
        true as is_restated,
        changed.sign * changed.impressions as impressions,
        changed.sign * changed.clicks as clicks,
        changed.sign * changed.revenue_usd as revenue_usd
    from bronze.gam_delivery_corrections as changed
    where changed._partition_date between @start and @end
),

changes as (
    select
        steps.day,
        steps.load_id,
        max(steps.changed_at) as changed_at,
        if(logical_or(steps.is_restated and steps.impressions <> 0), nullif(sum(steps.impressions), 0), null) as impressions,
        if(logical_or(steps.is_restated and steps.clicks <> 0), nullif(sum(steps.clicks), 0), null) as clicks,
        if(logical_or(steps.is_restated and steps.revenue_usd <> 0), nullif(sum(steps.revenue_usd), 0), null) as revenue_usd
    from steps
    group by steps.day, steps.load_id, steps.content_id
)

select
    max(changes.changed_at) as restated_at,
    changes.load_id,
    changes.day,
    sum(changes.impressions) as impressions,
    sum(changes.clicks) as clicks,
    sum(changes.revenue_usd) as revenue_usd
from changes
where coalesce(changes.impressions, changes.clicks, changes.revenue_usd) is not null
group by changes.load_id, changes.day
order by restated_at desc, changes.day desc
