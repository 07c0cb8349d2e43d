-- What became of the rows that were read, of all sources, by the day on which they were loaded: the last 31 such days.
with by_day as (
    select
        finished_at::date as day,
        sum(rows_new) as new,
        sum(rows_already_loaded) as already_loaded,
        sum(rows_duplicate) as duplicate,
        sum(rows_rejected) as rejected,
        sum(rows_conflicting) as conflicting,
        sum(rows_outside) as outside
    from ops.loads
    where status = 'done'
    group by finished_at::date
    order by finished_at::date desc
    limit 31
)

select
    to_char(by_day.day, 'MM-DD') as day,
    by_day.new,
    by_day.already_loaded,
    by_day.duplicate,
    by_day.rejected,
    by_day.conflicting,
    by_day.outside
from by_day
order by by_day.day
