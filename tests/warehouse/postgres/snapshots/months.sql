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
create or replace function ops.has_months() returns boolean language sql stable as $function$
select array['site', 'title', 'author', 'section', 'pageviews', 'sessions', 'user_engagements', 'impressions', 'clicks', 'revenue_usd']::name[] <@ array(
    select attname from pg_attribute where attrelid = to_regclass('gold.daily_summary_rows') and attnum > 0 and not attisdropped
)
$function$;
comment on function ops.has_months is 'Whether gold.daily_summary_rows has all columns that gold.monthly_summary adds up.';
create or replace function ops.fill_months() returns void language plpgsql as $function$
begin
    perform pg_advisory_xact_lock(hashtext('gold.daily_summary'));  -- a refresh adds to them
    delete from gold.monthly_summary;
    if ops.has_months() then
        insert into gold.monthly_summary ("month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd")
        select date - (extract(day from date)::int - 1) as month, content_id, count(*) as count_days, max("site") as "site", max("title") as "title", max("author") as "author", max("section") as "section", sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from gold.daily_summary_rows group by 1, 2;
    end if;
end $function$;
comment on function ops.fill_months is 'Fills gold.monthly_summary anew.';
select ops.fill_months() where to_regclass('gold.daily_summary_rows') is not null and not exists (select from gold.monthly_summary);
