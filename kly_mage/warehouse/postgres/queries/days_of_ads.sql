-- What an ad unit, a line item or a creative delivered by day, between the moments that `span` tells of these days.
select
    stored._partition_date as day,
    sum(stored.impressions)::bigint as impressions,
    sum(stored.clicks)::bigint as clicks,
    sum(stored.revenue_usd) as revenue_usd
from bronze.gam_delivery as stored
left join bronze.gam_delivery_gone as gone
    on stored._hashrow = gone._hashrow and gone._partition_date between :start and :end
where
    stored._partition_date between :start and :end
    and gone._hashrow is null
    and stored._updated_at >= :first
    and stored._updated_at <= :last
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
group by stored._partition_date
order by stored._partition_date desc
