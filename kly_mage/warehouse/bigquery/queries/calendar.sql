-- How each day of each source stands in the ledger: what its loads brought and left.
with days as (
    select day from unnest(generate_date_array(@start, @end)) as day
),

by_day as (
    select
        load_day.source,
        load_day.day,
        sum(load_day.rows_new) as rows_new,
        max(load_day.load_id) as load_id,
        array_agg(load_day.rows_rejected order by load_day.load_id desc limit 1)[offset(0)] as rejected,
        array_agg(load_day.rows_conflicting order by load_day.load_id desc limit 1)[offset(0)] as conflicting
    from ops.load_days as load_day
    inner join ops.loads as loaded
        on load_day.source = loaded.source and load_day.load_id = loaded.load_id
    where load_day.day between @start and @end and loaded.status = 'done'
    group by load_day.source, load_day.day
),

asked as (
    select distinct
        loaded.source,
        day
    from ops.loads as loaded
    cross join unnest(generate_date_array(greatest(loaded.start_day, @start), least(loaded.end_day, @end))) as day
    where loaded.status = 'done'
),

sources as (
    select distinct loaded.source
    from ops.loads as loaded
)

select
    sources.source,
    days.day,
    case
        when by_day.rejected > 0 or by_day.conflicting > 0 then 'loaded, with a remark'
        when by_day.load_id is not null then 'loaded'
        when asked.day is not null then 'no rows'
        else 'not loaded'
    end as state,
    coalesce(by_day.rows_new, 0) as rows_new,
    coalesce(by_day.rejected, 0) as rejected,
    coalesce(by_day.conflicting, 0) as conflicting,
    by_day.load_id
from sources
cross join days
left join by_day
    on sources.source = by_day.source and days.day = by_day.day
left join asked
    on sources.source = asked.source and days.day = asked.day
order by sources.source, days.day
