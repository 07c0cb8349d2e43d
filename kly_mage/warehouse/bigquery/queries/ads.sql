-- What ads delivered on some days, by ad unit, line item, creative or site: the rows of these days, and what was corrected of them.
with delivered as (
    select
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
    where stored._partition_date between @start and @end
    union all
    select
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
    where changed._partition_date between @start and @end
),

sums as (
    select
        coalesce(nullif(delivered.name, ''), '(not set)') as name,
        sum(delivered.sign) as count_rows,
        sum(delivered.impressions) as impressions,
        sum(delivered.clicks) as clicks,
        sum(delivered.revenue_usd) as revenue_usd
    from delivered
    group by name
    having count_rows > 0
)

select
    sums.name,
    sums.count_rows,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.impressions, 0), 6) as ecpm_usd,
    round(cast(sums.clicks as bignumeric) / nullif(sums.impressions, 0), 6) as ctr
from sums
order by sums.revenue_usd desc, sums.name asc
