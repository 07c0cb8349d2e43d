create table if not exists bronze.ga4_events (
    "event_timestamp" timestamptz not null,
    "event_name" text not null,
    "user_pseudo_id" text,
    "session_id" text,
    "content_id" text,
    "site" text,
    "page_location" text,
    "device_category" text,
    "country" text,
    "traffic_source" text,
    "_partition_date" date,
    "_hashrow" uuid not null,
    "_created_at" timestamptz not null,
    "_updated_at" timestamptz not null,
    "_load_id" bigint not null,
    "_file_day" date
) partition by range (_updated_at);
alter table bronze.ga4_events add column if not exists "event_timestamp" timestamptz;
alter table bronze.ga4_events add column if not exists "event_name" text;
alter table bronze.ga4_events add column if not exists "user_pseudo_id" text;
alter table bronze.ga4_events add column if not exists "session_id" text;
alter table bronze.ga4_events add column if not exists "content_id" text;
alter table bronze.ga4_events add column if not exists "site" text;
alter table bronze.ga4_events add column if not exists "page_location" text;
alter table bronze.ga4_events add column if not exists "device_category" text;
alter table bronze.ga4_events add column if not exists "country" text;
alter table bronze.ga4_events add column if not exists "traffic_source" text;
alter table bronze.ga4_events add column if not exists "_partition_date" date;
alter table bronze.ga4_events add column if not exists "_hashrow" uuid;
alter table bronze.ga4_events add column if not exists "_created_at" timestamptz;
alter table bronze.ga4_events add column if not exists "_updated_at" timestamptz;
alter table bronze.ga4_events add column if not exists "_load_id" bigint;
alter table bronze.ga4_events add column if not exists "_file_day" date;
create index if not exists ga4_events_updated_at_idx on bronze.ga4_events using brin (_updated_at) with (autosummarize = on);
comment on table bronze.ga4_events is 'One row per distinct GA4 event. Append-only; partitioned by day of _updated_at (UTC).';
comment on column bronze.ga4_events."event_timestamp" is 'When the event happened.';
comment on column bronze.ga4_events."event_name" is 'GA4 event name, such as page_view or user_engagement.';
comment on column bronze.ga4_events."user_pseudo_id" is 'GA4 client id; NULL when consent was denied.';
comment on column bronze.ga4_events."session_id" is 'ga_session_id: numbered per user, so a session is (user_pseudo_id, session_id).';
comment on column bronze.ga4_events."content_id" is 'The article the event belongs to; NULL on pages without one.';
comment on column bronze.ga4_events."site" is 'Host of the page.';
comment on column bronze.ga4_events."page_location" is 'URL of the page.';
comment on column bronze.ga4_events."device_category" is 'mobile, desktop, tablet or smart tv.';
comment on column bronze.ga4_events."country" is 'Country of the visitor, as GA4 names it.';
comment on column bronze.ga4_events."traffic_source" is 'Where the visitor came from, such as google or (direct).';
comment on column bronze.ga4_events."_partition_date" is 'Local day of the row''s own timestamp; NULL if it has none.';
comment on column bronze.ga4_events."_hashrow" is 'The row''s hash over canonical values. Columns: all columns; rule v1 of kly_mage/rows/rowhash.py.';
comment on column bronze.ga4_events."_created_at" is 'When the row was inserted, by the server''s clock.';
comment on column bronze.ga4_events."_updated_at" is 'Ingestion time: never behind the marts'' watermarks, so refreshes go by it.';
comment on column bronze.ga4_events."_load_id" is 'The load that inserted the row, see ops.loads.';
comment on column bronze.ga4_events."_file_day" is 'Day of the export whose files brought the row; NULL if it came otherwise.';
create table if not exists bronze.ga4_events_hashrow (
    "_hashrow" uuid primary key,
    "_updated_at" timestamptz not null
);
comment on table bronze.ga4_events_hashrow is 'One row per hash in bronze.ga4_events: makes it unique across partitions.';
comment on column bronze.ga4_events_hashrow."_hashrow" is 'Hash of a row in bronze.';
comment on column bronze.ga4_events_hashrow."_updated_at" is 'Leads to the row: its _updated_at.';
create table if not exists bronze."ga4_events_corrections" (
    _hashrow uuid not null,
    sign smallint not null check (sign in (-1, 1)),
    why text not null,
    _partition_date date,
    _file_day date,
    _updated_at timestamptz not null,
    _load_id bigint not null
);
create index if not exists "ga4_events_corrections_hashrow_idx" on bronze."ga4_events_corrections" (_hashrow);
create index if not exists "ga4_events_corrections_updated_at_idx" on bronze."ga4_events_corrections" (_updated_at);
create index if not exists "ga4_events_corrections_partition_date_idx" on bronze."ga4_events_corrections" (_partition_date);
comment on table bronze."ga4_events_corrections" is 'One row per change of what counts of bronze.ga4_events, by what was delivered later.';
comment on column bronze."ga4_events_corrections"._hashrow is 'The row in bronze.';
comment on column bronze."ga4_events_corrections".sign is '-1: it counts no longer; 1: it counts now, or again.';
comment on column bronze."ga4_events_corrections".why is 'superseded: a newer delivery has another version of it; withdrawn: it has none; restated: this version has come to count; completed: it has a value in a column declared later; returned.';
comment on column bronze."ga4_events_corrections"._partition_date is 'Local day of the row.';
comment on column bronze."ga4_events_corrections"._file_day is 'The day of the export whose files brought the row.';
comment on column bronze."ga4_events_corrections"._updated_at is 'Ingestion time of the delivery that changed it: refreshes go by it.';
comment on column bronze."ga4_events_corrections"._load_id is 'The load that read that delivery.';
create or replace view bronze."ga4_events_gone" as
select _hashrow, day as _partition_date, last_why
from (select _hashrow, _partition_date as day, (array_agg(why order by _load_id desc))[1] as last_why from bronze."ga4_events_corrections" where true group by _hashrow, _partition_date having sum(sign) < 0) as gone;
comment on view bronze."ga4_events_gone" is 'One row per row of bronze.ga4_events that does not count, by what was delivered later.';
comment on column bronze."ga4_events_gone"._hashrow is 'The row.';
comment on column bronze."ga4_events_gone"._partition_date is 'Its local day.';
comment on column bronze."ga4_events_gone".last_why is 'superseded: a newer delivery has another version of it; withdrawn: it has none.';
create or replace view bronze."ga4_events_added" as
select *
from (select "event_timestamp", "event_name", "user_pseudo_id", "session_id", "content_id", "site", "page_location", "device_category", "country", "traffic_source", _hashrow, _partition_date, _updated_at, _load_id from bronze."ga4_events" where false) as added;
comment on view bronze."ga4_events_added" is 'One row per version that counts in place of one that bronze.ga4_events has of its row.';
comment on column bronze."ga4_events_added"."event_timestamp" is 'When the event happened.';
comment on column bronze."ga4_events_added"."event_name" is 'GA4 event name, such as page_view or user_engagement.';
comment on column bronze."ga4_events_added"."user_pseudo_id" is 'GA4 client id; NULL when consent was denied.';
comment on column bronze."ga4_events_added"."session_id" is 'ga_session_id: numbered per user, so a session is (user_pseudo_id, session_id).';
comment on column bronze."ga4_events_added"."content_id" is 'The article the event belongs to; NULL on pages without one.';
comment on column bronze."ga4_events_added"."site" is 'Host of the page.';
comment on column bronze."ga4_events_added"."page_location" is 'URL of the page.';
comment on column bronze."ga4_events_added"."device_category" is 'mobile, desktop, tablet or smart tv.';
comment on column bronze."ga4_events_added"."country" is 'Country of the visitor, as GA4 names it.';
comment on column bronze."ga4_events_added"."traffic_source" is 'Where the visitor came from, such as google or (direct).';
comment on column bronze."ga4_events_added"._hashrow is 'The hash it shares with the row.';
comment on column bronze."ga4_events_added"._partition_date is 'Its local day.';
comment on column bronze."ga4_events_added"._updated_at is 'Ingestion time of the delivery that changed it last.';
comment on column bronze."ga4_events_added"._load_id is 'The load that read that delivery.';
create or replace function bronze."ga4_events_loaded_at"(days date[]) returns timestamptz[] language sql stable
set enable_seqscan = off set random_page_cost = 1.1 as $function$
    with local as (
        select day::timestamp at time zone (select value from ops.settings where name = 'timezone') as start
        from unnest(days) as day
    ),
    utc as (
        select distinct to_char(day, 'YYYYMMDD') as digits
        from local, generate_series(
            date_trunc('day', start at time zone 'UTC'), (start + interval '25 hours') at time zone 'UTC', interval '1 day'
        ) as day
    )
    select coalesce(array_agg(distinct known._updated_at), '{}')
    from utc
    inner join bronze."ga4_events_hashrow" as known
        on known._hashrow between rpad(utc.digits, 32, '0')::uuid and rpad(utc.digits, 32, 'f')::uuid
$function$;
comment on function bronze."ga4_events_loaded_at" is 'When the rows of these local days came in: the stamps of the loads that brought them.';
create or replace function bronze."ga4_events_of_days"(days date[]) returns setof bronze."ga4_events" language plpgsql stable rows 100000 as $function$
begin
    return query execute 'select * from bronze."ga4_events" where _updated_at = any($1) and _partition_date = any($2)'
    using bronze."ga4_events_loaded_at"(days), days;
end $function$;
comment on function bronze."ga4_events_of_days" is 'All rows of these local days, found without a look at the others.';
create or replace function bronze."ga4_events_counted"(days date[]) returns setof bronze."ga4_events" language sql stable rows 100000 as $function$
    select stored.*
    from bronze."ga4_events_of_days"(days) as stored
    left join (select _hashrow from bronze."ga4_events_gone" where _partition_date = any(days)) as gone on stored._hashrow = gone._hashrow
    where gone._hashrow is null
$function$;
comment on function bronze."ga4_events_counted" is 'The rows of these local days that count, in the version that does.';
create or replace view bronze."ga4_events_to_correct" as
with corrected as (select * from bronze."ga4_events_corrections" where _updated_at > (select watermark from ops.watermarks where mart = 'gold.ga4_daily_summary'))
select stored."event_timestamp", stored."event_name", stored."user_pseudo_id", stored."session_id", stored."content_id", stored."site", stored."page_location", stored."device_category", stored."country", stored."traffic_source", stored."_partition_date", corrected.sign, corrected._updated_at
from corrected
inner join bronze."ga4_events_of_days"(array(select distinct _partition_date from corrected)) as stored on corrected._hashrow = stored._hashrow;
comment on view bronze."ga4_events_to_correct" is 'One row per change of what counts that gold.ga4_daily_summary has not taken in yet.';
comment on column bronze."ga4_events_to_correct"."event_timestamp" is 'When the event happened.';
comment on column bronze."ga4_events_to_correct"."event_name" is 'GA4 event name, such as page_view or user_engagement.';
comment on column bronze."ga4_events_to_correct"."user_pseudo_id" is 'GA4 client id; NULL when consent was denied.';
comment on column bronze."ga4_events_to_correct"."session_id" is 'ga_session_id: numbered per user, so a session is (user_pseudo_id, session_id).';
comment on column bronze."ga4_events_to_correct"."content_id" is 'The article the event belongs to; NULL on pages without one.';
comment on column bronze."ga4_events_to_correct"."site" is 'Host of the page.';
comment on column bronze."ga4_events_to_correct"."page_location" is 'URL of the page.';
comment on column bronze."ga4_events_to_correct"."device_category" is 'mobile, desktop, tablet or smart tv.';
comment on column bronze."ga4_events_to_correct"."country" is 'Country of the visitor, as GA4 names it.';
comment on column bronze."ga4_events_to_correct"."traffic_source" is 'Where the visitor came from, such as google or (direct).';
comment on column bronze."ga4_events_to_correct"._partition_date is 'Local day of the row.';
comment on column bronze."ga4_events_to_correct".sign is '-1: it counts no longer; 1: it counts now.';
comment on column bronze."ga4_events_to_correct"._updated_at is 'Ingestion time of the delivery that changed it.';
