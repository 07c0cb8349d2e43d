-- What an ad unit, a line item, a creative or a site delivered by day; beside one article, where one is asked for.
with delivered as (
    select
        stored._partition_date as day,
        case @by
            when 'ad_unit' then stored.ad_unit
            when 'line_item' then stored.line_item
            when 'creative' then stored.creative
            else stored.site
        end as name,
        1 as sign,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery as stored
    where
        stored._partition_date between @start and @end
        and (@article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = @article)
    union all
    select
        changed._partition_date as day,
        case @by
            when 'ad_unit' then changed.ad_unit
            when 'line_item' then changed.line_item
            when 'creative' then changed.creative
            else changed.site
        end as name,
        changed.sign,
        changed.sign * changed.impressions as impressions,
        changed.sign * changed.clicks as clicks,
        changed.sign * changed.revenue_usd as revenue_usd
    from bronze.gam_delivery_corrections as changed
    where
        changed._partition_date between @start and @end
        and (@article = '' or coalesce(nullif(changed.content_id, ''), '(not set)') = @article)
),

sums as (
    select
        delivered.day,
        sum(delivered.sign) as count_rows,
        sum(delivered.impressions) as impressions,
        sum(delivered.clicks) as clicks,
        sum(delivered.revenue_usd) as revenue_usd
    from delivered
    where coalesce(nullif(delivered.name, ''), '(not set)') = @wanted
    group by delivered.day
)

select
    sums.day,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd
from sums
where sums.count_rows > 0
order by sums.day desc
