create table if not exists bronze.gam_delivery (
    "served_at" timestamptz not null,
    "site" text,
    "ad_unit" text not null,
    "line_item" text,
    "creative" text,
    "content_id" text,
    "impressions" bigint not null,
    "clicks" bigint not null,
    "revenue_usd" numeric not null,
    "_partition_date" date,
    "_hashrow" uuid not null,
    "_created_at" timestamptz not null,
    "_updated_at" timestamptz not null,
    "_load_id" bigint not null,
    "_undeclared" uuid
) partition by range (_updated_at);
alter table bronze.gam_delivery add column if not exists "served_at" timestamptz;
alter table bronze.gam_delivery add column if not exists "site" text;
alter table bronze.gam_delivery add column if not exists "ad_unit" text;
alter table bronze.gam_delivery add column if not exists "line_item" text;
alter table bronze.gam_delivery add column if not exists "creative" text;
alter table bronze.gam_delivery add column if not exists "content_id" text;
alter table bronze.gam_delivery add column if not exists "impressions" bigint;
alter table bronze.gam_delivery add column if not exists "clicks" bigint;
alter table bronze.gam_delivery add column if not exists "revenue_usd" numeric;
alter table bronze.gam_delivery add column if not exists "_partition_date" date;
alter table bronze.gam_delivery add column if not exists "_hashrow" uuid;
alter table bronze.gam_delivery add column if not exists "_created_at" timestamptz;
alter table bronze.gam_delivery add column if not exists "_updated_at" timestamptz;
alter table bronze.gam_delivery add column if not exists "_load_id" bigint;
alter table bronze.gam_delivery add column if not exists "_undeclared" uuid;
create index if not exists gam_delivery_updated_at_idx on bronze.gam_delivery using brin (_updated_at) with (autosummarize = on);
comment on table bronze.gam_delivery is 'One row per Google Ad Manager delivery: instant, ad unit, line item, creative and article. Append-only; partitioned by day of _updated_at (UTC).';
comment on column bronze.gam_delivery."served_at" is 'When the ads were served.';
comment on column bronze.gam_delivery."site" is 'The site that showed the ads.';
comment on column bronze.gam_delivery."ad_unit" is 'Ad unit path.';
comment on column bronze.gam_delivery."line_item" is 'Line item that paid for the impressions.';
comment on column bronze.gam_delivery."creative" is 'Creative shown.';
comment on column bronze.gam_delivery."content_id" is 'The article beside the ads; NULL on pages without one.';
comment on column bronze.gam_delivery."impressions" is 'Ad impressions.';
comment on column bronze.gam_delivery."clicks" is 'Ad clicks.';
comment on column bronze.gam_delivery."revenue_usd" is 'Revenue in US dollars; negative for corrections.';
comment on column bronze.gam_delivery."_partition_date" is 'Local day of the row''s own timestamp; NULL if it has none.';
comment on column bronze.gam_delivery."_hashrow" is 'The row''s hash over canonical values. Columns: ad_unit, content_id, creative, line_item, served_at; rule v1 of kly_mage/rows/rowhash.py.';
comment on column bronze.gam_delivery."_created_at" is 'When the row was inserted, by the server''s clock.';
comment on column bronze.gam_delivery."_updated_at" is 'Ingestion time: never behind the marts'' watermarks, so refreshes go by it.';
comment on column bronze.gam_delivery."_load_id" is 'The load that inserted the row, see ops.loads.';
comment on column bronze.gam_delivery."_undeclared" is 'Fingerprint of what the row says in columns that are not declared.';
create table if not exists bronze.gam_delivery_hashrow (
    "_hashrow" uuid primary key,
    "_updated_at" timestamptz not null,
    "_delivered_at" timestamptz not null,
    "_file" text collate "C" not null,
    "_line" bigint not null,
    "site" text,
    "impressions" bigint,
    "clicks" bigint,
    "revenue_usd" numeric,
    "_undeclared" uuid
);
alter table bronze.gam_delivery_hashrow add column if not exists "_delivered_at" timestamptz;
alter table bronze.gam_delivery_hashrow add column if not exists "_file" text collate "C";
alter table bronze.gam_delivery_hashrow add column if not exists "_line" bigint;
alter table bronze.gam_delivery_hashrow add column if not exists "site" text;
alter table bronze.gam_delivery_hashrow add column if not exists "impressions" bigint;
alter table bronze.gam_delivery_hashrow add column if not exists "clicks" bigint;
alter table bronze.gam_delivery_hashrow add column if not exists "revenue_usd" numeric;
alter table bronze.gam_delivery_hashrow add column if not exists "_undeclared" uuid;
comment on table bronze.gam_delivery_hashrow is 'One row per hash in bronze.gam_delivery: makes it unique across partitions.';
comment on column bronze.gam_delivery_hashrow."_hashrow" is 'Hash of a row in bronze.';
comment on column bronze.gam_delivery_hashrow."_updated_at" is 'Leads to the row: its _updated_at.';
comment on column bronze.gam_delivery_hashrow."_delivered_at" is 'When the version that counts was delivered, by its file; -infinity if unknown.';
comment on column bronze.gam_delivery_hashrow."_file" is 'The file of the version that counts; empty if it is unknown.';
comment on column bronze.gam_delivery_hashrow."_line" is 'The line of the version that counts; 0 if it is unknown.';
comment on column bronze.gam_delivery_hashrow."site" is 'The site that showed the ads. As the marts count it.';
comment on column bronze.gam_delivery_hashrow."impressions" is 'Ad impressions. As the marts count it.';
comment on column bronze.gam_delivery_hashrow."clicks" is 'Ad clicks. As the marts count it.';
comment on column bronze.gam_delivery_hashrow."revenue_usd" is 'Revenue in US dollars; negative for corrections. As the marts count it.';
comment on column bronze.gam_delivery_hashrow."_undeclared" is 'Fingerprint of what the row says in columns that are not declared. As the marts count it.';
create table if not exists bronze.gam_delivery_conflicts (
    "_hashrow" uuid not null,
    "served_at" timestamptz,
    "site" text,
    "ad_unit" text,
    "line_item" text,
    "creative" text,
    "content_id" text,
    "impressions" bigint,
    "clicks" bigint,
    "revenue_usd" numeric,
    "_undeclared" uuid,
    "counted_site" text,
    "counted_impressions" bigint,
    "counted_clicks" bigint,
    "counted_revenue_usd" numeric,
    "counted__undeclared" uuid,
    "_partition_date" date,
    "_delivered_at" timestamptz not null,
    "_file" text not null,
    "_line" bigint not null,
    "_updated_at" timestamptz not null,
    "_load_id" bigint not null
);
alter table bronze.gam_delivery_conflicts add column if not exists "_hashrow" uuid;
alter table bronze.gam_delivery_conflicts add column if not exists "served_at" timestamptz;
alter table bronze.gam_delivery_conflicts add column if not exists "site" text;
alter table bronze.gam_delivery_conflicts add column if not exists "ad_unit" text;
alter table bronze.gam_delivery_conflicts add column if not exists "line_item" text;
alter table bronze.gam_delivery_conflicts add column if not exists "creative" text;
alter table bronze.gam_delivery_conflicts add column if not exists "content_id" text;
alter table bronze.gam_delivery_conflicts add column if not exists "impressions" bigint;
alter table bronze.gam_delivery_conflicts add column if not exists "clicks" bigint;
alter table bronze.gam_delivery_conflicts add column if not exists "revenue_usd" numeric;
alter table bronze.gam_delivery_conflicts add column if not exists "_undeclared" uuid;
alter table bronze.gam_delivery_conflicts add column if not exists "counted_site" text;
alter table bronze.gam_delivery_conflicts add column if not exists "counted_impressions" bigint;
alter table bronze.gam_delivery_conflicts add column if not exists "counted_clicks" bigint;
alter table bronze.gam_delivery_conflicts add column if not exists "counted_revenue_usd" numeric;
alter table bronze.gam_delivery_conflicts add column if not exists "counted__undeclared" uuid;
alter table bronze.gam_delivery_conflicts add column if not exists "_partition_date" date;
alter table bronze.gam_delivery_conflicts add column if not exists "_delivered_at" timestamptz;
alter table bronze.gam_delivery_conflicts add column if not exists "_file" text;
alter table bronze.gam_delivery_conflicts add column if not exists "_line" bigint;
alter table bronze.gam_delivery_conflicts add column if not exists "_updated_at" timestamptz;
alter table bronze.gam_delivery_conflicts add column if not exists "_load_id" bigint;
create unique index if not exists gam_delivery_conflicts_key on bronze.gam_delivery_conflicts (_hashrow, "site", "impressions", "clicks", "revenue_usd", "_undeclared") nulls not distinct;
comment on table bronze.gam_delivery_conflicts is 'One row per further version of a row of bronze.gam_delivery: same hash, something else.';
comment on column bronze.gam_delivery_conflicts."_hashrow" is 'The hash the rows share.';
comment on column bronze.gam_delivery_conflicts."served_at" is 'When the ads were served. In this version.';
comment on column bronze.gam_delivery_conflicts."site" is 'The site that showed the ads. In this version.';
comment on column bronze.gam_delivery_conflicts."ad_unit" is 'Ad unit path. In this version.';
comment on column bronze.gam_delivery_conflicts."line_item" is 'Line item that paid for the impressions. In this version.';
comment on column bronze.gam_delivery_conflicts."creative" is 'Creative shown. In this version.';
comment on column bronze.gam_delivery_conflicts."content_id" is 'The article beside the ads; NULL on pages without one. In this version.';
comment on column bronze.gam_delivery_conflicts."impressions" is 'Ad impressions. In this version.';
comment on column bronze.gam_delivery_conflicts."clicks" is 'Ad clicks. In this version.';
comment on column bronze.gam_delivery_conflicts."revenue_usd" is 'Revenue in US dollars; negative for corrections. In this version.';
comment on column bronze.gam_delivery_conflicts."_undeclared" is 'Fingerprint of what the row says in columns that are not declared. In this version.';
comment on column bronze.gam_delivery_conflicts."counted_site" is 'The site that showed the ads. In the version that counts.';
comment on column bronze.gam_delivery_conflicts."counted_impressions" is 'Ad impressions. In the version that counts.';
comment on column bronze.gam_delivery_conflicts."counted_clicks" is 'Ad clicks. In the version that counts.';
comment on column bronze.gam_delivery_conflicts."counted_revenue_usd" is 'Revenue in US dollars; negative for corrections. In the version that counts.';
comment on column bronze.gam_delivery_conflicts."counted__undeclared" is 'Fingerprint of what the row says in columns that are not declared. In the version that counts.';
comment on column bronze.gam_delivery_conflicts."_partition_date" is 'Local day of the row.';
comment on column bronze.gam_delivery_conflicts."_delivered_at" is 'When its file was delivered: its day, or when it was changed.';
comment on column bronze.gam_delivery_conflicts."_file" is 'The file it stands in.';
comment on column bronze.gam_delivery_conflicts."_line" is 'The line where it begins, from 1 (the header).';
comment on column bronze.gam_delivery_conflicts."_updated_at" is 'Ingestion time.';
comment on column bronze.gam_delivery_conflicts."_load_id" is 'The load that met it first.';
alter table bronze.gam_delivery_conflicts add column if not exists "_undeclared_values" json;
alter table bronze.gam_delivery_conflicts add column if not exists "accepted_at" timestamptz;
alter table bronze.gam_delivery_conflicts add column if not exists "accepted_by" text;
alter table bronze.gam_delivery_conflicts add column if not exists "accepted_because" text;
alter table bronze.gam_delivery_conflicts add column if not exists "is_restatement" boolean default false;
update bronze.gam_delivery_conflicts set is_restatement = false where is_restatement;
comment on column bronze.gam_delivery_conflicts."_undeclared_values" is 'What this version says in undeclared columns, by their names.';
comment on column bronze.gam_delivery_conflicts."accepted_at" is 'When somebody said that this needs no further look; NULL while it waits.';
comment on column bronze.gam_delivery_conflicts."accepted_by" is 'Who.';
comment on column bronze.gam_delivery_conflicts."accepted_because" is 'Why.';
comment on column bronze.gam_delivery_conflicts."is_restatement" is 'Whether no decision is wanted: of versions in several files the newest counts.';
create table if not exists bronze."gam_delivery_corrections" (
    _hashrow uuid not null,
    sign smallint not null check (sign in (-1, 1)),
    why text not null,
    _partition_date date,
    _file_day date,
    _updated_at timestamptz not null,
    _load_id bigint not null,
    "served_at" timestamptz,
    "site" text,
    "ad_unit" text,
    "line_item" text,
    "creative" text,
    "content_id" text,
    "impressions" bigint,
    "clicks" bigint,
    "revenue_usd" numeric,
    "_undeclared" uuid,
    _delivered_at timestamptz,
    _file text,
    _line bigint
);
alter table bronze."gam_delivery_corrections" add column if not exists "served_at" timestamptz;
alter table bronze."gam_delivery_corrections" add column if not exists "site" text;
alter table bronze."gam_delivery_corrections" add column if not exists "ad_unit" text;
alter table bronze."gam_delivery_corrections" add column if not exists "line_item" text;
alter table bronze."gam_delivery_corrections" add column if not exists "creative" text;
alter table bronze."gam_delivery_corrections" add column if not exists "content_id" text;
alter table bronze."gam_delivery_corrections" add column if not exists "impressions" bigint;
alter table bronze."gam_delivery_corrections" add column if not exists "clicks" bigint;
alter table bronze."gam_delivery_corrections" add column if not exists "revenue_usd" numeric;
alter table bronze."gam_delivery_corrections" add column if not exists "_undeclared" uuid;
alter table bronze."gam_delivery_corrections" add column if not exists _delivered_at timestamptz;
alter table bronze."gam_delivery_corrections" add column if not exists _file text;
alter table bronze."gam_delivery_corrections" add column if not exists _line bigint;
create index if not exists "gam_delivery_corrections_hashrow_idx" on bronze."gam_delivery_corrections" (_hashrow);
create index if not exists "gam_delivery_corrections_updated_at_idx" on bronze."gam_delivery_corrections" (_updated_at);
create index if not exists "gam_delivery_corrections_partition_date_idx" on bronze."gam_delivery_corrections" (_partition_date);
comment on table bronze."gam_delivery_corrections" is 'One row per change of what counts of bronze.gam_delivery, by what was delivered later.';
comment on column bronze."gam_delivery_corrections"._hashrow is 'The row in bronze.';
comment on column bronze."gam_delivery_corrections".sign is '-1: it counts no longer; 1: it counts now, or again.';
comment on column bronze."gam_delivery_corrections".why is 'superseded: a newer delivery has another version of it; withdrawn: it has none; restated: this version has come to count; completed: it has a value in a column declared later; returned.';
comment on column bronze."gam_delivery_corrections"._partition_date is 'Local day of the row.';
comment on column bronze."gam_delivery_corrections"._file_day is 'The day of the export whose files brought the row.';
comment on column bronze."gam_delivery_corrections"._updated_at is 'Ingestion time of the delivery that changed it: refreshes go by it.';
comment on column bronze."gam_delivery_corrections"._load_id is 'The load that read that delivery.';
comment on column bronze."gam_delivery_corrections"."served_at" is 'When the ads were served. In this version.';
comment on column bronze."gam_delivery_corrections"."site" is 'The site that showed the ads. In this version.';
comment on column bronze."gam_delivery_corrections"."ad_unit" is 'Ad unit path. In this version.';
comment on column bronze."gam_delivery_corrections"."line_item" is 'Line item that paid for the impressions. In this version.';
comment on column bronze."gam_delivery_corrections"."creative" is 'Creative shown. In this version.';
comment on column bronze."gam_delivery_corrections"."content_id" is 'The article beside the ads; NULL on pages without one. In this version.';
comment on column bronze."gam_delivery_corrections"."impressions" is 'Ad impressions. In this version.';
comment on column bronze."gam_delivery_corrections"."clicks" is 'Ad clicks. In this version.';
comment on column bronze."gam_delivery_corrections"."revenue_usd" is 'Revenue in US dollars; negative for corrections. In this version.';
comment on column bronze."gam_delivery_corrections"."_undeclared" is 'Fingerprint of what the row says in columns that are not declared. In this version.';
comment on column bronze."gam_delivery_corrections"._delivered_at is 'Of a version that came to count: when its file was delivered.';
comment on column bronze."gam_delivery_corrections"._file is 'The file it stands in.';
comment on column bronze."gam_delivery_corrections"._line is 'The line where it begins, from 1 (the header).';
create or replace view bronze."gam_delivery_gone" as
select _hashrow, day as _partition_date, last_why
from (select _hashrow, _partition_date as day, (array_agg(why order by _load_id desc))[1] as last_why from bronze."gam_delivery_corrections" where true group by _hashrow, _partition_date, "site", "impressions", "clicks", "revenue_usd", "_undeclared" having sum(sign) < 0) as gone;
comment on view bronze."gam_delivery_gone" is 'One row per row of bronze.gam_delivery that does not count, by what was delivered later.';
comment on column bronze."gam_delivery_gone"._hashrow is 'The row.';
comment on column bronze."gam_delivery_gone"._partition_date is 'Its local day.';
comment on column bronze."gam_delivery_gone".last_why is 'superseded: a newer delivery has another version of it; withdrawn: it has none.';
create or replace view bronze."gam_delivery_added" as
select *
from (select "served_at", "site", "ad_unit", "line_item", "creative", "content_id", "impressions", "clicks", "revenue_usd", _hashrow, _partition_date, max(_updated_at) as _updated_at, max(_load_id) as _load_id from bronze."gam_delivery_corrections" where true group by _hashrow, _partition_date, "served_at", "site", "ad_unit", "line_item", "creative", "content_id", "impressions", "clicks", "revenue_usd", _undeclared having sum(sign) > 0) as added;
comment on view bronze."gam_delivery_added" is 'One row per version that counts in place of one that bronze.gam_delivery has of its row.';
comment on column bronze."gam_delivery_added"."served_at" is 'When the ads were served.';
comment on column bronze."gam_delivery_added"."site" is 'The site that showed the ads.';
comment on column bronze."gam_delivery_added"."ad_unit" is 'Ad unit path.';
comment on column bronze."gam_delivery_added"."line_item" is 'Line item that paid for the impressions.';
comment on column bronze."gam_delivery_added"."creative" is 'Creative shown.';
comment on column bronze."gam_delivery_added"."content_id" is 'The article beside the ads; NULL on pages without one.';
comment on column bronze."gam_delivery_added"."impressions" is 'Ad impressions.';
comment on column bronze."gam_delivery_added"."clicks" is 'Ad clicks.';
comment on column bronze."gam_delivery_added"."revenue_usd" is 'Revenue in US dollars; negative for corrections.';
comment on column bronze."gam_delivery_added"._hashrow is 'The hash it shares with the row.';
comment on column bronze."gam_delivery_added"._partition_date is 'Its local day.';
comment on column bronze."gam_delivery_added"._updated_at is 'Ingestion time of the delivery that changed it last.';
comment on column bronze."gam_delivery_added"._load_id is 'The load that read that delivery.';
create or replace function bronze."gam_delivery_loaded_at"(days date[]) returns timestamptz[] language sql stable
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
    inner join bronze."gam_delivery_hashrow" as known
        on known._hashrow between rpad(utc.digits, 32, '0')::uuid and rpad(utc.digits, 32, 'f')::uuid
$function$;
comment on function bronze."gam_delivery_loaded_at" is 'When the rows of these local days came in: the stamps of the loads that brought them.';
create or replace function bronze."gam_delivery_of_days"(days date[]) returns setof bronze."gam_delivery" language plpgsql stable rows 100000 as $function$
begin
    return query execute 'select * from bronze."gam_delivery" where _updated_at = any($1) and _partition_date = any($2)'
    using bronze."gam_delivery_loaded_at"(days), days;
end $function$;
comment on function bronze."gam_delivery_of_days" is 'All rows of these local days, found without a look at the others.';
create or replace function bronze."gam_delivery_counted"(days date[]) returns setof bronze."gam_delivery" language sql stable rows 100000 as $function$
    select stored.*
    from bronze."gam_delivery_of_days"(days) as stored
    left join (select _hashrow from bronze."gam_delivery_gone" where _partition_date = any(days)) as gone on stored._hashrow = gone._hashrow
    where gone._hashrow is null
    union all
    select version.*
    from bronze."gam_delivery_added" as added cross join lateral jsonb_populate_record(null::bronze."gam_delivery", to_jsonb(added)) as version
    where added._partition_date = any(days)
$function$;
comment on function bronze."gam_delivery_counted" is 'The rows of these local days that count, in the version that does.';
create or replace view bronze."gam_delivery_to_correct" as
select stored."served_at", stored."site", stored."ad_unit", stored."line_item", stored."creative", stored."content_id", stored."impressions", stored."clicks", stored."revenue_usd", stored."_partition_date", sign, _updated_at
from bronze."gam_delivery_corrections" as stored
where _updated_at > (select watermark from ops.watermarks where mart = 'gold.gam_daily_summary');
comment on view bronze."gam_delivery_to_correct" is 'One row per change of what counts that gold.gam_daily_summary has not taken in yet.';
comment on column bronze."gam_delivery_to_correct"."served_at" is 'When the ads were served.';
comment on column bronze."gam_delivery_to_correct"."site" is 'The site that showed the ads.';
comment on column bronze."gam_delivery_to_correct"."ad_unit" is 'Ad unit path.';
comment on column bronze."gam_delivery_to_correct"."line_item" is 'Line item that paid for the impressions.';
comment on column bronze."gam_delivery_to_correct"."creative" is 'Creative shown.';
comment on column bronze."gam_delivery_to_correct"."content_id" is 'The article beside the ads; NULL on pages without one.';
comment on column bronze."gam_delivery_to_correct"."impressions" is 'Ad impressions.';
comment on column bronze."gam_delivery_to_correct"."clicks" is 'Ad clicks.';
comment on column bronze."gam_delivery_to_correct"."revenue_usd" is 'Revenue in US dollars; negative for corrections.';
comment on column bronze."gam_delivery_to_correct"._partition_date is 'Local day of the row.';
comment on column bronze."gam_delivery_to_correct".sign is '-1: it counts no longer; 1: it counts now.';
comment on column bronze."gam_delivery_to_correct"._updated_at is 'Ingestion time of the delivery that changed it.';
