-- The loads of some days, or one of them, or those that brought rows of one day; newest first.
select
    load.load_id,
    load.source,
    load.status,
    load.start_day,
    load.end_day,
    load.rows_read,
    load.rows_new,
    load.rows_already_loaded + load.rows_unchanged as rows_already_loaded,
    load.rows_duplicate,
    load.rows_conflicting,
    load.rows_restated,
    load.rows_rejected,
    load.rows_outside,
    load.rows_superseded,
    load.rows_forgotten,
    load.rows_replaced,
    load.rows_withdrawn,
    load.finished_at,
    load.started_by,
    load.error,
    count(*) over () as loads
from ops.loads as load
where
    load.start_day <= :end
    and load.end_day >= :start
    and (:load::bigint is null or load.load_id = :load::bigint)
order by load.load_id desc
limit :limit
