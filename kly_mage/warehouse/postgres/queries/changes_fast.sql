-- What each load has changed of the numbers of a day, of one article where one is asked for: as gold.changes says, but only out of the days on
-- which a load brought rows of that day. The page compares the sum with gold, and asks gold.changes itself where it differs.
with span as materialized (
    select
        load.source,
        min(load.started_at) - interval '1 day' as first_moment,
        max(load.finished_at) + interval '1 day' as last_moment
    from ops.load_days as load_day
    inner join ops.loads as load
        on load_day.load_id = load.load_id
    where load_day.day = :day and load_day.rows_new > 0
    group by load.source
),

ga4 as (
    select
        stored._load_id as load_id,
        stored.event_name
    from bronze.ga4_events as stored
    where
        stored._partition_date = :day
        and stored._updated_at >= (
            select span.first_moment from span
            where span.source = 'ga4_events'
        )
        and stored._updated_at <= (
            select span.last_moment from span
            where span.source = 'ga4_events'
        )
        and (:article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = :article)
),

gam as (
    select
        stored._load_id as load_id,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery as stored
    where
        stored._partition_date = :day
        and stored._updated_at >= (
            select span.first_moment from span
            where span.source = 'gam_delivery'
        )
        and stored._updated_at <= (
            select span.last_moment from span
            where span.source = 'gam_delivery'
        )
        and (:article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = :article)
)

select
    'ga4_events' as source,
    ga4.load_id,
    count(*) as count_rows,
    count(*) filter (where ga4.event_name = 'page_view') as pageviews,
    count(*) filter (where ga4.event_name = 'user_engagement') as user_engagements,
    null::bigint as impressions,
    null::bigint as clicks,
    null::numeric as revenue_usd
from ga4
group by ga4.load_id
union all
select
    'gam_delivery' as source,
    gam.load_id,
    count(*) as count_rows,
    null::bigint as pageviews,
    null::bigint as user_engagements,
    sum(gam.impressions)::bigint as impressions,
    sum(gam.clicks)::bigint as clicks,
    sum(gam.revenue_usd) as revenue_usd
from gam
group by gam.load_id
order by source, load_id
