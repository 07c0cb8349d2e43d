-- What an ad unit, a line item, a creative or a site delivered by day; beside one article, where one is asked for, by the rows of its days.
with others as (
    select coalesce(array_agg(summary.date), '{}') as days
    from gold.daily_summary as summary
    where :article <> '' and summary.content_id = :article and summary.date between :start and :end
),

delivered as (
    select
        daily.served_date as day,
        daily.impressions,
        daily.clicks,
        daily.revenue_usd
    from gold.gam_daily_ads as daily
    where
        :article = ''
        and daily.by = :by
        and daily.name = :wanted
        and daily.served_date between :start and :end
        and daily.count_rows > 0
    union all
    select
        stored._partition_date as day,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery_counted((select others.days from others)) as stored
    where
        coalesce(nullif(stored.content_id, ''), '(not set)') = :article
        and :wanted = coalesce(
            nullif(
                case :by
                    when 'ad_unit' then stored.ad_unit
                    when 'line_item' then stored.line_item
                    when 'creative' then stored.creative
                    else stored.site
                end, ''
            ), '(not set)'
        )
)

select
    delivered.day,
    sum(delivered.impressions)::bigint as impressions,
    sum(delivered.clicks)::bigint as clicks,
    sum(delivered.revenue_usd) as revenue_usd
from delivered
group by delivered.day
order by delivered.day desc
