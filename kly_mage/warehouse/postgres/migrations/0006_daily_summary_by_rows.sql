-- gold.daily_summary is a view over the table of its rows, of which a refresh computes those whose inputs have changed.
-- What the materialized view held becomes these rows; the next refresh, whose definition is another, looks at all of them.

do $$
begin
    if not exists (select from pg_class where oid = to_regclass('gold.daily_summary') and relkind = 'm') then
        return;
    end if;
    set local timezone to 'UTC';
    set local datestyle to 'ISO';
    set local search_path to pg_catalog, gold, pg_temp;
    update ops.watermarks set built_from = case
        when built_from is not distinct from (
            select string_agg(mart || ' ' || watermark, ', ' order by mart) from ops.watermarks
            where mart <> 'gold.daily_summary'
        ) then pg_get_viewdef('gold.daily_summary'::regclass)
    end
    where mart = 'gold.daily_summary';
    create table gold.daily_summary_rows as table gold.daily_summary;
    perform ops.set_aside(array['gold.daily_summary']);
    alter table gold.daily_summary_rows add constraint daily_summary_key primary key (date, content_id);
    create index daily_summary_article on gold.daily_summary_rows (content_id, date);
    create view gold.daily_summary as table gold.daily_summary_rows;
    perform ops.put_back();
    set local search_path to default;
    set local timezone to default;
    set local datestyle to default;
end $$;
