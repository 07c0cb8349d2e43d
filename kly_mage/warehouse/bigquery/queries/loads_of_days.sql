-- The loads that read rows of some days, or a load's days: what became of the rows.
select
    load_day.source,
    load_day.load_id,
    load_day.day,
    load_day.rows_read,
    load_day.rows_new,
    load_day.rows_already_loaded + load_day.rows_unchanged as rows_already_loaded,
    load_day.rows_duplicate,
    load_day.rows_conflicting,
    load_day.rows_restated,
    load_day.rows_rejected,
    load_day.rows_superseded,
    load_day.rows_forgotten,
    loaded.finished_at,
    loaded.started_by,
    count(*) over () as lines
from ops.load_days as load_day
inner join ops.loads as loaded
    on load_day.source = loaded.source and load_day.load_id = loaded.load_id
where
    load_day.day between @start and @end
    and (cast(@load as int64) is null or load_day.load_id = cast(@load as int64))
order by load_day.source asc, load_day.load_id desc, load_day.day asc
limit @limit
