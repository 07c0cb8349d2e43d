-- What ads delivered on some days, by ad unit, line item, creative or site; of one article where one is asked for. Between the moments that `span`
-- tells of these days.
with counting as (
    select
        stored.ad_unit,
        stored.line_item,
        stored.creative,
        stored.site,
        stored.content_id,
        stored.impressions,
        stored.clicks,
        stored.revenue_usd
    from bronze.gam_delivery as stored
    left join bronze.gam_delivery_gone as gone
        on stored._hashrow = gone._hashrow and gone._partition_date between :start and :end
    where
        stored._partition_date between :start and :end
        and gone._hashrow is null
        and stored._updated_at >= :first
        and stored._updated_at <= :last
    union all
    select
        added.ad_unit,
        added.line_item,
        added.creative,
        added.site,
        added.content_id,
        added.impressions,
        added.clicks,
        added.revenue_usd
    from bronze.gam_delivery_added as added
    where added._partition_date between :start and :end
),

sums as (
    select
        case :by
            when 'ad_unit' then counting.ad_unit
            when 'line_item' then counting.line_item
            when 'creative' then counting.creative
            else counting.site
        end as name,
        count(*) as count_rows,
        sum(counting.impressions)::bigint as impressions,
        sum(counting.clicks)::bigint as clicks,
        sum(counting.revenue_usd) as revenue_usd
    from counting
    where :article = '' or coalesce(nullif(counting.content_id, ''), '(not set)') = :article
    group by name
)

select
    coalesce(nullif(sums.name, ''), '(not set)') as name,
    sums.count_rows,
    sums.impressions,
    sums.clicks,
    sums.revenue_usd,
    round(sums.revenue_usd * 1000 / nullif(sums.impressions, 0), 6) as ecpm_usd,
    round(sums.clicks::numeric / nullif(sums.impressions, 0), 6) as ctr
from sums
order by sums.revenue_usd desc, sums.name asc
