-- What restatements have changed stands in the log of corrections: two rows per change, the version before with -1 and the newer
-- one with 1. The table of restatements goes, and the log has no key: a load may change one row more than once.

do $$
declare
    of_log record;
    of_source record;
    added record;
begin
    for of_log in
        select
            conrelid::regclass as name,
            conname
        from pg_constraint
        inner join pg_class on pg_constraint.conrelid = pg_class.oid
        where contype = 'p' and relnamespace = 'bronze'::regnamespace and relname like '%\_corrections'
    loop
        execute format('alter table %s drop constraint %I', of_log.name, of_log.conname);
    end loop;

    for of_source in
        select
            restatements.oid,
            restatements.oid::regclass as name,
            format('bronze.%I', left(restatements.relname, -12) || 'corrections') as log,
            format('bronze.%I', left(restatements.relname, -12) || 'hashrow') as registry,
            format('bronze.%I', left(restatements.relname, -12) || 'to_correct') as waiting,
            array_agg(quote_ident(own.attname)) as names,
            string_agg(quote_ident(own.attname), ', ' order by own.attnum) as own,
            string_agg(
                case
                    when own.attname in ('_delivered_at', '_file', '_line') then 'null'
                    else quote_ident(coalesce(was.attname, own.attname))
                end, ', ' order by own.attnum
            ) as was
        from pg_class as restatements
        inner join pg_attribute as own on restatements.oid = own.attrelid and own.attnum > 0 and not own.attisdropped
        left join pg_attribute as was
            on own.attrelid = was.attrelid and was.attname = 'counted_' || own.attname and not was.attisdropped
        where
            restatements.relnamespace = 'bronze'::regnamespace
            and restatements.relkind = 'r'
            and restatements.relname like '%\_restatements'
            and not exists (
                select from pg_attribute as value
                where value.attrelid = own.attrelid and not value.attisdropped and own.attname = 'counted_' || value.attname
            )
        group by restatements.oid, restatements.relname
    loop
        execute format(
            'create table if not exists %s (_hashrow uuid not null, sign smallint not null check (sign in (-1, 1)),'
            ' why text not null, _partition_date date, _file_day date, _updated_at timestamptz not null,'
            ' _load_id bigint not null)',
            of_source.log
        );
        -- Where the registry has no values any more, each version is a row of bronze by now, and what is here has had its time.
        if exists (
            select from pg_attribute as kept
            inner join pg_attribute as counted on counted.attname = 'counted_' || kept.attname
            where
                kept.attrelid = to_regclass(of_source.registry) and not kept.attisdropped
                and counted.attrelid = of_source.oid and not counted.attisdropped
        ) then
            for added in
                select
                    own.attname as name,
                    format_type(own.atttypid, own.atttypmod) as type
                from pg_attribute as own
                where
                    own.attrelid = of_source.oid and own.attnum > 0 and not own.attisdropped
                    and quote_ident(own.attname) = any(of_source.names)
            loop
                execute format('alter table %s add column if not exists %I %s', of_source.log, added.name, added.type);
            end loop;
            execute format(
                'insert into %1$s (%2$s, sign, why)'
                ' select %3$s, -1, ''superseded'' from %4$s union all select %2$s, 1, ''restated'' from %4$s',
                of_source.log, of_source.own, of_source.was, of_source.name
            );
        end if;
        perform ops.set_aside(array[
            of_source.waiting, 'gold.changes', 'gold.restatements', 'gold.finality'
        ] || array(
            select format('gold.%I', relname) from pg_class
            where relnamespace = 'gold'::regnamespace and relkind = 'v' and relname like '%\_restatements'
        ));
        execute format('drop table %s', of_source.name);
    end loop;
end $$;
