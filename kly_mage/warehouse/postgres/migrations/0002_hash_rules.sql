-- What the hashes in bronze are over is kept per source. A database of before tells it by its columns: of what the hash
-- leaves out, the table of conflicts has the numbers that count beside its own.

create table ops.hash_rules (
    source text primary key,
    columns text[],
    version text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null
);

insert into ops.hash_rules (source, columns, version, applied_by)
select
    source.relname,
    (
        select array_agg(attribute.attname::text order by attribute.attname)
        from pg_attribute as attribute
        where
            attribute.attrelid = to_regclass('bronze.' || quote_ident(source.relname || '_conflicts'))
            and attribute.attnum > 0
            and not attribute.attisdropped
            and attribute.attname !~ '^(_|counted_)'
            and not exists (
                select from pg_attribute as counted
                where
                    attribute.attrelid = counted.attrelid
                    and 'counted_' || attribute.attname = counted.attname
            )
    ) as columns,
    'v1' as version,
    '1.0.0' as applied_by
from pg_class as source
where
    source.relnamespace = to_regnamespace('bronze')
    and source.relkind = 'p'
    and to_regclass('bronze.' || quote_ident(source.relname || '_hashrow')) is not null;
