-- Pageviews of the last 31 days with pageviews.
with latest as (
    select max(date) as day
    from gold.daily_summary
    where pageviews > 0
)

select
    to_char(summary.date, 'YYYY-MM-DD') as day,
    sum(summary.pageviews) as pageviews
from gold.daily_summary as summary
inner join latest
    on summary.date > latest.day - 31
group by summary.date
order by summary.date
