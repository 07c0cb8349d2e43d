-- The rows of gold.ga4_daily_summary for the days that this run has loaded, else for those loaded last, most pageviews first.
with loaded_last as (
    select
        start_day,
        end_day
    from ops.loads
    where status = 'done' and source = 'ga4_events'
    order by pipeline_run is not distinct from '{{ pipeline_run_id }}' desc, load_id desc
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
inner join loaded_last
    on mart.event_date between loaded_last.start_day and loaded_last.end_day
order by mart.pageviews desc, mart.content_id asc
limit 100
