create table if not exists gold.ga4_daily_summary (
    "event_date" date not null,
    "content_id" text not null,
    "pageviews" bigint not null,
    "sessions" bigint not null,
    "user_engagements" bigint not null,
    "_updated_at" timestamptz not null,
    primary key ("event_date", "content_id")
);
comment on table gold.ga4_daily_summary is 'One row per event date and article: what GA4 saw.';
comment on column gold.ga4_daily_summary."event_date" is 'Local day of the events.';
comment on column gold.ga4_daily_summary."content_id" is 'The article; (not set) for events without one.';
comment on column gold.ga4_daily_summary."pageviews" is 'Number of page_view events.';
comment on column gold.ga4_daily_summary."sessions" is 'Distinct (user_pseudo_id, session_id) with an event here; events that lack either count none. Not additive over articles.';
comment on column gold.ga4_daily_summary."user_engagements" is 'Number of user_engagement events.';
comment on column gold.ga4_daily_summary."_updated_at" is 'When a refresh last changed the row.';
create table if not exists gold.ga4_daily_sessions (
    "event_date" date not null,
    "session_key" bigint not null,
    primary key ("event_date", "session_key")
);
comment on table gold.ga4_daily_sessions is 'One row per session counted in gold.ga4_daily_summary.';
comment on column gold.ga4_daily_sessions."event_date" is 'Local day of the events.';
comment on column gold.ga4_daily_sessions."session_key" is '64-bit hash over content_id, user_pseudo_id and session_id, each seeded with the hash of the next.';
insert into ops.watermarks (mart) values ('gold.ga4_daily_summary') on conflict do nothing;
