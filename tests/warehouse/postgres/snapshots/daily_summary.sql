create or replace function ops.describe_daily_summary() returns void language plpgsql as $describe$
declare
    described record;
begin
    if not exists (select from pg_class where oid = to_regclass('gold.daily_summary') and relkind = 'm') then
        return;
    end if;
    comment on materialized view gold.daily_summary is 'One row per date and article: audience and ad revenue side by side.';
    for described in
        select attname, told.text from (values
            ('date', 'Local day.'),
            ('content_id', 'The article; (not set) for events and ads without one.'),
            ('site', 'Site; (not set) if the CMS does not know the article.'),
            ('title', 'Headline, latest version.'),
            ('author', 'Author.'),
            ('section', 'Section of the site.'),
            ('publish_timestamp', 'When the article was published; NULL if unknown.'),
            ('pageviews', 'Number of page_view events.'),
            ('sessions', 'Distinct (user_pseudo_id, session_id) with an event here; events that lack either count none. Not additive over articles.'),
            ('user_engagements', 'Number of user_engagement events.'),
            ('impressions', 'Ad impressions.'),
            ('clicks', 'Ad clicks.'),
            ('revenue_usd', 'Revenue in US dollars, exact; corrections are negative.'),
            ('page_rpm_usd', 'Revenue per 1,000 pageviews; NULL without pageviews.'),
            ('ecpm_usd', 'Revenue per 1,000 impressions; NULL without impressions.'),
            ('ctr', 'Clicks per impression; NULL without impressions.')
        ) as told (name, text)
        inner join pg_attribute on attrelid = 'gold.daily_summary'::regclass and attname = told.name and attnum > 0
    loop
        execute format('comment on column gold.daily_summary.%I is %L', described.attname, described.text);
    end loop;
end $describe$;
comment on function ops.describe_daily_summary is 'Gives gold.daily_summary and its columns their comments, as they are declared.';
select ops.describe_daily_summary();
