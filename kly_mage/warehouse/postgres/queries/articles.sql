-- The articles of some days, best first: what was read and earned, of whole months as it is added up, and of the other days. Each row says what its
-- article is called now, so it is searched as it is; names are looked up for those alone that are shown.
with whole as not materialized (
    select
        date_trunc('month', :start::date + interval '1 month' - interval '1 day')::date as first_day,
        date_trunc('month', :end::date + interval '1 day')::date as next_day
),

counted as (
    select
        monthly.content_id,
        monthly.site,
        monthly.title,
        monthly.author,
        monthly.section,
        monthly.pageviews,
        monthly.sessions,
        monthly.impressions,
        monthly.clicks,
        monthly.revenue_usd
    from gold.monthly_summary as monthly
    cross join whole
    where monthly.month >= whole.first_day and monthly.month < whole.next_day
    union all
    select
        summary.content_id,
        summary.site,
        summary.title,
        summary.author,
        summary.section,
        summary.pageviews,
        summary.sessions,
        summary.impressions,
        summary.clicks,
        summary.revenue_usd
    from gold.daily_summary as summary
    cross join whole
    where
        summary.date between :start and least(:end, whole.first_day - 1)
        or summary.date between greatest(whole.first_day, whole.next_day) and :end
    offset 0 -- in one process: several would each add up nearly all articles, and sort them by their ids
),

sums as materialized (
    select
        counted.content_id,
        sum(counted.pageviews)::bigint as pageviews,
        sum(counted.sessions)::bigint as sessions,
        sum(counted.impressions)::bigint as impressions,
        sum(counted.clicks)::bigint as clicks,
        sum(counted.revenue_usd) as revenue_usd
    from counted
    where
        (:site = '' or counted.site = :site)
        and (:section = '' or counted.section = :section)
        and (:author = '' or counted.author = :author)
        and (
            :search = ''
            or counted.content_id = :search
            or position(lower(:search) in lower(counted.title)) > 0
        )
    group by counted.content_id
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
cross join
    lateral (
        select
            summary.title,
            summary.site,
            summary.section,
            summary.author
        from gold.daily_summary as summary
        where summary.content_id = best.content_id
        order by summary.date desc
        limit 1
    ) as named
order by best.rank desc nulls last, best.content_id asc
