-- What each load has changed of the numbers of a day, of one article where one is asked for: as gold.changes says, but only between the
-- moments that `span` tells of it. The page compares the sum with gold, and asks gold.changes itself where it differs.
select
    'ga4_events' as source,
    stored._load_id as load_id,
    count(*) as count_rows,
    countif(stored.event_name = 'page_view') as pageviews,
    countif(stored.event_name = 'user_engagement') as user_engagements,
    cast(null as int64) as impressions,
    cast(null as int64) as clicks,
    cast(null as bignumeric) as revenue_usd
from bronze.ga4_events as stored
where
    stored._partition_date = @day
    and stored._updated_at between cast(@eventsfrom as timestamp) and cast(@eventsto as timestamp)
    and (@article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = @article)
group by stored._load_id
union all
select
    'gam_delivery' as source,
    stored._load_id as load_id,
    count(*) as count_rows,
    cast(null as int64) as pageviews,
    cast(null as int64) as user_engagements,
    sum(stored.impressions) as impressions,
    sum(stored.clicks) as clicks,
    sum(stored.revenue_usd) as revenue_usd
from bronze.gam_delivery as stored
where
    stored._partition_date = @day
    and stored._updated_at between cast(@adsfrom as timestamp) and cast(@adsto as timestamp)
    and (@article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = @article)
group by stored._load_id
order by source, load_id
