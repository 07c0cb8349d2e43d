-- What became of the rows that were read, of all sources, by the local day on which they were loaded: the last 31 such days.
-- Of loads of the same days on one of them the last one says where rows are that are not new: a second run meets each again.
with zone as (
    select setting.value as name
    from ops.settings as setting
    where setting.name = 'timezone'
),

loads as (
    select
        done.*,
        date(done.finished_at, zone.name) as day
    from ops.loads as done
    cross join zone
    where done.status = 'done'
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
        sum(ranked.rows_new) as rows_new,
        sum(if(ranked.is_last, ranked.rows_already_loaded + ranked.rows_unchanged, 0)) as rows_already_loaded,
        sum(if(ranked.is_last, ranked.rows_duplicate, 0)) as rows_duplicate,
        sum(if(ranked.is_last, ranked.rows_rejected, 0)) as rows_rejected,
        sum(if(ranked.is_last, ranked.rows_conflicting, 0)) as rows_conflicting,
        sum(if(ranked.is_last, ranked.rows_restated, 0)) as rows_restated,
        sum(if(ranked.is_last, ranked.rows_outside, 0)) as rows_outside,
        sum(if(ranked.is_last, ranked.rows_superseded, 0)) as rows_superseded,
        sum(if(ranked.is_last, ranked.rows_forgotten, 0)) as rows_forgotten
    from ranked
    group by ranked.day
    order by ranked.day desc
    limit 31
),

places as (
    select
        by_day.day,
        outcome,
        nth,
        case outcome
            when 'new' then by_day.rows_new
            when 'already loaded' then by_day.rows_already_loaded
            when 'duplicate' then by_day.rows_duplicate
            when 'rejected' then by_day.rows_rejected
            when 'conflicting' then by_day.rows_conflicting
            when 'restated' then by_day.rows_restated
            when 'outside' then by_day.rows_outside
            when 'superseded' then by_day.rows_superseded
            when 'forgotten' then by_day.rows_forgotten
        end as found
    from by_day
    cross join
        unnest([
            'new', 'already loaded', 'duplicate', 'rejected', 'conflicting', 'restated', 'outside', 'superseded',
            'forgotten'
        ]) as outcome with offset as nth
)

select
    cast(places.day as string) as day,
    places.outcome,
    places.found as `rows`
from places
where places.found > 0
order by places.day desc, places.nth asc
