-- Stored ad rows of a day, of one article, ad unit, line item, creative or site where one is asked for, between the moments that `span` tells.
select
    stored.served_at,
    stored.ad_unit,
    stored.line_item,
    stored.creative,
    stored.content_id,
    stored.impressions,
    stored.clicks,
    stored.revenue_usd,
    stored._load_id as load_id,
    delivery._file as file,
    delivery._line as line
from bronze.gam_delivery as stored
-- A local day lies in three days of UTC at most.
left join bronze.gam_delivery_hashrow as delivery
    on
        stored._hashrow = delivery._hashrow
        and delivery._utc_day between date_sub(@day, interval 1 day) and date_add(@day, interval 1 day)
where
    stored._partition_date = @day
    and stored._updated_at between cast(@first as timestamp) and cast(@last as timestamp)
    and (@article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = @article)
    and (
        @by = ''
        or @wanted = coalesce(
            nullif(
                case @by
                    when 'ad_unit' then stored.ad_unit
                    when 'line_item' then stored.line_item
                    when 'creative' then stored.creative
                    else stored.site
                end, ''
            ), '(not set)'
        )
    )
order by stored.revenue_usd desc, stored._hashrow asc
limit @limit
