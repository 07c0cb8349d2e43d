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
create or replace function ops.add_up_months(everything boolean) returns void language plpgsql
set random_page_cost to 1.1 as $function$
declare
    is_whole boolean := array['site', 'title', 'author', 'section', 'pageviews', 'sessions', 'user_engagements', 'impressions', 'clicks', 'revenue_usd']::name[] <@ array(
        select attname from pg_attribute where attrelid = to_regclass('gold.daily_summary_rows') and attnum > 0 and not attisdropped
    );
begin
    if everything or not is_whole then
        delete from gold.monthly_summary;
    end if;
    if is_whole and everything then
        insert into gold.monthly_summary ("month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd")
        select kept.date - (extract(day from kept.date)::int - 1) as month, kept.content_id, count(*) as count_days, max(kept."site") as "site", max(kept."title") as "title", max(kept."author") as "author", max(kept."section") as "section", sum(kept."pageviews")::bigint as "pageviews", sum(kept."sessions")::bigint as "sessions", sum(kept."user_engagements")::bigint as "user_engagements", sum(kept."impressions")::bigint as "impressions", sum(kept."clicks")::bigint as "clicks", trim_scale(sum(kept."revenue_usd")) as "revenue_usd" from gold.daily_summary_rows as kept group by 1, 2;
    elsif is_whole then
        with touched as materialized (
            select distinct content_id, date - (extract(day from date)::int - 1) as month from daily_summary_keys
        ),
        new as materialized (
            select kept.date - (extract(day from kept.date)::int - 1) as month, kept.content_id, count(*) as count_days, max(kept."site") as "site", max(kept."title") as "title", max(kept."author") as "author", max(kept."section") as "section", sum(kept."pageviews")::bigint as "pageviews", sum(kept."sessions")::bigint as "sessions", sum(kept."user_engagements")::bigint as "user_engagements", sum(kept."impressions")::bigint as "impressions", sum(kept."clicks")::bigint as "clicks", trim_scale(sum(kept."revenue_usd")) as "revenue_usd" from touched inner join gold.daily_summary_rows as kept on kept.content_id = touched.content_id and kept.date >= touched.month and kept.date < touched.month + interval '1 month' group by 1, 2
        ),
        gone as (
            delete from gold.monthly_summary as kept using touched
            where kept.month = touched.month and kept.content_id = touched.content_id and not exists (
                select from new where new.month = kept.month and new.content_id = kept.content_id
            )
        )
        insert into gold.monthly_summary as kept ("month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd")
        select "month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd" from new
        on conflict (month, content_id) do update set ("count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd") = row(excluded."count_days", excluded."site", excluded."title", excluded."author", excluded."section", excluded."pageviews", excluded."sessions", excluded."user_engagements", excluded."impressions", excluded."clicks", excluded."revenue_usd")
        where (kept."count_days", kept."site", kept."title", kept."author", kept."section", kept."pageviews", kept."sessions", kept."user_engagements", kept."impressions", kept."clicks", kept."revenue_usd") is distinct from (excluded."count_days", excluded."site", excluded."title", excluded."author", excluded."section", excluded."pageviews", excluded."sessions", excluded."user_engagements", excluded."impressions", excluded."clicks", excluded."revenue_usd");
    end if;
end $function$;
comment on function ops.add_up_months is 'Has gold.monthly_summary follow the rows that a refresh computes, or all of them.';
select ops.add_up_months(true) where to_regclass('gold.daily_summary_rows') is not null and not exists (select from gold.monthly_summary);
