-- Stored events of a day, of one article where one is asked for, between the moments that `span` tells of it.
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
    stored._hashrow as hashrow
from bronze.ga4_events as stored
where
    stored._partition_date = @day
    and stored._updated_at between cast(@first as timestamp) and cast(@last as timestamp)
    and (@article = '' or coalesce(nullif(stored.content_id, ''), '(not set)') = @article)
order by stored.event_timestamp, stored._hashrow
limit @limit
