-- What ads delivered on some days, by ad unit, line item, creative or site; of one article where one is asked for. Rows of bronze lie by the day they
-- came in: only the days are looked at on which a load brought rows of these days, with a day to spare for clocks that were set.
with span as materialized (
    select
        min(load.started_at) - interval '1 day' as first_moment,
        max(load.finished_at) + interval '1 day' as last_moment
    from ops.load_days as load_day
    inner join ops.loads as load
        on load_day.load_id = load.load_id
    where load.source = 'gam_delivery' and load_day.day between :start and :end and load_day.rows_new > 0
),

sums as (
    select
        case :by
            when 'ad_unit' then stored.ad_unit
            when 'line_item' then stored.line_item
            when 'creative' then stored.creative
            else stored.site
        end as name,
        count(*) as count_rows,
        sum(stored.impressions)::bigint as impressions,
        sum(stored.clicks)::bigint as clicks,
        sum(stored.revenue_usd) as revenue_usd
    from bronze.gam_delivery as stored
    left join bronze.gam_delivery_gone as gone
        on stored._hashrow = gone._hashrow and gone._partition_date between :start and :end
    where
        stored._partition_date between :start and :end
        and gone._hashrow is null
        and stored._updated_at >= (select span.first_moment from span)
        and stored._updated_at <= (select span.last_moment from span)
        and (:article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = :article)
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
