-- What ads delivered beside an article on some days, by line item: whole months as they are added up, and the rows of the other days.
with whole as (
    select
        date_trunc('month', :start::date + interval '1 month' - interval '1 day')::date as first_day,
        date_trunc('month', :end::date + interval '1 day')::date as next_day
),

others as (
    select coalesce(array_agg(summary.date), '{}') as days
    from gold.daily_summary as summary
    cross join whole
    where
        summary.content_id = :article
        and summary.date between :start and :end
        and (summary.date < whole.first_day or summary.date >= whole.next_day)
),

delivered as (
    select
        monthly.line_item as name,
        monthly.count_rows,
        monthly.impressions,
        monthly.clicks,
        monthly.revenue_usd
    from gold.gam_monthly_ads as monthly
    cross join whole
    where monthly.content_id = :article and monthly.month >= whole.first_day and monthly.month < whole.next_day
    union all
    select
        coalesce(nullif(stored.line_item, ''), '(not set)') as name,
        1 as count_rows,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery_counted((select others.days from others)) as stored
    where coalesce(nullif(stored.content_id, ''), '(not set)') = :article
),

sums as (
    select
        delivered.name,
        sum(delivered.count_rows)::bigint as count_rows,
        sum(delivered.impressions)::bigint as impressions,
        sum(delivered.clicks)::bigint as clicks,
        sum(delivered.revenue_usd) as revenue_usd
    from delivered
    group by delivered.name
    having sum(delivered.count_rows) > 0
)

select
    sums.name,
    sums.count_rows,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.impressions, 0), 6) as ecpm_usd
from sums
order by sums.revenue_usd desc, sums.name asc
