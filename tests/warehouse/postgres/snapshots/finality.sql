create or replace view gold.finality as
with days as (
    select 'ga4_events' as source, mart."event_date" as day, (mart."event_date" + 4) as final_on,
        (select max(_updated_at) from bronze."ga4_events_corrections" as change where change._partition_date = mart."event_date") as corrected_at
    from (select distinct "event_date" from gold.ga4_daily_summary) as mart
union all
    select 'gam_delivery' as source, mart."served_date" as day, ((date_trunc('month', mart."served_date"::timestamp) + interval '1 month')::date + 1) as final_on,
        (select max(_updated_at) from bronze."gam_delivery_corrections" as change where change._partition_date = mart."served_date") as corrected_at
    from (select distinct "served_date" from gold.gam_daily_summary) as mart
)
select source, day, case when final_on <= (
    now() at time zone (select value from ops.settings where name = 'timezone')
)::date then 'final' else 'provisional' end as state, final_on, corrected_at
from days;
comment on view gold.finality is 'One row per source and day that gold has: whether its numbers are final.';
comment on column gold.finality.source is 'The source.';
comment on column gold.finality.day is 'Local day.';
comment on column gold.finality.state is 'provisional, or final.';
comment on column gold.finality.final_on is 'The first day on which its numbers are final, as the source declares it.';
comment on column gold.finality.corrected_at is 'When a delivery last corrected what had been counted; NULL if none did.';
