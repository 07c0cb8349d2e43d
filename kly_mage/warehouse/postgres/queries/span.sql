-- When loads brought rows of some days, of one article where one is asked for. Rows of bronze lie by the day they came in: who asks between these
-- moments looks at few partitions. With a day to spare for clocks that were set; without a row of gold, an article may be on any of the days.
with shown as materialized (
    select
        min(summary.date) as first_day,
        max(summary.date) as last_day
    from gold.daily_summary as summary
    where :article <> '' and summary.content_id = :article and summary.date between :start and :end
)

select
    min(load.started_at) - interval '1 day' as first,
    max(load.finished_at) + interval '1 day' as last
from ops.load_days as load_day
inner join ops.loads as load
    on load_day.load_id = load.load_id
where
    load.source = :source
    and load_day.day between coalesce((select shown.first_day from shown), :start)
    and coalesce((select shown.last_day from shown), :end)
    and load_day.rows_new > 0
