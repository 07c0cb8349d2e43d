-- Sites, sections or authors over some days, by what they earned: of whole months as it is added up, and of the other days.
with whole as not materialized (
    select
        date_trunc('month', :start::date + interval '1 month' - interval '1 day')::date as first_day,
        date_trunc('month', :end::date + interval '1 day')::date as next_day
),

counted as (
    select
        case :by
            when 'site' then monthly.site
            when 'section' then monthly.section
            else monthly.author
        end as name,
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
        case :by
            when 'site' then summary.site
            when 'section' then summary.section
            else summary.author
        end as name,
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
),

sums as (
    select
        counted.name,
        sum(counted.pageviews)::bigint as pageviews,
        sum(counted.sessions)::bigint as sessions,
        sum(counted.impressions)::bigint as impressions,
        sum(counted.clicks)::bigint as clicks,
        sum(counted.revenue_usd) as revenue_usd
    from counted
    group by counted.name
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
