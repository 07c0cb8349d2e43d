-- The articles of some days, best first: what was read and earned. A summary's row says what its article is called now, so it is searched as it is;
-- names are looked up for those alone that are shown.
with sums as materialized (
    select
        summary.content_id,
        max(summary.date) as last_day,
        sum(summary.pageviews)::bigint as pageviews,
        sum(summary.sessions)::bigint as sessions,
        sum(summary.impressions)::bigint as impressions,
        sum(summary.clicks)::bigint as clicks,
        sum(summary.revenue_usd) as revenue_usd
    from gold.daily_summary as summary
    where
        summary.date between :start and :end
        and (:site = '' or summary.site = :site)
        and (:section = '' or summary.section = :section)
        and (:author = '' or summary.author = :author)
        and (
            :search = ''
            or summary.content_id = :search
            or position(lower(:search) in lower(summary.title)) > 0
        )
    group by summary.content_id
),

totals as (
    select
        count(*) as articles,
        sum(sums.pageviews)::bigint as all_pageviews,
        sum(sums.revenue_usd) as all_revenue_usd
    from sums
),

ratios as (
    select
        sums.*,
        case :sort
            when 'revenue_usd' then sums.revenue_usd
            when 'page_rpm_usd' then sums.revenue_usd * 1000 / nullif(sums.pageviews, 0)
            when 'sessions' then sums.sessions
            when 'impressions' then sums.impressions
            else sums.pageviews
        end as rank
    from sums
),

best as (
    select ratios.*
    from ratios
    order by ratios.rank desc nulls last, ratios.content_id asc
    limit :limit
)

select
    best.content_id,
    named.title,
    named.site,
    named.section,
    named.author,
    best.pageviews,
    best.sessions,
    best.impressions,
    best.clicks,
    best.revenue_usd,
    round(best.revenue_usd * 1000 / nullif(best.pageviews, 0), 6) as page_rpm_usd,
    totals.articles,
    totals.all_pageviews,
    totals.all_revenue_usd
from best
cross join totals
inner join gold.daily_summary as named
    on best.content_id = named.content_id and best.last_day = named.date
order by best.rank desc nulls last, best.content_id asc
