-- The articles of some days, best first: what was read and earned. A summary's row says what its article is called now, so it is searched as it is.
with sums as (
    select
        summary.content_id,
        array_agg(
            struct(
                summary.title as title,
                summary.site as site,
                summary.section as section,
                summary.author as author
            ) order by summary.date desc limit 1
        )[offset(0)] as named,
        sum(summary.pageviews) as pageviews,
        sum(summary.sessions) as sessions,
        sum(summary.impressions) as impressions,
        sum(summary.clicks) as clicks,
        sum(summary.revenue_usd) as revenue_usd
    from gold.daily_summary as summary
    where
        summary.date between @start and @end
        and (@site = '' or summary.site = @site)
        and (@section = '' or summary.section = @section)
        and (@author = '' or summary.author = @author)
        and (
            @search = ''
            or summary.content_id = @search
            or strpos(lower(summary.title), lower(@search)) > 0
        )
    group by summary.content_id
),

ratios as (
    select
        sums.content_id,
        sums.named,
        sums.pageviews,
        sums.sessions,
        sums.impressions,
        sums.clicks,
        sums.revenue_usd,
        count(*) over () as articles,
        sum(sums.pageviews) over () as all_pageviews,
        sum(sums.revenue_usd) over () as all_revenue_usd,
        case @sort
            when 'revenue_usd' then sums.revenue_usd
            when 'page_rpm_usd' then sums.revenue_usd * 1000 / nullif(sums.pageviews, 0)
            when 'sessions' then cast(sums.sessions as bignumeric)
            when 'impressions' then cast(sums.impressions as bignumeric)
            else cast(sums.pageviews as bignumeric)
        end as of_order
    from sums
)

select
    ratios.content_id,
    ratios.named.title,
    ratios.named.site,
    ratios.named.section,
    ratios.named.author,
    ratios.pageviews,
    ratios.sessions,
    ratios.impressions,
    ratios.clicks,
    ratios.revenue_usd,
    round(ratios.revenue_usd * 1000 / nullif(ratios.pageviews, 0), 6) as page_rpm_usd,
    ratios.articles,
    ratios.all_pageviews,
    ratios.all_revenue_usd
from ratios
order by ratios.of_order desc nulls last, ratios.content_id asc
limit @limit
