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
    "_load_id" bigint not null
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
create table if not exists bronze.ga4_events_hashrow (
    "_hashrow" uuid primary key,
    "_updated_at" timestamptz not null
);
comment on table bronze.ga4_events_hashrow is 'One row per hash in bronze.ga4_events: makes it unique across partitions.';
comment on column bronze.ga4_events_hashrow."_hashrow" is 'Hash of a row in bronze.';
comment on column bronze.ga4_events_hashrow."_updated_at" is 'Leads to the row: its _updated_at.';
