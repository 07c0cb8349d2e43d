"""What ``DAILY_SUMMARY`` consists of, from its declaration: a table of rows, a view over it, and notes of what to compute.

The marts note by triggers which of their rows a statement has changed, and loads of articles which articles. The SQL block
has the definition; ``ops.begin_daily_summary`` gives it the keys to compute, ``ops.finish_daily_summary`` merges the rows.
"""

from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart, joined_measures
from kly_mage.warehouse.postgres.finality_view import final_on
from kly_mage.warehouse.postgres.rollups import emptied, following
from kly_mage.warehouse.postgres.text import comment, identifier, literal

ROWS, CHANGES = f'{DAILY_SUMMARY.table}_rows', f'{DAILY_SUMMARY.table}_changes'
KEYS = f'{DAILY_SUMMARY.name}_keys'
MOST_KEYS = 10_000  # that a statement notes one by one: beyond, it notes days, or that everything has changed
MOST_ARTICLES = 10_000  # that a refresh looks up one by one: beyond, it works out the latest version of all
_ARTICLE = 'content_id'


def joined_ddl() -> str:
    """Everything about it but its rows, which the block makes; safe to run again."""
    return '\n'.join(
        [
            f'create table if not exists {CHANGES} (date date, content_id text);',
            comment(
                'table',
                CHANGES,
                f'One row per change that {DAILY_SUMMARY.table} has to take in: of an article on a day, of all articles of'
                ' a day, of an article on all days, or of everything.',
            ),
            comment('column', f'{CHANGES}.date', 'Local day; NULL for all days.'),
            comment('column', f'{CHANGES}.content_id', 'The article; NULL for all.'),
            *(_notes(mart) for mart in MARTS),
            _BEGIN.format(changes=CHANGES, rows=ROWS, lock=literal(DAILY_SUMMARY.table), of_days=_keys('any(days)')),
            _FINISH.format(
                view=DAILY_SUMMARY.table,
                rows=ROWS,
                everything=_keys(),
                most=MOST_ARTICLES,
                rollups=following('new', KEYS),
                emptied=emptied(KEYS),
                noted=', '.join(literal(table) for table in ('gold.articles', *(mart.table for mart in MARTS))),
            ),
            _SHOW.format(
                view=DAILY_SUMMARY.table,
                rows=ROWS,
                finality=identifier(DAILY_SUMMARY.finality.name),
                finality_name=literal(DAILY_SUMMARY.finality.name),
                state=_state(),
                grain=literal(DAILY_SUMMARY.grain),
                texts=',\n'.join(f'            ({literal(name)}, {literal(text)})' for name, text in _columns()),
            ),
        ]
    )


def _columns() -> list[tuple[str, str]]:
    keys = (DAILY_SUMMARY.day, *DAILY_SUMMARY.by, *DAILY_SUMMARY.attributes, DAILY_SUMMARY.finality)
    numbers = [(measure.name, measure.description) for measure in joined_measures()]
    numbers += [(ratio.name, ratio.description) for ratio in DAILY_SUMMARY.ratios]
    return [(key.name, key.description) for key in keys] + numbers


def _keys(days: str | None = None) -> str:
    """The keys of all marts that have one row per day and article."""
    return '\n        union\n'.join(
        f'        select {identifier(mart.day.name)}, {_ARTICLE} from {mart.table}'
        + (f' where {identifier(mart.day.name)} = {days}' if days else '')
        for mart in MARTS
        if _is_by_article(mart)
    )


def _is_by_article(mart: Mart) -> bool:
    return [key.name for key in mart.by] == [_ARTICLE]


def _state() -> str:
    """Final is a day when the last of its sources is; the clock says so, not a refresh."""
    sources = [SOURCES[mart.source] for mart in MARTS if mart.name in DAILY_SUMMARY.marts]
    ends = [final_on(source.finality, 'kept.date') for source in sources if source.finality]
    if not ends:
        return 'null::text'
    today = "(now() at time zone (select value from ops.settings where name = 'timezone'))::date"
    return f"case when greatest({', '.join(ends)}) <= {today} then 'final' else 'provisional' end"


def _notes(mart: Mart) -> str:
    day = identifier(mart.day.name)
    one = f'{day}, {_ARTICLE}' if _is_by_article(mart) else f'distinct {day}, null'
    return _NOTES.format(mart=mart.name, table=mart.table, changes=CHANGES, day=day, one=one, most=MOST_KEYS)


# A statement that changes more than that is no late batch: its days are computed whole, which costs less than a note each.
_NOTES = """\
create or replace function ops.note_{mart}() returns trigger language plpgsql as $note$
begin
    if (select count(*) from (select from changed limit {most} + 1) as first_ones) > {most} then
        insert into {changes} select distinct {day}, null from changed;
    else
        insert into {changes} select {one} from changed;
    end if;
    return null;
end $note$;
comment on function ops.note_{mart} is 'Notes which rows of {table} a statement has changed.';
create or replace trigger note_insert after insert on {table}
referencing new table as changed for each statement execute function ops.note_{mart}();
create or replace trigger note_update after update on {table}
referencing new table as changed for each statement execute function ops.note_{mart}();
create or replace trigger note_delete after delete on {table}
referencing old table as changed for each statement execute function ops.note_{mart}();"""

_BEGIN = """\
create or replace function ops.begin_daily_summary() returns void language plpgsql
set search_path to pg_catalog, gold, pg_temp as $begin$
declare
    days date[];
    articles text[];
begin
    perform pg_advisory_xact_lock(hashtext({lock}));  -- one refresh at a time; readers go on
    create temp table daily_summary_keys (date date, content_id text) on commit drop;
    create temp table daily_summary_articles on commit drop as select * from gold.articles limit 0;
    -- What is noted from here on is the next refresh's, also if this one happens to see it.
    with noted as (
        delete from {changes} returning date, content_id
    )
    insert into daily_summary_keys select distinct date, content_id from noted;
    if not found then
        return;
    end if;
    if exists (select from daily_summary_keys where date is null and content_id is null) then
        update ops.watermarks set built_from = null where mart = {lock};
    end if;
    days := array(select date from daily_summary_keys where content_id is null and date is not null);
    articles := array(select content_id from daily_summary_keys where date is null and content_id is not null);
    delete from daily_summary_keys
    where date is null or content_id is null or date = any(days);
    if to_regclass('{rows}') is null then
        return;
    end if;
    if days <> '{{}}' then
        insert into daily_summary_keys
{of_days}
        union
        select date, content_id from {rows} where date = any(days);
    end if;
    if articles <> '{{}}' then
        insert into daily_summary_keys
        select date, content_id from {rows} where content_id = any(articles)
        except
        select date, content_id from daily_summary_keys;
    end if;
end $begin$;
comment on function ops.begin_daily_summary is
'Makes daily_summary_keys, the keys whose rows the block has to compute, and daily_summary_articles, still empty.';"""

_FINISH = """\
create or replace function ops.finish_daily_summary() returns void language plpgsql
set search_path to pg_catalog, gold, pg_temp set random_page_cost to 1.1 as $finish$
declare
    definition text := pg_get_viewdef('daily_summary_definition'::regclass);
    built_from text := (select mart.built_from from ops.watermarks as mart where mart.mart = '{view}');
    columns text[] := array(
        select quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = 'daily_summary_definition'::regclass and attnum > 0 order by attnum
    );
    is_made boolean := columns = array(
        select quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = to_regclass('{rows}') and attnum > 0 and not attisdropped order by attnum
    ) and exists (select from pg_class where oid = to_regclass('{view}') and relkind = 'v');
    everything boolean := not is_made or definition is distinct from built_from;
    asked text[];
    names text;
    newer text;
    some_are_gone boolean;
begin
    if not everything and exists (select from daily_summary_keys) then
        -- Of what else a definition reads nobody notes the changes; and a window looks at more than one row.
        everything := definition ~* '\\mover\\M' or exists (
            select from pg_depend as depends
            inner join pg_rewrite as rule on rule.oid = depends.objid
            where
                depends.classid = 'pg_rewrite'::regclass
                and depends.refclassid = 'pg_class'::regclass
                and rule.ev_class = 'daily_summary_definition'::regclass
                and depends.refobjid <> all(array[
                    rule.ev_class, 'daily_summary_keys'::regclass::oid, 'daily_summary_articles'::regclass::oid
                ] || array[{noted}]::regclass[]::oid[])
        );
    end if;
    if everything then
        delete from daily_summary_keys;
        insert into daily_summary_keys
{everything};
    end if;
    analyze daily_summary_keys;  -- few keys are looked up, the history is not scanned for them
    asked := array(select distinct content_id from daily_summary_keys limit {most} + 1);
    if cardinality(asked) > {most} then
        insert into daily_summary_articles select * from gold.articles;
    else
        insert into daily_summary_articles select * from gold.articles where content_id = any(asked);
    end if;
    analyze daily_summary_articles;
    if not is_made then
        create table gold.daily_summary_new as select * from daily_summary_definition;
        alter table gold.daily_summary_new add constraint daily_summary_new_key primary key (date, content_id);
        create index daily_summary_new_article on gold.daily_summary_new (content_id, date);
        perform ops.set_aside(array['{view}']);  -- grants, and what others have built on it
        drop table if exists {rows};
        alter table gold.daily_summary_new rename to daily_summary_rows;
        alter table {rows} rename constraint daily_summary_new_key to daily_summary_key;
        alter index gold.daily_summary_new_article rename to daily_summary_article;
        perform ops.show_daily_summary();
        perform ops.put_back();
    elsif everything or exists (select from daily_summary_keys) then
        select string_agg(quote_ident(attname), ', '), string_agg('excluded.' || quote_ident(attname), ', ')
        into names, newer
        from pg_attribute where attrelid = '{rows}'::regclass and attnum > 0 and not attisdropped;
        execute format(
            'with new as materialized (select * from daily_summary_definition)%4$s, gone as ('
            '    delete from {rows} as kept %3$s not exists ('
            '        select from new where new.date = kept.date and new.content_id = kept.content_id'
            '    ) returning 1'
            '), merged as ('
            '  insert into {rows} as kept (%1$s) select %1$s from new'
            '  on conflict (date, content_id) do update set (%1$s) = row(%2$s) where (kept.*) is distinct from (excluded.*)'
            ') select exists (select from gone)',
            names, newer, case when everything then 'where' else
                'using daily_summary_keys as key where kept.date = key.date and kept.content_id = key.content_id and'
            end, case when not everything and ops.has_rollups() then $rollups$, {rollups}$rollups$ end
        ) into some_are_gone;
    end if;
    if everything then
        perform ops.fill_rollups();
    elsif some_are_gone then
        {emptied};
    end if;
    if everything or exists (select from daily_summary_keys) then
        insert into ops.watermarks (mart, refreshed_at, built_from)
        values ('{view}', clock_timestamp(), definition)
        on conflict (mart) do update set refreshed_at = excluded.refreshed_at, built_from = excluded.built_from;
    end if;
    drop view daily_summary_definition;
    drop table daily_summary_keys, daily_summary_articles;
end $finish$;
comment on function ops.finish_daily_summary is 'Merges the rows of daily_summary_definition into {view}.';"""

# A column that the block adds and nobody has declared yet is no error, it only has no description.
_SHOW = """\
create or replace function ops.show_daily_summary() returns void language plpgsql as $show$
declare
    described record;
begin
    if to_regclass('{rows}') is null then
        return;
    end if;
    create or replace view {view} as
    select kept.*, {state} as {finality}
    from {rows} as kept;
    comment on view {view} is {grain};
    comment on table {rows} is 'One row per date and article: what {view} shows, merged by its refreshes.';
    for described in
        select attname, told.text from (values
{texts}
        ) as told (name, text)
        inner join pg_attribute on attrelid = '{view}'::regclass and attname = told.name and attnum > 0
    loop
        execute format('comment on column {view}.%I is %L', described.attname, described.text);
        if described.attname <> {finality_name} then
            execute format('comment on column {rows}.%I is %L', described.attname, described.text);
        end if;
    end loop;
end $show$;
comment on function ops.show_daily_summary is 'Makes {view} from its rows and says whether they are final; with comments.';
select ops.show_daily_summary();"""
