-- Revenue of the last 31 days with impressions.
with latest as (
    select max(summary.date) as day
    from gold.daily_summary as summary
    where summary.impressions > 0
)

select
    cast(summary.date as string) as day,
    sum(summary.revenue_usd) as revenue_usd
from gold.daily_summary as summary
inner join latest
    on summary.date > date_sub(latest.day, interval 31 day)
group by summary.date
order by summary.date
