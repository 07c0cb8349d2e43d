create table if not exists gold.daily_summary_changes (date date, content_id text);
comment on table gold.daily_summary_changes is 'One row per change that gold.daily_summary has to take in: of an article on a day, of all articles of a day, of an article on all days, or of everything.';
comment on column gold.daily_summary_changes.date is 'Local day; NULL for all days.';
comment on column gold.daily_summary_changes.content_id is 'The article; NULL for all.';
create or replace function ops.note_ga4_daily_summary() returns trigger language plpgsql as $note$
begin
    if (select count(*) from (select from changed limit 10000 + 1) as first_ones) > 10000 then
        insert into gold.daily_summary_changes select distinct "event_date", null from changed;
    else
        insert into gold.daily_summary_changes select "event_date", content_id from changed;
    end if;
    return null;
end $note$;
comment on function ops.note_ga4_daily_summary is 'Notes which rows of gold.ga4_daily_summary a statement has changed.';
create or replace trigger note_insert after insert on gold.ga4_daily_summary
referencing new table as changed for each statement execute function ops.note_ga4_daily_summary();
create or replace trigger note_update after update on gold.ga4_daily_summary
referencing new table as changed for each statement execute function ops.note_ga4_daily_summary();
create or replace trigger note_delete after delete on gold.ga4_daily_summary
referencing old table as changed for each statement execute function ops.note_ga4_daily_summary();
create or replace function ops.note_gam_daily_summary() returns trigger language plpgsql as $note$
begin
    if (select count(*) from (select from changed limit 10000 + 1) as first_ones) > 10000 then
        insert into gold.daily_summary_changes select distinct "served_date", null from changed;
    else
        insert into gold.daily_summary_changes select "served_date", content_id from changed;
    end if;
    return null;
end $note$;
comment on function ops.note_gam_daily_summary is 'Notes which rows of gold.gam_daily_summary a statement has changed.';
create or replace trigger note_insert after insert on gold.gam_daily_summary
referencing new table as changed for each statement execute function ops.note_gam_daily_summary();
create or replace trigger note_update after update on gold.gam_daily_summary
referencing new table as changed for each statement execute function ops.note_gam_daily_summary();
create or replace trigger note_delete after delete on gold.gam_daily_summary
referencing old table as changed for each statement execute function ops.note_gam_daily_summary();
create or replace function ops.begin_daily_summary() returns void language plpgsql
set search_path to pg_catalog, gold, pg_temp as $begin$
declare
    days date[];
    articles text[];
begin
    perform pg_advisory_xact_lock(hashtext('gold.daily_summary'));  -- one refresh at a time; readers go on
    create temp table daily_summary_keys (date date, content_id text) on commit drop;
    create temp table daily_summary_articles on commit drop as select * from gold.articles limit 0;
    -- What is noted from here on is the next refresh's, also if this one happens to see it.
    with noted as (
        delete from gold.daily_summary_changes returning date, content_id
    )
    insert into daily_summary_keys select distinct date, content_id from noted;
    if not found then
        return;
    end if;
    if exists (select from daily_summary_keys where date is null and content_id is null) then
        update ops.watermarks set built_from = null where mart = 'gold.daily_summary';
    end if;
    days := array(select date from daily_summary_keys where content_id is null and date is not null);
    articles := array(select content_id from daily_summary_keys where date is null and content_id is not null);
    delete from daily_summary_keys
    where date is null or content_id is null or date = any(days);
    if to_regclass('gold.daily_summary_rows') is null then
        return;
    end if;
    if days <> '{}' then
        insert into daily_summary_keys
        select "event_date", content_id from gold.ga4_daily_summary where "event_date" = any(days)
        union
        select "served_date", content_id from gold.gam_daily_summary where "served_date" = any(days)
        union
        select date, content_id from gold.daily_summary_rows where date = any(days);
    end if;
    if articles <> '{}' then
        insert into daily_summary_keys
        select date, content_id from gold.daily_summary_rows where content_id = any(articles)
        except
        select date, content_id from daily_summary_keys;
    end if;
end $begin$;
comment on function ops.begin_daily_summary is
'Makes daily_summary_keys, the keys whose rows the block has to compute, and daily_summary_articles, still empty.';
create or replace function ops.finish_daily_summary() returns void language plpgsql
set search_path to pg_catalog, gold, pg_temp set random_page_cost to 1.1 as $finish$
declare
    definition text := pg_get_viewdef('daily_summary_definition'::regclass);
    built_from text := (select mart.built_from from ops.watermarks as mart where mart.mart = 'gold.daily_summary');
    columns text[] := array(
        select quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = 'daily_summary_definition'::regclass and attnum > 0 order by attnum
    );
    is_made boolean := columns = array(
        select quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = to_regclass('gold.daily_summary_rows') and attnum > 0 and not attisdropped order by attnum
    ) and exists (select from pg_class where oid = to_regclass('gold.daily_summary') and relkind = 'v');
    everything boolean := not is_made or definition is distinct from built_from;
    asked text[];
    names text;
    newer text;
    some_are_gone boolean;
begin
    if not everything and exists (select from daily_summary_keys) then
        -- Of what else a definition reads nobody notes the changes; and a window looks at more than one row.
        everything := definition ~* '\mover\M' or exists (
            select from pg_depend as depends
            inner join pg_rewrite as rule on rule.oid = depends.objid
            where
                depends.classid = 'pg_rewrite'::regclass
                and depends.refclassid = 'pg_class'::regclass
                and rule.ev_class = 'daily_summary_definition'::regclass
                and depends.refobjid <> all(array[
                    rule.ev_class, 'daily_summary_keys'::regclass::oid, 'daily_summary_articles'::regclass::oid
                ] || array['gold.articles', 'gold.ga4_daily_summary', 'gold.gam_daily_summary']::regclass[]::oid[])
        );
    end if;
    if everything then
        delete from daily_summary_keys;
        insert into daily_summary_keys
        select "event_date", content_id from gold.ga4_daily_summary
        union
        select "served_date", content_id from gold.gam_daily_summary;
    end if;
    analyze daily_summary_keys;  -- few keys are looked up, the history is not scanned for them
    asked := array(select distinct content_id from daily_summary_keys limit 10000 + 1);
    if cardinality(asked) > 10000 then
        insert into daily_summary_articles select * from gold.articles;
    else
        insert into daily_summary_articles select * from gold.articles where content_id = any(asked);
    end if;
    analyze daily_summary_articles;
    if not is_made then
        create table gold.daily_summary_new as select * from daily_summary_definition;
        alter table gold.daily_summary_new add constraint daily_summary_new_key primary key (date, content_id);
        create index daily_summary_new_article on gold.daily_summary_new (content_id, date);
        perform ops.set_aside(array['gold.daily_summary']);  -- grants, and what others have built on it
        drop table if exists gold.daily_summary_rows;
        alter table gold.daily_summary_new rename to daily_summary_rows;
        alter table gold.daily_summary_rows rename constraint daily_summary_new_key to daily_summary_key;
        alter index gold.daily_summary_new_article rename to daily_summary_article;
        perform ops.show_daily_summary();
        perform ops.put_back();
    elsif everything or exists (select from daily_summary_keys) then
        select string_agg(quote_ident(attname), ', '), string_agg('excluded.' || quote_ident(attname), ', ')
        into names, newer
        from pg_attribute where attrelid = 'gold.daily_summary_rows'::regclass and attnum > 0 and not attisdropped;
        execute format(
            'with new as materialized (select * from daily_summary_definition)%4$s, gone as ('
            '    delete from gold.daily_summary_rows as kept %3$s not exists ('
            '        select from new where new.date = kept.date and new.content_id = kept.content_id'
            '    ) returning 1'
            '), merged as ('
            '  insert into gold.daily_summary_rows as kept (%1$s) select %1$s from new'
            '  on conflict (date, content_id) do update set (%1$s) = row(%2$s) where (kept.*) is distinct from (excluded.*)'
            ') select exists (select from gone)',
            names, newer, case when everything then 'where' else
                'using daily_summary_keys as key where kept.date = key.date and kept.content_id = key.content_id and'
            end, case when not everything and ops.has_rollups() then $rollups$, before as (select kept.* from gold.daily_summary_rows as kept inner join daily_summary_keys as key on kept.date = key.date and kept.content_id = key.content_id), moves as (select 1 as sign, date, content_id, "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd" from new union all select -1, date, content_id, "site", "title", "author", "section", -"pageviews" as "pageviews", -"sessions" as "sessions", -"user_engagements" as "user_engagements", -"impressions" as "impressions", -"clicks" as "clicks", -"revenue_usd" as "revenue_usd" from before), moved as (select date - (extract(day from date)::int - 1) as month, content_id, sum(sign) as count_days, max("site") filter (where sign = 1) as "site", max("title") filter (where sign = 1) as "title", max("author") filter (where sign = 1) as "author", max("section") filter (where sign = 1) as "section", max("site") filter (where sign = -1) as "was site", max("title") filter (where sign = -1) as "was title", max("author") filter (where sign = -1) as "was author", max("section") filter (where sign = -1) as "was section", sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from moves group by 1, 2), months as (insert into gold.monthly_summary as kept ("month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd") select "month", "content_id", "count_days", "site", "title", "author", "section", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd" from moved where "count_days" <> 0 or "pageviews" <> 0 or "sessions" <> 0 or "user_engagements" <> 0 or "impressions" <> 0 or "clicks" <> 0 or "revenue_usd" <> 0 or "site" is distinct from "was site" or "title" is distinct from "was title" or "author" is distinct from "was author" or "section" is distinct from "was section" on conflict ("month", "content_id") do update set "site" = coalesce(excluded."site", kept."site"), "title" = coalesce(excluded."title", kept."title"), "author" = coalesce(excluded."author", kept."author"), "section" = coalesce(excluded."section", kept."section"), "count_days" = kept."count_days" + excluded."count_days", "pageviews" = kept."pageviews" + excluded."pageviews", "sessions" = kept."sessions" + excluded."sessions", "user_engagements" = kept."user_engagements" + excluded."user_engagements", "impressions" = kept."impressions" + excluded."impressions", "clicks" = kept."clicks" + excluded."clicks", "revenue_usd" = trim_scale(kept."revenue_usd" + excluded."revenue_usd")), parts as (select date, coalesce("site", '(not set)') as "site", coalesce("section", '(not set)') as "section", sum(sign) as count_rows, sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from moves group by 1, 2, 3), of_days as (select case when grouping("site") = 0 then 'site' when grouping("section") = 0 then 'section' else 'all' end as by, date, coalesce("site", "section", '') as name, sum("count_rows")::bigint as "count_rows", sum("pageviews")::bigint as "pageviews", sum("sessions")::bigint as "sessions", sum("user_engagements")::bigint as "user_engagements", sum("impressions")::bigint as "impressions", sum("clicks")::bigint as "clicks", trim_scale(sum("revenue_usd")) as "revenue_usd" from parts group by grouping sets ((date), (date, "site"), (date, "section"))), totals as (insert into gold.daily_totals as kept ("by", "date", "name", "count_rows", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd") select "by", "date", "name", "count_rows", "pageviews", "sessions", "user_engagements", "impressions", "clicks", "revenue_usd" from of_days where "count_rows" <> 0 or "pageviews" <> 0 or "sessions" <> 0 or "user_engagements" <> 0 or "impressions" <> 0 or "clicks" <> 0 or "revenue_usd" <> 0 on conflict (by, date, md5(name)) do update set "count_rows" = kept."count_rows" + excluded."count_rows", "pageviews" = kept."pageviews" + excluded."pageviews", "sessions" = kept."sessions" + excluded."sessions", "user_engagements" = kept."user_engagements" + excluded."user_engagements", "impressions" = kept."impressions" + excluded."impressions", "clicks" = kept."clicks" + excluded."clicks", "revenue_usd" = trim_scale(kept."revenue_usd" + excluded."revenue_usd"))$rollups$ end
        ) into some_are_gone;
    end if;
    if everything then
        perform ops.fill_rollups();
    elsif some_are_gone then
        delete from gold.monthly_summary as kept using daily_summary_keys as key where kept.count_days = 0 and kept.month = key.date - (extract(day from key.date)::int - 1) and kept.content_id = key.content_id;
    end if;
    if everything or exists (select from daily_summary_keys) then
        insert into ops.watermarks (mart, refreshed_at, built_from)
        values ('gold.daily_summary', clock_timestamp(), definition)
        on conflict (mart) do update set refreshed_at = excluded.refreshed_at, built_from = excluded.built_from;
    end if;
    drop view daily_summary_definition;
    drop table daily_summary_keys, daily_summary_articles;
end $finish$;
comment on function ops.finish_daily_summary is 'Merges the rows of daily_summary_definition into gold.daily_summary.';
create or replace function ops.show_daily_summary() returns void language plpgsql as $show$
declare
    described record;
begin
    if to_regclass('gold.daily_summary_rows') is null then
        return;
    end if;
    create or replace view gold.daily_summary as
    select kept.*, case when greatest((kept.date + 4), ((date_trunc('month', kept.date::timestamp) + interval '1 month')::date + 1)) <= (now() at time zone (select value from ops.settings where name = 'timezone'))::date then 'final' else 'provisional' end as "finality"
    from gold.daily_summary_rows as kept;
    comment on view gold.daily_summary is 'One row per date and article: audience and ad revenue side by side.';
    comment on table gold.daily_summary_rows is 'One row per date and article: what gold.daily_summary shows, merged by its refreshes.';
    for described in
        select attname, told.text from (values
            ('date', 'Local day.'),
            ('content_id', 'The article; (not set) for events and ads without one.'),
            ('site', 'Site; (not set) if the CMS does not know the article.'),
            ('title', 'Headline, latest version.'),
            ('author', 'Author.'),
            ('section', 'Section of the site.'),
            ('publish_timestamp', 'When the article was published; NULL if unknown.'),
            ('finality', 'final, or provisional while a source of the day may deliver it again; see gold.finality.'),
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
        if described.attname <> 'finality' then
            execute format('comment on column gold.daily_summary_rows.%I is %L', described.attname, described.text);
        end if;
    end loop;
end $show$;
comment on function ops.show_daily_summary is 'Makes gold.daily_summary from its rows and says whether they are final; with comments.';
select ops.show_daily_summary();
