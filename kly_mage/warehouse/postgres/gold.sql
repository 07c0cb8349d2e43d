-- The tables of the marts. What fills them stands in the SQL blocks of the same names. Safe to run again.

create table if not exists gold.ga4_daily_summary (
    event_date date not null,
    content_id text not null,
    pageviews bigint not null,
    sessions bigint not null,
    user_engagements bigint not null,
    _updated_at timestamptz not null,
    primary key (event_date, content_id)
);
comment on table gold.ga4_daily_summary is 'One row per event date and article: what GA4 saw.';
comment on column gold.ga4_daily_summary.event_date is 'Local day of the events.';
comment on column gold.ga4_daily_summary.content_id is 'The article; (not set) for events without one.';
comment on column gold.ga4_daily_summary.pageviews is 'Number of page_view events.';
comment on column gold.ga4_daily_summary.sessions is
'Distinct (user_pseudo_id, session_id) with an event here; events that lack either count none. Not additive over articles.';
comment on column gold.ga4_daily_summary.user_engagements is 'Number of user_engagement events.';
comment on column gold.ga4_daily_summary._updated_at is 'When a refresh last changed the row.';

create table if not exists gold.ga4_daily_sessions (
    event_date date not null,
    session_key bigint not null,
    primary key (event_date, session_key)
);
comment on table gold.ga4_daily_sessions is 'One row per session counted in gold.ga4_daily_summary.';
comment on column gold.ga4_daily_sessions.event_date is 'Local day of the events.';
comment on column gold.ga4_daily_sessions.session_key is
'64-bit hash over content_id, user_pseudo_id and session_id, each seeded with the hash of the next.';
insert into ops.watermarks (mart) values ('gold.ga4_daily_summary') on conflict do nothing;

create table if not exists gold.gam_daily_summary (
    served_date date not null,
    content_id text not null,
    impressions bigint not null,
    clicks bigint not null,
    revenue_usd numeric not null,
    _updated_at timestamptz not null,
    primary key (served_date, content_id)
);
comment on table gold.gam_daily_summary is 'One row per serving date and article: what Google Ad Manager delivered.';
comment on column gold.gam_daily_summary.served_date is 'Local day of the delivery.';
comment on column gold.gam_daily_summary.content_id is 'The article beside the ads; (not set) for ads without one.';
comment on column gold.gam_daily_summary.impressions is 'Ad impressions.';
comment on column gold.gam_daily_summary.clicks is 'Ad clicks.';
comment on column gold.gam_daily_summary.revenue_usd is 'Revenue in US dollars, exact; corrections are negative.';
comment on column gold.gam_daily_summary._updated_at is 'When a refresh last changed the row.';
insert into ops.watermarks (mart) values ('gold.gam_daily_summary') on conflict do nothing;

create or replace view gold.gam_restatements as
select
    _partition_date as served_date,
    _load_id as load_id,
    max(_updated_at) as restated_at,
    count(*) as count_rows,
    sum(impressions - counted_impressions) as impressions,
    sum(clicks - counted_clicks) as clicks,
    sum(revenue_usd - counted_revenue_usd) as revenue_usd
from bronze.gam_delivery_restatements
group by _partition_date, _load_id;
comment on view gold.gam_restatements is
'One row per serving date and load that restated it: by how much what counts has changed. Empty unless restatements apply.';
comment on column gold.gam_restatements.served_date is 'Local day of the delivery.';
comment on column gold.gam_restatements.load_id is 'The load that brought the newer versions, see ops.loads.';
comment on column gold.gam_restatements.restated_at is 'When that was.';
comment on column gold.gam_restatements.count_rows is 'Deliveries restated.';
comment on column gold.gam_restatements.impressions is 'Change of the impressions.';
comment on column gold.gam_restatements.clicks is 'Change of the clicks.';
comment on column gold.gam_restatements.revenue_usd is 'Change of the revenue in US dollars.';
