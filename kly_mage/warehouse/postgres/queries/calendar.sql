-- How each day of each source stands in the ledger: what its loads brought and left.
with days as (
    select generate_series(:start::date, :end::date, interval '1 day')::date as day
),

by_day as (
    select
        load.source,
        load_day.day,
        sum(load_day.rows_new)::bigint as rows_new,
        max(load_day.load_id) as load_id,
        (array_agg(load_day.rows_rejected order by load_day.load_id desc))[1] as rejected,
        (array_agg(load_day.rows_conflicting order by load_day.load_id desc))[1] as conflicting
    from ops.load_days as load_day
    inner join ops.loads as load
        on load_day.load_id = load.load_id
    where load_day.day between :start and :end and load.status = 'done'
    group by load.source, load_day.day
),

asked as (
    select distinct
        load.source,
        load.start_day,
        load.end_day
    from ops.loads as load
    where load.status = 'done' and load.start_day <= :end and load.end_day >= :start
),

sources as (
    select distinct load.source
    from ops.loads as load
)

select
    sources.source,
    days.day,
    case
        when by_day.rejected > 0 or by_day.conflicting > 0 then 'loaded, with a remark'
        when by_day.load_id is not null then 'loaded'
        when exists (
            select 1
            from asked
            where asked.source = sources.source and days.day between asked.start_day and asked.end_day
        ) then 'no rows'
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
order by sources.source, days.day
