-- The rows of gold.gam_daily_summary for the day that was built last, most revenue_usd first.
with built_last as (
    select served_date
    from gold.gam_daily_summary
    order by _updated_at desc
    limit 1
)

select
    mart.served_date,
    mart.content_id,
    mart.impressions,
    mart.clicks,
    mart.revenue_usd,
    mart._updated_at
from gold.gam_daily_summary as mart
inner join built_last
    on mart.served_date = built_last.served_date
order by mart.revenue_usd desc, mart.content_id asc
limit 100
