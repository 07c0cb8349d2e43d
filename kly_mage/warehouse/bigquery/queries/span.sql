-- When loads brought rows of some days, of one article where one is asked for. Rows of bronze lie by the day they came in: who asks between these
-- moments looks at few partitions. With a day to spare; without a row of gold, an article may be on any of the days.
with shown as (
    select
        min(summary.date) as first_day,
        max(summary.date) as last_day
    from gold.daily_summary as summary
    where @article <> '' and summary.content_id = @article and summary.date between @start and @end
)

select
    timestamp_sub(timestamp_micros(min(loaded.load_id)), interval 1 day) as first,
    timestamp_add(max(loaded.finished_at), interval 1 day) as last
from ops.load_days as load_day
inner join ops.loads as loaded
    on load_day.source = loaded.source and load_day.load_id = loaded.load_id
cross join shown
where
    load_day.source = @source
    and load_day.day between coalesce(shown.first_day, @start) and coalesce(shown.last_day, @end)
    and load_day.rows_new > 0
