-- Grain: one row per date and content_id.
-- Inputs: gold.ga4_daily_summary, gold.gam_daily_summary, gold.articles.
-- A re-run is safe: the rows whose inputs have changed are computed anew and merged; while that lasts, readers see the old ones.

-- Each statement has to see what was committed while the lock was waited for, whatever the database defaults to.
set transaction isolation level read committed;
-- A session that has no bound for waiting gets one: where Mage runs this block over its own connection.
select set_config('lock_timeout', '15min', true) where current_setting('lock_timeout') = '0';

-- Makes daily_summary_keys: the days and articles of which an input has changed since the last refresh. And
-- daily_summary_articles: what gold.articles says of these; its rows come when all keys are known.
select ops.begin_daily_summary();

-- The definition: the rows of these keys. Edit it and run the block: all rows are computed anew if it differs.
create temp view daily_summary_definition as
with articles as (
    select
        content_id,
        nullif(site, '') as site,
        nullif(title, '') as title,
        nullif(author, '') as author,
        nullif(section, '') as section,
        publish_timestamp
    from daily_summary_articles
),

-- Both sides stay: revenue without pageviews and pageviews without revenue.
joined as (
    select
        daily_summary_keys.date,
        daily_summary_keys.content_id,
        coalesce(ga4.pageviews, 0) as pageviews,
        coalesce(ga4.sessions, 0) as sessions,
        coalesce(ga4.user_engagements, 0) as user_engagements,
        coalesce(gam.impressions, 0) as impressions,
        coalesce(gam.clicks, 0) as clicks,
        coalesce(gam.revenue_usd, 0) as revenue_usd
    from daily_summary_keys
    left join gold.ga4_daily_summary as ga4
        on daily_summary_keys.date = ga4.event_date and daily_summary_keys.content_id = ga4.content_id
    left join gold.gam_daily_summary as gam
        on daily_summary_keys.date = gam.served_date and daily_summary_keys.content_id = gam.content_id
    where ga4.content_id is not null or gam.content_id is not null
)

select
    joined.date,
    joined.content_id,
    coalesce(articles.site, '(not set)') as site,
    coalesce(articles.title, '(not set)') as title,
    coalesce(articles.author, '(not set)') as author,
    coalesce(articles.section, '(not set)') as section,
    articles.publish_timestamp,
    joined.pageviews,
    joined.sessions,
    joined.user_engagements,
    joined.impressions,
    joined.clicks,
    joined.revenue_usd,
    round(joined.revenue_usd * 1000 / nullif(joined.pageviews, 0), 6) as page_rpm_usd,
    round(joined.revenue_usd * 1000 / nullif(joined.impressions, 0), 6) as ecpm_usd,
    round(joined.clicks::numeric / nullif(joined.impressions, 0), 6) as ctr
from joined
left join articles
    on joined.content_id = articles.content_id;

-- Merges them into the rows of gold.daily_summary, which is a view over these and says of each day whether it is final.
select ops.finish_daily_summary();
