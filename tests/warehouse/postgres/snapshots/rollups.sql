create table if not exists gold.monthly_summary (
    "month" date not null,
    "content_id" text not null,
    "count_days" bigint not null,
    "site" text,
    "title" text,
    "author" text,
    "section" text,
    "pageviews" bigint,
    "sessions" bigint,
    "user_engagements" bigint,
    "impressions" bigint,
    "clicks" bigint,
    "revenue_usd" numeric,
    primary key ("month", "content_id")
);
comment on table gold.monthly_summary is 'One row per month and article: the days of gold.daily_summary added up, also their sessions.';
comment on column gold.monthly_summary."month" is 'The first day of the month.';
comment on column gold.monthly_summary."content_id" is 'The article; (not set) for events and ads without one.';
comment on column gold.monthly_summary."count_days" is 'Rows of gold.daily_summary that are added up.';
comment on column gold.monthly_summary."site" is 'Site; (not set) if the CMS does not know the article.';
comment on column gold.monthly_summary."title" is 'Headline, latest version.';
comment on column gold.monthly_summary."author" is 'Author.';
comment on column gold.monthly_summary."section" is 'Section of the site.';
comment on column gold.monthly_summary."pageviews" is 'Number of page_view events.';
comment on column gold.monthly_summary."sessions" is 'Distinct (user_pseudo_id, session_id) with an event here; events that lack either count none. Not additive over articles.';
comment on column gold.monthly_summary."user_engagements" is 'Number of user_engagement events.';
comment on column gold.monthly_summary."impressions" is 'Ad impressions.';
comment on column gold.monthly_summary."clicks" is 'Ad clicks.';
comment on column gold.monthly_summary."revenue_usd" is 'Revenue in US dollars, exact; corrections are negative.';
create table if not exists gold.daily_totals (
    "by" text not null,
    "date" date not null,
    "name" text not null,
    "count_rows" bigint not null,
    "pageviews" bigint,
    "sessions" bigint,
    "user_engagements" bigint,
    "impressions" bigint,
    "clicks" bigint,
    "revenue_usd" numeric
);
create unique index if not exists daily_totals_key on gold.daily_totals (by, date, md5(name));
comment on table gold.daily_totals is 'One row per day, and one per site and section of it: the rows of gold.daily_summary added up, also their sessions.';
comment on column gold.daily_totals."by" is 'What is added up: all, site, section.';
comment on column gold.daily_totals."date" is 'Local day.';
comment on column gold.daily_totals."name" is 'Of which site or section; empty for all.';
comment on column gold.daily_totals."count_rows" is 'Rows of gold.daily_summary that are added up; 0 where none is left.';
comment on column gold.daily_totals."pageviews" is 'Number of page_view events.';
comment on column gold.daily_totals."sessions" is 'Distinct (user_pseudo_id, session_id) with an event here; events that lack either count none. Not additive over articles.';
comment on column gold.daily_totals."user_engagements" is 'Number of user_engagement events.';
comment on column gold.daily_totals."impressions" is 'Ad impressions.';
comment on column gold.daily_totals."clicks" is 'Ad clicks.';
comment on column gold.daily_totals."revenue_usd" is 'Revenue in US dollars, exact; corrections are negative.';
create or replace function ops.has_rollups() returns boolean language sql stable as $function$
select array['site', 'title', 'author', 'section', 'pageviews', 'sessions', 'user_engagements', 'impressions', 'clicks', 'revenue_usd']::name[] <@ array(
    select attname from pg_attribute where attrelid = to_regclass('gold.daily_summary_rows') and attnum > 0 and not attisdropped
)
$function$;
comment on function ops.has_rollups is 'Whether gold.daily_summary_rows has all columns that gold.monthly_summary and gold.daily_totals add up.';
create or replace function ops.fill_rollups() returns void language plpgsql as $function$
begin
    perform pg_advisory_xact_lock(hashtext('gold.daily_summary'));  -- a refresh adds to them
    delete from gold.monthly_summary;
    delete from gold.daily_totals;
    if ops.has_rollups() then
        insert into gold.monthly_summary ("month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd")
        select date - (extract(day from date)::int - 1) as month, content_id, count(*) as count_days, max("site") as "site", max("title") as "title", max("author") as "author", max("section") as "section", sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from gold.daily_summary_rows group by 1, 2;
        insert into gold.daily_totals ("by", "date", "name", "count_rows", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd")
        select case when grouping("site") = 0 then 'site' when grouping("section") = 0 then 'section' else 'all' end as by, date, coalesce("site", "section", '') as name, sum("count_rows")::bigint as "count_rows", sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from (select date, coalesce("site", '(not set)') as "site", coalesce("section", '(not set)') as "section", count(*) as count_rows, sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from gold.daily_summary_rows group by 1, 2, 3) as parts group by grouping sets ((date), (date, "site"), (date, "section"));
    end if;
end $function$;
comment on function ops.fill_rollups is 'Fills gold.monthly_summary and gold.daily_totals anew.';
select ops.fill_rollups() where to_regclass('gold.daily_summary_rows') is not null
and not (exists (select from gold.monthly_summary) and exists (select from gold.daily_totals));
