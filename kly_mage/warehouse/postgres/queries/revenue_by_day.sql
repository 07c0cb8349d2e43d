-- Revenue of the last 31 days with impressions.
with latest as (
    select max(date) as day
    from gold.daily_summary
    where impressions > 0
)

select
    to_char(summary.date, 'YYYY-MM-DD') as day,
    sum(summary.revenue_usd) as revenue_usd
from gold.daily_summary as summary
inner join latest
    on summary.date > latest.day - 31
group by summary.date
order by summary.date
