-- Ad rows with the key of another and other values, of some days: what counts and what the other says.
select
    conflict._partition_date as day,
    conflict.ad_unit,
    conflict.line_item,
    coalesce(nullif(conflict.content_id, ''), '(not set)') as content_id,
    conflict.counted_impressions,
    conflict.impressions,
    conflict.counted_revenue_usd,
    conflict.revenue_usd,
    conflict._file as file,
    conflict._line as line,
    conflict._load_id as load_id,
    if(conflict.accepted_at is null, 'waits', concat('accepted: ', conflict.accepted_because)) as state,
    count(*) over () as conflicts
from bronze.gam_delivery_conflicts as conflict
where conflict._partition_date between @start and @end and conflict.is_restatement is not true
order by conflict._partition_date desc, conflict.revenue_usd desc, conflict._hashrow asc
limit @limit
