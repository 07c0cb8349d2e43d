-- What became of the rows that were read, of all sources, by the local day on which they were loaded: the last 31 such days.
-- Of loads of the same days on one of them the last one says where rows are that are not new: a second run meets each again.
with zone as (
    select setting.value as name
    from ops.settings as setting
    where setting.name = 'timezone'
),

loads as (
    select
        load.*,
        (load.finished_at at time zone zone.name)::date as day
    from ops.loads as load
    cross join zone
    where load.status = 'done'
),

ranked as (
    select
        loads.*,
        row_number() over (
            partition by loads.day, loads.source, loads.start_day, loads.end_day
            order by loads.load_id desc
        ) = 1 as is_last
    from loads
),

by_day as (
    select
        ranked.day,
        sum(ranked.rows_new) as new,
        sum(ranked.rows_already_loaded + ranked.rows_unchanged) filter (where ranked.is_last) as already_loaded,
        sum(ranked.rows_duplicate) filter (where ranked.is_last) as duplicate,
        sum(ranked.rows_rejected) filter (where ranked.is_last) as rejected,
        sum(ranked.rows_conflicting) filter (where ranked.is_last) as conflicting,
        sum(ranked.rows_restated) filter (where ranked.is_last) as restated,
        sum(ranked.rows_outside) filter (where ranked.is_last) as outside,
        sum(ranked.rows_superseded) filter (where ranked.is_last) as superseded,
        sum(ranked.rows_forgotten) filter (where ranked.is_last) as forgotten
    from ranked
    group by ranked.day
    order by ranked.day desc
    limit 31
)

select
    to_char(by_day.day, 'YYYY-MM-DD') as day,
    place.outcome,
    place.rows
from by_day
cross join
    lateral (
        values
        (1, 'new', by_day.new),
        (2, 'already loaded', by_day.already_loaded),
        (3, 'duplicate', by_day.duplicate),
        (4, 'rejected', by_day.rejected),
        (5, 'conflicting', by_day.conflicting),
        (6, 'restated', by_day.restated),
        (7, 'outside', by_day.outside),
        (8, 'superseded', by_day.superseded),
        (9, 'forgotten', by_day.forgotten)
    ) as place (n, outcome, rows)
where place.rows > 0
order by by_day.day desc, place.n asc
