-- What became of the rows that were read, of all sources, by the local day on which they were loaded: the last 31 such days.
with zone as (
    select setting.value as name
    from ops.settings as setting
    where setting.name = 'timezone'
),

by_day as (
    select
        (load.finished_at at time zone zone.name)::date as day,
        sum(load.rows_new) as new,
        sum(load.rows_already_loaded + load.rows_unchanged) as already_loaded,
        sum(load.rows_duplicate) as duplicate,
        sum(load.rows_rejected) as rejected,
        sum(load.rows_conflicting) as conflicting,
        sum(load.rows_outside) as outside,
        sum(load.rows_superseded) as superseded,
        sum(load.rows_forgotten) as forgotten
    from ops.loads as load
    cross join zone
    where load.status = 'done'
    group by day
    order by day desc
    limit 31
)

select
    to_char(by_day.day, 'MM-DD') as day,
    by_day.new,
    by_day.already_loaded,
    by_day.duplicate,
    by_day.rejected,
    by_day.conflicting,
    by_day.outside,
    by_day.superseded,
    by_day.forgotten
from by_day
order by by_day.day
