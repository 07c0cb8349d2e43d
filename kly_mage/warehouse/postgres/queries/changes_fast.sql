-- What each load has changed of the numbers of a day, of one article where one is asked for: as gold.changes says, but only between the
-- moments that `span` tells of it. The page compares the sum with gold, and asks gold.changes itself where it differs.
with ga4 as (
    select
        stored._load_id as load_id,
        stored.event_name
    from bronze.ga4_events as stored
    where
        stored._partition_date = :day
        and stored._updated_at >= :eventsfrom
        and stored._updated_at <= :eventsto
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
        and stored._updated_at >= :adsfrom
        and stored._updated_at <= :adsto
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
