create table if not exists gold.gam_daily_ads (
    "by" text not null,
    "served_date" date not null,
    "name" text not null,
    "count_rows" bigint not null,
    "impressions" bigint not null,
    "clicks" bigint not null,
    "revenue_usd" numeric not null
);
create unique index if not exists gam_daily_ads_key on gold.gam_daily_ads (by, served_date, md5(name));
comment on table gold.gam_daily_ads is 'One row per day and ad unit, line item, creative or site: what was delivered there.';
comment on column gold.gam_daily_ads."by" is 'What is named: ad_unit, line_item, creative, site.';
comment on column gold.gam_daily_ads."served_date" is 'Local day of the delivery.';
comment on column gold.gam_daily_ads."name" is 'Its name; (not set) for ads without one.';
comment on column gold.gam_daily_ads."count_rows" is 'Rows that count.';
comment on column gold.gam_daily_ads."impressions" is 'Ad impressions.';
comment on column gold.gam_daily_ads."clicks" is 'Ad clicks.';
comment on column gold.gam_daily_ads."revenue_usd" is 'Revenue in US dollars, exact; corrections are negative.';
create table if not exists gold.gam_monthly_ads (
    "content_id" text not null,
    "month" date not null,
    "line_item" text not null,
    "count_rows" bigint not null,
    "impressions" bigint not null,
    "clicks" bigint not null,
    "revenue_usd" numeric not null
);
create unique index if not exists gam_monthly_ads_key on gold.gam_monthly_ads (content_id, month, md5(line_item));
comment on table gold.gam_monthly_ads is 'One row per article, month and line item: what was delivered beside it.';
comment on column gold.gam_monthly_ads."content_id" is 'The article beside the ads; (not set) for ads without one.';
comment on column gold.gam_monthly_ads."month" is 'The first day of the month.';
comment on column gold.gam_monthly_ads."line_item" is '(not set) for ads without one.';
comment on column gold.gam_monthly_ads."count_rows" is 'Rows that count.';
comment on column gold.gam_monthly_ads."impressions" is 'Ad impressions.';
comment on column gold.gam_monthly_ads."clicks" is 'Ad clicks.';
comment on column gold.gam_monthly_ads."revenue_usd" is 'Revenue in US dollars, exact; corrections are negative.';
create or replace function ops.add_up_gam_delivery(since timestamptz, until timestamptz) returns void language plpgsql
set enable_seqscan = off as $function$
begin
    with delivered as (
        select 1 as sign, stored."_partition_date", stored."content_id", stored."ad_unit", stored."line_item", stored."creative", stored."site", stored."impressions", stored."clicks", stored."revenue_usd"
        from bronze."gam_delivery" as stored
        where stored._updated_at > since and stored._updated_at <= until
        union all
        select stored.sign, stored."_partition_date", stored."content_id", stored."ad_unit", stored."line_item", stored."creative", stored."site", stored."impressions", stored."clicks", stored."revenue_usd"
        from (select * from bronze."gam_delivery_corrections" as changed where changed._updated_at > since and changed._updated_at <= until) as stored
    ),
    named as (
        select
            _partition_date as day, _partition_date - (extract(day from _partition_date)::int - 1) as month,
            coalesce(nullif("content_id"::text, ''), '(not set)') as content_id, coalesce(nullif("ad_unit"::text, ''), '(not set)') as ad_unit, coalesce(nullif("line_item"::text, ''), '(not set)') as line_item, coalesce(nullif("creative"::text, ''), '(not set)') as creative, coalesce(nullif("site"::text, ''), '(not set)') as site,
            sign as count_rows, sign * impressions as impressions, sign * clicks as clicks, sign * revenue_usd as revenue_usd
        from delivered
    ),
    parts as materialized (
        select
            day, month, content_id, ad_unit, line_item, creative, site,
            case when grouping(content_id) = 1 then case when grouping(ad_unit) = 0 then 'ad_unit' when grouping(line_item) = 0 then 'line_item' when grouping(creative) = 0 then 'creative' when grouping(site) = 0 then 'site' end end as part,
            sum(count_rows) as count_rows, sum(impressions) as impressions, sum(clicks) as clicks, trim_scale(sum(revenue_usd)) as revenue_usd
        from named
        group by grouping sets ((day, ad_unit), (day, line_item), (day, creative), (day, site), (month, content_id, line_item))
    ),
    of_days as (
        insert into gold.gam_daily_ads as kept (by, served_date, name, count_rows, impressions, clicks, revenue_usd)
        select part, day, coalesce(ad_unit, line_item, creative, site), count_rows, impressions, clicks, revenue_usd from parts where part is not null
        on conflict (by, served_date, md5(name)) do update set count_rows = kept.count_rows + excluded.count_rows, impressions = kept.impressions + excluded.impressions, clicks = kept.clicks + excluded.clicks, revenue_usd = trim_scale(kept.revenue_usd + excluded.revenue_usd)
    )
    insert into gold.gam_monthly_ads as kept (content_id, month, line_item, count_rows, impressions, clicks, revenue_usd)
    select content_id, month, line_item, count_rows, impressions, clicks, revenue_usd from parts where part is null
    on conflict (content_id, month, md5(line_item)) do update set count_rows = kept.count_rows + excluded.count_rows, impressions = kept.impressions + excluded.impressions, clicks = kept.clicks + excluded.clicks, revenue_usd = trim_scale(kept.revenue_usd + excluded.revenue_usd);
end $function$;
comment on function ops.add_up_gam_delivery is 'Adds rows that came in between two moments to gold.gam_daily_ads and gold.gam_monthly_ads.';
create or replace function ops.follow_gam_delivery() returns trigger language plpgsql as $function$
begin
    if new.watermark < old.watermark then  -- a rebuild begins
        delete from gold.gam_daily_ads;
        delete from gold.gam_monthly_ads;
    else
        perform ops.add_up_gam_delivery(old.watermark, new.watermark);
    end if;
    return null;
end $function$;
comment on function ops.follow_gam_delivery is 'Has gold.gam_daily_ads and gold.gam_monthly_ads follow the watermark of gold.gam_daily_summary.';
create or replace trigger follow_gam_delivery after update of watermark on ops.watermarks
for each row when (new.mart = 'gold.gam_daily_summary' and new.watermark <> old.watermark) execute function ops.follow_gam_delivery();
select ops.add_up_gam_delivery('-infinity', watermark) from ops.watermarks
where mart = 'gold.gam_daily_summary' and isfinite(watermark) and not exists (select from gold.gam_daily_ads union all select from gold.gam_monthly_ads);
