-- Grain: one row per date and content_id.
-- Inputs: gold.ga4_daily_summary, gold.gam_daily_summary, gold.articles.
-- A re-run is safe: the days that were touched are built anew in one transaction; readers see them as they were or are.
declare v_upto timestamp;
declare v_articles timestamp;
declare v_known timestamp;
declare v_days array<date>;

begin transaction;
update ops.daily_summary_lock set holder = 'gold.daily_summary' where true;
-- No mart is refreshed and no article loaded beside this: each changes one of these rows first.
update ops.ga4_events_lock set holder = 'gold.daily_summary' where true;
update ops.gam_delivery_lock set holder = 'gold.daily_summary' where true;
update ops.cms_articles_lock set holder = 'gold.daily_summary' where true;
set v_upto = (select coalesce(max(touched_at), timestamp '1970-01-01 00:00:00+00') from ops.touched_days);
set v_days = array(select distinct day from ops.touched_days where touched_at <= v_upto);
set v_articles = (select coalesce(stamp, timestamp '1970-01-01 00:00:00+00') from ops.cms_articles_lock);
set v_known = (select coalesce(articles, timestamp '1970-01-01 00:00:00+00') from ops.daily_summary_lock);

-- An article that came or was edited shows on all its days: these are looked for only if articles were loaded since.
if v_articles > v_known then
set v_days = array(
    select distinct day from unnest(v_days) as day
    union distinct
    select distinct summary.date
    from gold.daily_summary_rows as summary
    inner join gold.articles as article on summary.content_id = article.content_id
    where
        summary.site is distinct from coalesce(nullif(article.site, ''), '(not set)')
        or summary.title is distinct from coalesce(nullif(article.title, ''), '(not set)')
        or summary.author is distinct from coalesce(nullif(article.author, ''), '(not set)')
        or summary.section is distinct from coalesce(nullif(article.section, ''), '(not set)')
        or summary.publish_timestamp is distinct from article.publish_timestamp
);
end if;

delete from gold.daily_summary_rows where date in unnest(v_days);

insert into gold.daily_summary_rows (
    date, content_id, site, title, author, section, publish_timestamp, pageviews, sessions, user_engagements,
    impressions, clicks, revenue_usd, page_rpm_usd, ecpm_usd, ctr
)
with ga4 as (
    select * from gold.ga4_daily_summary where event_date in unnest(v_days)
),

gam as (
    select * from gold.gam_daily_summary where served_date in unnest(v_days)
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
        coalesce(gam.revenue_usd, cast(0 as bignumeric)) as revenue_usd
    from ga4
    full join gam
        on ga4.event_date = gam.served_date and ga4.content_id = gam.content_id
)

select
    joined.date,
    joined.content_id,
    coalesce(nullif(article.site, ''), '(not set)') as site,
    coalesce(nullif(article.title, ''), '(not set)') as title,
    coalesce(nullif(article.author, ''), '(not set)') as author,
    coalesce(nullif(article.section, ''), '(not set)') as section,
    article.publish_timestamp,
    joined.pageviews,
    joined.sessions,
    joined.user_engagements,
    joined.impressions,
    joined.clicks,
    joined.revenue_usd,
    cast(round(joined.revenue_usd * 1000 / nullif(joined.pageviews, 0), 6) as numeric) as page_rpm_usd,
    cast(round(joined.revenue_usd * 1000 / nullif(joined.impressions, 0), 6) as numeric) as ecpm_usd,
    cast(round(cast(joined.clicks as bignumeric) / nullif(joined.impressions, 0), 6) as numeric) as ctr
from joined
left join gold.articles as article
    on joined.content_id = article.content_id;

delete from ops.touched_days where touched_at <= v_upto;
update ops.daily_summary_lock set articles = v_articles where true;
commit transaction;
