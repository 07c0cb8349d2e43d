-- What hangs on a table or view that is made anew: grants and comments on it, views of others that read it, their owners,
-- grants, comments and indexes. ops.set_aside drops the views and remembers all of it; its caller makes the ones it has named
-- anew; ops.put_back makes the others and grants again, in the same transaction: everything stands afterwards, or nothing was
-- changed. Safe to run again.

create schema if not exists ops;

create or replace function ops.set_aside(names text[]) returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $function$
declare
    dropped record;
begin
    create temp table if not exists set_aside (
        number int generated always as identity, relation text, owner text, statement text
    ) on commit drop;
    create temp table hanging on commit drop as
    with recursive above (oid, depth) as (
        select to_regclass(name)::oid, 0 from unnest(names) as given (name) where to_regclass(name) is not null
        union
        select rule.ev_class, above.depth + 1
        from above
        inner join pg_depend as depends
            on depends.refclassid = 'pg_class'::regclass and depends.refobjid = above.oid
            and depends.classid = 'pg_rewrite'::regclass
        inner join pg_rewrite as rule on rule.oid = depends.objid and rule.ev_class <> above.oid
    )
    select oid, max(depth) as depth, min(depth) > 0 as is_others from above group by oid;

    insert into set_aside (relation, owner, statement)
    with hung as (
        select
            hanging.depth, hanging.is_others, class.oid, class.relkind, class.reloptions, class.relacl,
            class.oid::regclass::text as name, pg_get_userbyid(class.relowner) as owner,
            case class.relkind when 'm' then 'materialized view' else 'view' end as kind
        from hanging inner join pg_class as class using (oid)
        where class.relkind in ('v', 'm')
    ), steps as (
        select depth, oid, name, owner, 1 as step, 0 as part, format(
            'create %s %s%s as %s', kind, name, ' with (' || array_to_string(reloptions, ', ') || ')',
            rtrim(pg_get_viewdef(oid), '; ')
        ) as statement
        from hung where is_others
        union all
        select depth, oid, name, owner, 2, 0, format('alter %s %s owner to %I', kind, name, owner)
        from hung where is_others and owner <> current_user
        union all
        select depth, hung.oid, name, owner, 3, 0, pg_get_indexdef(indexrelid)
        from hung inner join pg_index on indrelid = hung.oid where is_others
        union all
        select depth, hung.oid, name, owner, 4, 0, pg_get_triggerdef(pg_trigger.oid)
        from hung inner join pg_trigger on tgrelid = hung.oid and not tgisinternal where is_others
        union all
        select depth, hung.oid, name, owner, 5, objsubid, format(
            'comment on %s is %L',
            case objsubid when 0 then kind || ' ' || name else format('column %s.%I', name, attname) end, description
        )
        from hung
        inner join pg_description on objoid = hung.oid and classoid = 'pg_class'::regclass
        left join pg_attribute on attrelid = hung.oid and attnum = objsubid and objsubid > 0
        where is_others
        union all
        select depth, oid, name, owner, 6, 0, format(
            'grant %s on %s to %s%s', privilege_type, name,
            case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
            case when is_grantable then ' with grant option' end
        )
        from hung cross join lateral aclexplode(relacl)
        where pg_get_userbyid(grantee) <> owner
        union all
        -- A column that is gone has nothing to be granted any more.
        select depth, oid, name, owner, 7, attnum, format(
            'do $do$ begin if exists (select from pg_attribute where attrelid = %L::regclass and attname = %L)'
            ' then grant %s (%I) on %s to %s%s; end if; end $do$',
            name, attname, privilege_type, attname, name,
            case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
            case when is_grantable then ' with grant option' end
        )
        from hung
        inner join pg_attribute on attrelid = hung.oid and attnum > 0 and attacl is not null
        cross join lateral aclexplode(attacl)
        where pg_get_userbyid(grantee) <> owner
    )
    select name, owner, statement from steps order by depth, oid, step, part;

    for dropped in
        select class.oid::regclass::text as name, class.relkind = 'm' as is_materialized
        from hanging inner join pg_class as class using (oid)
        where class.relkind in ('v', 'm')
        order by hanging.depth desc
    loop
        execute format('drop %s view %s', case when dropped.is_materialized then 'materialized' end, dropped.name);
    end loop;
    drop table hanging;
end $function$;
comment on function ops.set_aside is 'Drops these views and all that read them or these tables; ops.put_back makes it again.';

create or replace function ops.put_back() returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $function$
declare
    step record;
begin
    for step in select * from set_aside order by number loop
        begin
            execute step.statement;
        exception when others then
            raise exception 'the view % of % reads what is about to change, and cannot be made again: % (%)',
                step.relation, step.owner, sqlerrm, 'change or drop that view first; nothing was changed'
            using errcode = 'dependent_objects_still_exist';
        end;
    end loop;
    drop table set_aside;
end $function$;
comment on function ops.put_back is 'Makes again what ops.set_aside has dropped and its caller has not, with owners, grants and comments.';
