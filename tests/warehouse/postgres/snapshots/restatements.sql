create or replace view gold.changes as
with changes as (
    select 'ga4_events' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as changed_at,
        false as is_restated, measure.change
    from bronze."ga4_events" as stored
    cross join lateral (values ('pageviews', ((("event_name" = 'page_view')::int))::numeric), ('user_engagements', ((("event_name" = 'user_engagement')::int))::numeric)) as measure (name, change)
    union all
    select 'ga4_events' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, corrected._load_id as load_id, corrected._updated_at as changed_at,
        true as is_restated, measure.change
    from bronze."ga4_events_corrections" as corrected
        inner join bronze."ga4_events" as stored on corrected._hashrow = stored._hashrow
    cross join lateral (values ('pageviews', ((("event_name" = 'page_view')::int) * corrected.sign)::numeric), ('user_engagements', ((("event_name" = 'user_engagement')::int) * corrected.sign)::numeric)) as measure (name, change)
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
    from bronze."gam_delivery_restatements" as stored
    cross join lateral (values ('impressions', ((stored."impressions" - stored."counted_impressions"))::numeric), ('clicks', ((stored."clicks" - stored."counted_clicks"))::numeric), ('revenue_usd', ((stored."revenue_usd" - stored."counted_revenue_usd"))::numeric)) as measure (name, change)
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
