-- Grain: one row per date and content_id.
-- Inputs: gold.ga4_daily_summary, gold.gam_daily_summary, gold.articles.
-- A re-run is safe: the view is computed anew from its inputs; while that lasts, readers see the old one.

-- Each statement has to see what was committed while the lock was waited for, whatever the database defaults to.
set transaction isolation level read committed;
-- A session that has no bound for waiting gets one: where Mage runs this block over its own connection.
select set_config('lock_timeout', '15min', true) where current_setting('lock_timeout') = '0';
-- Instants are spelled below: in one zone and one style, whatever the session's own are.
set local timezone to 'UTC';
set local datestyle to 'ISO';
select pg_advisory_xact_lock(hashtext('gold.daily_summary'));  -- one refresh at a time; readers go on

-- The definition. Edit it and run the block: the view is built again if it differs.
create temp view daily_summary_definition as
with articles as (
    select
        content_id,
        nullif(site, '') as site,
        nullif(title, '') as title,
        nullif(author, '') as author,
        nullif(section, '') as section,
        publish_timestamp
    from gold.articles
),

-- Both sides stay: revenue without pageviews and pageviews without revenue.
joined as (
    select
        coalesce(ga4.event_date, gam.served_date) as date,
        coalesce(ga4.content_id, gam.content_id) as content_id,
        coalesce(ga4.pageviews, 0) as pageviews,
        coalesce(ga4.sessions, 0) as sessions,
        coalesce(ga4.user_engagements, 0) as user_engagements,
        coalesce(gam.impressions, 0) as impressions,
        coalesce(gam.clicks, 0) as clicks,
        coalesce(gam.revenue_usd, 0) as revenue_usd
    from gold.ga4_daily_summary as ga4
    full join gold.gam_daily_summary as gam
        on ga4.event_date = gam.served_date and ga4.content_id = gam.content_id
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

do $$
declare
    definition text := pg_get_viewdef('daily_summary_definition'::regclass);
    -- How far its inputs have got; where that is the same as last time, nothing has changed.
    inputs text := (
        select string_agg(mart || ' ' || watermark, ', ' order by mart) from ops.watermarks
        where mart <> 'gold.daily_summary'
    );
    built_from text := (select watermarks.built_from from ops.watermarks where mart = 'gold.daily_summary');
begin
    if definition is distinct from pg_get_viewdef(to_regclass('gold.daily_summary')) then
        perform ops.set_aside(array['gold.daily_summary']);  -- grants, and what others have built on it
        execute 'create materialized view gold.daily_summary as ' || definition;
        create unique index daily_summary_key on gold.daily_summary (date, content_id);
        perform ops.describe_daily_summary();
        perform ops.put_back();
    elsif inputs is distinct from built_from then
        refresh materialized view concurrently gold.daily_summary;
    end if;
    insert into ops.watermarks as mart (mart, refreshed_at, built_from)
    values ('gold.daily_summary', clock_timestamp(), inputs)
    on conflict (mart) do update
    set refreshed_at = excluded.refreshed_at, built_from = excluded.built_from
    where mart.built_from is distinct from excluded.built_from;
end $$;

drop view daily_summary_definition;
