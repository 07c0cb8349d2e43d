-- The place of a row in the order of delivery is when its file was delivered, the file's name, and the line. It was one
-- instant: the start of the file's day, a minute later for each file of that day that lay before it, a microsecond per line;
-- of an undated file when it was changed, and its lines. The ledger knows which files lay there: what it does not tell apart
-- keeps its instant, with no file and line 0.

create temporary table dated_files on commit drop as
with calendar as (
    select
        to_char(days.day, 'YYYYMMDD') as digits,
        days.day at time zone settings.value as start
    from generate_series(timestamp '1970-01-01', timestamp '2099-12-31', interval '1 day') as days (day)
    cross join ops.settings
    where settings.name = 'timezone'
)

select
    loads.source,
    loads.load_id,
    told.file,
    calendar.start,
    calendar.start + (
        row_number() over (partition by loads.load_id, calendar.start order by convert_to(told.file, 'UTF8')) - 1
    ) * interval '1 minute' as placed
from ops.loads
cross join jsonb_to_recordset(loads.files) as told (file text)
inner join calendar
    on substring(split_part(told.file, '/', -1) from '^' || loads.source || '_([0-9]{8})') = calendar.digits;

do $$
declare
    of_source record;
begin
    for of_source in
        select
            format('bronze.%I', source.relname) as bronze,
            format('bronze.%I', source.relname || '_hashrow') as registry,
            source.relname as name,
            to_regclass(format('bronze.%I', source.relname || '_conflicts')) as conflicts,
            to_regclass(format('bronze.%I', source.relname || '_restatements')) as restatements
        from pg_class as source
        inner join pg_attribute as attribute
            on to_regclass(format('bronze.%I', source.relname || '_hashrow')) = attribute.attrelid
        where
            source.relnamespace = 'bronze'::regnamespace
            and source.relkind = 'p'
            and attribute.attname = '_delivered_at'
            and not attribute.attisdropped
    loop
        execute format(
            'alter table %1$s add _file text collate "C" not null default '''', add _line bigint not null default 0;'
            'alter table %1$s alter _file drop default, alter _line drop default',
            of_source.registry
        );
        if of_source.restatements is not null then
            execute format(
                'update %1$s as known set _file = restated._file, _line = restated._line'
                ' from %2$s as restated where (restated._hashrow, restated._delivered_at) = (known._hashrow, known._delivered_at)',
                of_source.registry, of_source.restatements
            );
        end if;
        -- The file that the load of the row had in that place; of a row that was delivered again since, the last load.
        execute format(
            'update %1$s as known set _file = found.file, _line = '
            '     (extract(epoch from known._delivered_at - found.placed) * 1000000)::bigint'
            ' from %2$s as stored inner join dated_files as found on stored._load_id = found.load_id'
            ' where known._hashrow = stored._hashrow and known._file = '''''
            '     and date_trunc(''minute'', known._delivered_at) = found.placed;'
            'update %1$s as known set _file = found.file, _line = '
            '     (extract(epoch from known._delivered_at - found.placed) * 1000000)::bigint'
            ' from (select distinct on (placed) * from dated_files where source = %3$L order by placed, load_id desc) as found'
            ' where known._file = '''' and date_trunc(''minute'', known._delivered_at) = found.placed',
            of_source.registry, of_source.bronze, of_source.name
        );
        execute format(
            'update %1$s as known set _delivered_at = found.start'
            ' from (select distinct file, start from dated_files where source = %2$L) as found where known._file = found.file',
            of_source.registry, of_source.name
        );
        if of_source.conflicts is not null then
            execute format(
                'update %1$s as known set _delivered_at = coalesce(('
                '     select found.start from dated_files as found where found.file = known._file limit 1'
                ' ), _delivered_at - _line * interval ''1 microsecond'');'
                'update %2$s as known set _delivered_at = coalesce(('
                '     select found.start from dated_files as found where found.file = known._file limit 1'
                ' ), _delivered_at - _line * interval ''1 microsecond'')',
                of_source.conflicts, of_source.restatements
            );
        end if;
    end loop;
end $$;
