-- What an ad unit, a line item or a creative delivered by day, beside one article where one is asked for. Between the moments that `span` tells.
with counting as (
    select
        stored._partition_date,
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
        added._partition_date,
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
)

select
    counting._partition_date as day,
    sum(counting.impressions)::bigint as impressions,
    sum(counting.clicks)::bigint as clicks,
    sum(counting.revenue_usd) as revenue_usd
from counting
where
    :wanted = coalesce(
        nullif(
            case :by
                when 'ad_unit' then counting.ad_unit
                when 'line_item' then counting.line_item
                when 'creative' then counting.creative
                else counting.site
            end, ''
        ), '(not set)'
    )
    and (:article = '' or coalesce(nullif(counting.content_id, ''), '(not set)') = :article)
group by counting._partition_date
order by counting._partition_date desc
