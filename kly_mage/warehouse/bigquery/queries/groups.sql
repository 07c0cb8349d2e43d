-- Sites, sections or authors over some days, by what they earned.
with sums as (
    select
        case @by
            when 'site' then summary.site
            when 'section' then summary.section
            else summary.author
        end as name,
        sum(summary.pageviews) as pageviews,
        sum(summary.sessions) as sessions,
        sum(summary.impressions) as impressions,
        sum(summary.clicks) as clicks,
        sum(summary.revenue_usd) as revenue_usd
    from gold.daily_summary as summary
    where summary.date between @start and @end
    group by name
)

select
    sums.name,
    sums.pageviews,
    sums.sessions,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.pageviews, 0), 6) as page_rpm_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.impressions, 0), 6) as ecpm_usd
from sums
order by sums.revenue_usd desc, sums.name asc
