-- Stored ad rows of a day, of one article where one is asked for.
with span as materialized (
    select
        min(load.started_at) - interval '1 day' as first_moment,
        max(load.finished_at) + interval '1 day' as last_moment
    from ops.load_days as load_day
    inner join ops.loads as load
        on load_day.load_id = load.load_id
    where load.source = 'gam_delivery' and load_day.day = :day and load_day.rows_new > 0
)

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
left join bronze.gam_delivery_hashrow as delivery
    on stored._hashrow = delivery._hashrow
where
    stored._partition_date = :day
    and stored._updated_at >= (select span.first_moment from span)
    and stored._updated_at <= (select span.last_moment from span)
    and (:article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = :article)
order by stored.revenue_usd desc, stored._hashrow asc
limit :limit
