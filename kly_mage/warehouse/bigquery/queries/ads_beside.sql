-- What ads delivered beside an article on some days, by line item: the rows of these days, and what was corrected of them.
with delivered as (
    select
        coalesce(nullif(stored.line_item, ''), '(not set)') as name,
        1 as sign,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery as stored
    where
        stored._partition_date between @start and @end
        and coalesce(nullif(stored.content_id, ''), '(not set)') = @article
    union all
    select
        coalesce(nullif(changed.line_item, ''), '(not set)') as name,
        changed.sign,
        changed.sign * changed.impressions as impressions,
        changed.sign * changed.clicks as clicks,
        changed.sign * changed.revenue_usd as revenue_usd
    from bronze.gam_delivery_corrections as changed
    where
        changed._partition_date between @start and @end
        and coalesce(nullif(changed.content_id, ''), '(not set)') = @article
),

sums as (
    select
        delivered.name,
        sum(delivered.sign) as count_rows,
        sum(delivered.impressions) as impressions,
        sum(delivered.clicks) as clicks,
        sum(delivered.revenue_usd) as revenue_usd
    from delivered
    group by delivered.name
    having count_rows > 0
)

select
    sums.name,
    sums.count_rows,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.impressions, 0), 6) as ecpm_usd
from sums
order by sums.revenue_usd desc, sums.name asc
