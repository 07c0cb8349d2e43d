-- The rows of gold.daily_summary for the day that was built last, most pageviews first.
with changes as (
    select
        event_date as date,
        _updated_at
    from gold.ga4_daily_summary
    union all
    select
        served_date as date,
        _updated_at
    from gold.gam_daily_summary
),

built_last as (
    select date
    from changes
    order by _updated_at desc
    limit 1
)

select summary.*
from gold.daily_summary as summary
inner join built_last
    on summary.date = built_last.date
order by summary.pageviews desc, summary.revenue_usd desc, summary.content_id asc
limit 100
