-- The rows of gold.ga4_daily_summary for the day that was built last, most pageviews first.
with built_last as (
    select event_date
    from gold.ga4_daily_summary
    order by _updated_at desc
    limit 1
)

select
    mart.event_date,
    mart.content_id,
    mart.pageviews,
    mart.sessions,
    mart.user_engagements,
    mart._updated_at
from gold.ga4_daily_summary as mart
inner join built_last
    on mart.event_date = built_last.event_date
order by mart.pageviews desc, mart.content_id asc
limit 100
