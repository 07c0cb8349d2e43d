create or replace view gold.changes as
with changes as (
    select 'ga4_events' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as changed_at,
        false as is_restated, measure.change
    from bronze."ga4_events" as stored
    cross join lateral (values ('pageviews', ((("event_name" = 'page_view')::int))::numeric), ('user_engagements', ((("event_name" = 'user_engagement')::int))::numeric)) as measure (name, change)
    union all
    select 'ga4_events' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as changed_at,
        true as is_restated, measure.change
    from (select stored."event_timestamp", stored."event_name", stored."user_pseudo_id", stored."session_id", stored."content_id", stored."site", stored."page_location", stored."device_category", stored."country", stored."traffic_source", changed._partition_date, changed.sign, changed.why, changed._updated_at, changed._load_id from bronze."ga4_events_corrections" as changed inner join bronze."ga4_events" as stored on changed._hashrow = stored._hashrow) as stored
    cross join lateral (values ('pageviews', ((("event_name" = 'page_view')::int) * stored.sign)::numeric), ('user_engagements', ((("event_name" = 'user_engagement')::int) * stored.sign)::numeric)) as measure (name, change)
    union all
    select 'gam_delivery' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as changed_at,
        false as is_restated, measure.change
    from bronze."gam_delivery" as stored
    cross join lateral (values ('impressions', (("impressions"))::numeric), ('clicks', (("clicks"))::numeric), ('revenue_usd', (("revenue_usd"))::numeric)) as measure (name, change)
    union all
    select 'gam_delivery' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as changed_at,
        true as is_restated, measure.change
    from (select "served_at", "site", "ad_unit", "line_item", "creative", "content_id", "impressions", "clicks", "revenue_usd", _partition_date, sign, why, _updated_at, _load_id from bronze."gam_delivery_corrections") as stored
    cross join lateral (values ('impressions', (("impressions") * stored.sign)::numeric), ('clicks', (("clicks") * stored.sign)::numeric), ('revenue_usd', (("revenue_usd") * stored.sign)::numeric)) as measure (name, change)
)
select source, day, content_id, measure, load_id, max(changed_at) as changed_at,
    bool_or(is_restated and change <> 0) as is_restated, trim_scale(coalesce(sum(change), 0)) as change
from changes
group by source, day, content_id, measure, load_id;
create or replace view gold.restatements as
with steps as (
    select *, sum(change) over (partition by source, day, content_id, measure order by load_id) as after
    from gold.changes
)
select source, day, content_id, measure, load_id, changed_at as restated_at,
    trim_scale(after - change) as before, trim_scale(after) as after
from steps
where is_restated and change <> 0;
create or replace function gold.as_of(moment timestamptz)
returns table (source text, day date, content_id text, measure text, amount numeric) language sql stable as $function$
    select source, day, content_id, measure, trim_scale(sum(change))
    from gold.changes
    where changed_at <= moment
    group by source, day, content_id, measure
$function$;
comment on view gold.changes is 'One row per day, content, measure and load: by how much the load changed it.';
comment on column gold.changes.source is 'The source.';
comment on column gold.changes.day is 'Local day of the rows.';
comment on column gold.changes.content_id is 'The article; (not set) for rows without one.';
comment on column gold.changes.measure is 'The number of the mart; of those that add up over rows.';
comment on column gold.changes.load_id is 'The load that changed it, see ops.loads.';
comment on column gold.changes.changed_at is 'When that was: the ingestion time of its rows.';
comment on column gold.changes.is_restated is 'Whether it changed what had been counted before, beside what it may have added.';
comment on column gold.changes.change is 'By how much.';
comment on view gold.restatements is 'One row per day, content, measure and load that corrected what had been counted: from what to what.';
comment on column gold.restatements.source is 'The source.';
comment on column gold.restatements.day is 'Local day of the rows.';
comment on column gold.restatements.content_id is 'The article; (not set) for rows without one.';
comment on column gold.restatements.measure is 'The number of the mart; of those that add up over rows.';
comment on column gold.restatements.load_id is 'The load that changed it, see ops.loads.';
comment on column gold.restatements.restated_at is 'When that was: the ingestion time of its rows.';
comment on column gold.restatements.before is 'What counted until then.';
comment on column gold.restatements.after is 'What counted from then on.';
comment on function gold.as_of is 'What counted at a moment, by day, content and measure.';
