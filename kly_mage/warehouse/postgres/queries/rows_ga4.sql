-- Stored events of a day, of one article where one is asked for.
with span as materialized (
    select
        min(load.started_at) - interval '1 day' as first_moment,
        max(load.finished_at) + interval '1 day' as last_moment
    from ops.load_days as load_day
    inner join ops.loads as load
        on load_day.load_id = load.load_id
    where load.source = 'ga4_events' and load_day.day = :day and load_day.rows_new > 0
)

select
    stored.event_timestamp,
    stored.event_name,
    stored.session_id,
    stored.content_id,
    stored.page_location,
    stored.device_category,
    stored.country,
    stored.traffic_source,
    stored._load_id as load_id,
    stored._hashrow::text as hashrow
from bronze.ga4_events as stored
where
    stored._partition_date = :day
    and stored._updated_at >= (select span.first_moment from span)
    and stored._updated_at <= (select span.last_moment from span)
    and (:article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = :article)
order by stored.event_timestamp, stored._hashrow
limit :limit
