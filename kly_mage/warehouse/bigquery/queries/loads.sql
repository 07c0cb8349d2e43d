-- The loads of some days, or one of them; newest first.
select
    loaded.load_id,
    loaded.source,
    loaded.status,
    loaded.start_day,
    loaded.end_day,
    coalesce(loaded.rows_read, 0) as rows_read,
    coalesce(loaded.rows_new, 0) as rows_new,
    coalesce(loaded.rows_already_loaded, 0) + coalesce(loaded.rows_unchanged, 0) as rows_already_loaded,
    coalesce(loaded.rows_duplicate, 0) as rows_duplicate,
    coalesce(loaded.rows_conflicting, 0) as rows_conflicting,
    coalesce(loaded.rows_restated, 0) as rows_restated,
    coalesce(loaded.rows_rejected, 0) as rows_rejected,
    coalesce(loaded.rows_outside, 0) as rows_outside,
    coalesce(loaded.rows_superseded, 0) as rows_superseded,
    coalesce(loaded.rows_forgotten, 0) as rows_forgotten,
    coalesce(loaded.rows_replaced, 0) as rows_replaced,
    coalesce(loaded.rows_withdrawn, 0) as rows_withdrawn,
    loaded.finished_at,
    loaded.started_by,
    loaded.error,
    count(*) over () as loads
from ops.loads as loaded
where
    loaded.start_day <= @end
    and loaded.end_day >= @start
    and (cast(@load as int64) is null or loaded.load_id = cast(@load as int64))
order by loaded.load_id desc
limit @limit
