create table if not exists gold.gam_daily_summary (
    "served_date" date not null,
    "content_id" text not null,
    "impressions" bigint not null,
    "clicks" bigint not null,
    "revenue_usd" numeric not null,
    "_updated_at" timestamptz not null,
    primary key ("served_date", "content_id")
);
comment on table gold.gam_daily_summary is 'One row per serving date and article: what Google Ad Manager delivered.';
comment on column gold.gam_daily_summary."served_date" is 'Local day of the delivery.';
comment on column gold.gam_daily_summary."content_id" is 'The article beside the ads; (not set) for ads without one.';
comment on column gold.gam_daily_summary."impressions" is 'Ad impressions.';
comment on column gold.gam_daily_summary."clicks" is 'Ad clicks.';
comment on column gold.gam_daily_summary."revenue_usd" is 'Revenue in US dollars, exact; corrections are negative.';
comment on column gold.gam_daily_summary."_updated_at" is 'When a refresh last changed the row.';
insert into ops.watermarks (mart) values ('gold.gam_daily_summary') on conflict do nothing;
