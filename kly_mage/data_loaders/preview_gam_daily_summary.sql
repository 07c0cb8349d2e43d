-- The rows of gold.gam_daily_summary for the days that this run has loaded, else for those loaded last, most revenue_usd first.
with loaded_last as (
    select
        start_day,
        end_day
    from ops.loads
    where status = 'done' and source = 'gam_delivery'
    order by pipeline_run is not distinct from '{{ pipeline_run_id }}' desc, load_id desc
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
inner join loaded_last
    on mart.served_date between loaded_last.start_day and loaded_last.end_day
order by mart.revenue_usd desc, mart.content_id asc
limit 100
