-- What ads delivered on some days, by ad unit, line item, creative or site.
with sums as (
    select
        delivered.name,
        sum(delivered.count_rows)::bigint as count_rows,
        sum(delivered.impressions)::bigint as impressions,
        sum(delivered.clicks)::bigint as clicks,
        sum(delivered.revenue_usd) as revenue_usd
    from gold.gam_daily_ads as delivered
    where delivered.by = :by and delivered.served_date between :start and :end and delivered.count_rows > 0
    group by delivered.name
)

select
    sums.name,
    sums.count_rows,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.impressions, 0), 6) as ecpm_usd,
    round(sums.clicks::numeric / nullif(sums.impressions, 0), 6) as ctr
from sums
order by sums.revenue_usd desc, sums.name asc
