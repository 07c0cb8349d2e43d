-- Pageviews of the last 31 days with pageviews.
with latest as (
    select max(summary.date) as day
    from gold.daily_summary as summary
    where summary.pageviews > 0
)

select
    cast(summary.date as string) as day,
    sum(summary.pageviews) as pageviews
from gold.daily_summary as summary
inner join latest
    on summary.date > date_sub(latest.day, interval 31 day)
group by summary.date
order by summary.date
