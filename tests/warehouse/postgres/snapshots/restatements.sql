create or replace view gold.restatements as
with changes as (
    select 'ga4_events' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as restated_at,
        false as is_restated, measure.change
    from bronze."ga4_events" as stored
    cross join lateral (values ('pageviews', ((("event_name" = 'page_view')::int))::numeric), ('user_engagements', ((("event_name" = 'user_engagement')::int))::numeric)) as measure (name, change)
    union all
    select 'ga4_events' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, corrected._load_id as load_id, corrected._updated_at as restated_at,
        true as is_restated, measure.change
    from bronze."ga4_events_corrections" as corrected
        inner join bronze."ga4_events" as stored on corrected._hashrow = stored._hashrow
    cross join lateral (values ('pageviews', ((("event_name" = 'page_view')::int) * corrected.sign)::numeric), ('user_engagements', ((("event_name" = 'user_engagement')::int) * corrected.sign)::numeric)) as measure (name, change)
    union all
    select 'gam_delivery' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as restated_at,
        false as is_restated, measure.change
    from bronze."gam_delivery" as stored
    cross join lateral (values ('impressions', (("impressions"))::numeric), ('clicks', (("clicks"))::numeric), ('revenue_usd', (("revenue_usd"))::numeric)) as measure (name, change)
    union all
    select 'gam_delivery' as source, stored._partition_date as day, coalesce(nullif(stored."content_id", ''), '(not set)') as content_id,
        measure.name as measure, stored._load_id as load_id, stored._updated_at as restated_at,
        true as is_restated, measure.change
    from bronze."gam_delivery_restatements" as stored
    cross join lateral (values ('impressions', ((stored."impressions" - stored."counted_impressions"))::numeric), ('clicks', ((stored."clicks" - stored."counted_clicks"))::numeric), ('revenue_usd', ((stored."revenue_usd" - stored."counted_revenue_usd"))::numeric)) as measure (name, change)
),
by_load as (
    select source, day, content_id, measure, load_id, max(restated_at) as restated_at,
        bool_or(is_restated and change <> 0) as is_restated, coalesce(sum(change), 0) as change
    from changes
    group by source, day, content_id, measure, load_id
),
steps as (
    select *, sum(change) over (partition by source, day, content_id, measure order by load_id) as after
    from by_load
)
select source, day, content_id, measure, load_id, restated_at,
    trim_scale(after - change) as before, trim_scale(after) as after
from steps
where is_restated and change <> 0;
comment on view gold.restatements is 'One row per day, content, measure and load that corrected what had been counted: from what to what.';
comment on column gold.restatements.source is 'The source.';
comment on column gold.restatements.day is 'Local day of the rows.';
comment on column gold.restatements.content_id is 'The article; (not set) for rows without one.';
comment on column gold.restatements.measure is 'The number of the mart; of those that add up over rows.';
comment on column gold.restatements.load_id is 'The load that changed it, see ops.loads.';
comment on column gold.restatements.restated_at is 'When that was.';
comment on column gold.restatements.before is 'What counted until then.';
comment on column gold.restatements.after is 'What counted from then on.';
