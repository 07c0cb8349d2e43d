"""What a source that a mart adds up has beside its table: a way to the rows of a day, and what has been corrected of them.

The SQL block of the mart is one text, whatever its source declares: it adds the rows of the view
``bronze.<source>_to_correct`` with their signs, and there are none where nothing can be corrected.
"""

from kly_mage.declared.base import Source
from kly_mage.declared.marts import Mart
from kly_mage.warehouse.postgres.text import comment, identifier, literal


def corrections_ddl(source: Source) -> list[str]:
    """The table of a source with ``complete``, and its comments; safe to run again."""
    table = f'bronze.{identifier(f"{source.name}_corrections")}'
    return [
        f'create table if not exists {table} (',
        ',\n'.join(f'    {name} {kind}' for name, kind, _ in _COLUMNS) + ',',
        '    primary key (_hashrow, _load_id)',
        ');',
        *(
            f'create index if not exists {identifier(f"{source.name}_corrections{column}_idx")} on {table} ({column});'
            for column in ('_updated_at', '_partition_date')
        ),
        comment(
            'table', table, f'One row per change of what counts of bronze.{source.name}, by a newer delivery of its day.'
        ),
        *(comment('column', f'{table}.{name}', text) for name, _, text in _COLUMNS),
    ]


def changes_ddl(source: Source, mart: Mart) -> list[str]:
    """The functions and the view that the mart's SQL block asks, and their comments; safe to run again."""
    of_days, view, gone = (f'bronze.{identifier(f"{source.name}_{name}")}' for name in ('of_days', 'to_correct', 'gone'))
    bronze, corrections = f'bronze.{identifier(source.name)}', f'bronze.{identifier(f"{source.name}_corrections")}'
    nothing = f'from {bronze} as stored\nwhere false'
    rows_gone = f'select _hashrow, _partition_date, null::text as last_why\n{nothing}'
    waiting = f'_updated_at > (select watermark from ops.watermarks where mart = {literal(mart.table)})'
    columns = ', '.join(f'stored.{identifier(name)}' for name in (*source.names, '_partition_date'))
    if source.may_be_corrected:
        rows_gone = _GONE.format(corrections=corrections)
        changes = (
            f'with corrected as (select * from {corrections} where {waiting})\n'
            f'select {columns}, corrected.sign, corrected._updated_at\nfrom corrected\n'
            f'inner join {of_days}(array(select distinct _partition_date from corrected)) as stored'
            ' on corrected._hashrow = stored._hashrow'
        )
    elif source.value_columns:
        changes = f'select {columns}, sign, _updated_at\nfrom {restated(source)} as stored\nwhere {waiting}'
    else:
        changes = f'select {columns}, 1::smallint as sign, _updated_at\n{nothing}'
    return [
        f'create or replace view {gone} as\n{rows_gone};',
        comment('view', gone, f'One row per row of bronze.{source.name} that does not count, by what was delivered later.'),
        *(comment('column', f'{gone}.{name}', text) for name, text in _OF_GONE),
        _FUNCTIONS.format(
            bronze=bronze,
            registry=f'bronze.{identifier(f"{source.name}_hashrow")}',
            loaded_at=f'bronze.{identifier(f"{source.name}_loaded_at")}',
            of_days=of_days,
            counted=f'bronze.{identifier(f"{source.name}_counted")}',
            gone=gone,
        ),
        f'create or replace view {view} as\n{changes};',
        comment('view', view, f'One row per change of what counts that {mart.table} has not taken in yet.'),
        *(comment('column', f'{view}.{identifier(c.name)}', c.description) for c in source.columns),
        *(comment('column', f'{view}.{name}', text) for name, text in _OF_CHANGES),
    ]


def restated(source: Source) -> str:
    """The relation of what restatements have changed: versions that came to count with sign 1, those before them with -1."""
    before = {column.name: f'counted_{column.name}' for column in source.value_columns}
    table = f'bronze.{identifier(f"{source.name}_restatements")}'
    parts = []
    for sign, names in (('1', {}), ('-1', before)):
        columns = (f'{identifier(names.get(name, name))} as {identifier(name)}' for name in source.names)
        parts.append(
            f'select {", ".join(columns)}, _partition_date, {sign}::smallint as sign, _updated_at, _load_id from {table}'
        )
    return f'(\n    {parts[0]}\n    union all\n    {parts[1]}\n)'


_COLUMNS = (
    ('_hashrow', 'uuid not null', 'The row in bronze.'),
    ('sign', 'smallint not null check (sign in (-1, 1))', '-1: it counts no longer; 1: it counts again.'),
    ('why', 'text not null', 'superseded: the newest delivery has another version of it; withdrawn: it has none; returned.'),
    ('_partition_date', 'date', 'Local day of the row.'),
    ('_file_day', 'date', 'The day of the export whose files brought the row.'),
    ('_updated_at', 'timestamptz not null', 'Ingestion time of the delivery that changed it: refreshes go by it.'),
    ('_load_id', 'bigint not null', 'The load that read that delivery.'),
)
# The registry has the hashes of a day together, and with them the stamps of the loads that brought the rows: so the rows of
# a day are found without a look at the history. A plan for these very stamps leaves the other partitions out.
_FUNCTIONS = """\
create or replace function {loaded_at}(days date[]) returns timestamptz[] language sql stable
set enable_seqscan = off set random_page_cost = 1.1 as $function$
    with local as (
        select day::timestamp at time zone (select value from ops.settings where name = 'timezone') as start
        from unnest(days) as day
    ),
    utc as (
        select distinct to_char(day, 'YYYYMMDD') as digits
        from local, generate_series(
            date_trunc('day', start at time zone 'UTC'), (start + interval '25 hours') at time zone 'UTC', interval '1 day'
        ) as day
    )
    select coalesce(array_agg(distinct known._updated_at), '{{}}')
    from utc
    inner join {registry} as known
        on known._hashrow between rpad(utc.digits, 32, '0')::uuid and rpad(utc.digits, 32, 'f')::uuid
$function$;
comment on function {loaded_at} is 'When the rows of these local days came in: the stamps of the loads that brought them.';
create or replace function {of_days}(days date[]) returns setof {bronze} language plpgsql stable rows 100000 as $function$
begin
    return query execute 'select * from {bronze} where _updated_at = any($1) and _partition_date = any($2)'
    using {loaded_at}(days), days;
end $function$;
comment on function {of_days} is 'All rows of these local days, found without a look at the others.';
create or replace function {counted}(days date[]) returns setof {bronze} language sql stable rows 100000 as $function$
    select stored.*
    from {of_days}(days) as stored
    left join (select _hashrow from {gone} where _partition_date = any(days)) as gone on stored._hashrow = gone._hashrow
    where gone._hashrow is null
$function$;
comment on function {counted} is 'The rows of these local days that count: without what a newer delivery has corrected.';"""
_GONE = """\
select _hashrow, _partition_date, (array_agg(why order by _load_id desc))[1] as last_why
from {corrections}
group by _hashrow, _partition_date
having sum(sign) < 0"""
_OF_GONE = (
    ('_hashrow', 'The row.'),
    ('_partition_date', 'Its local day.'),
    ('last_why', 'superseded: the newest delivery has another version of it; withdrawn: it has none.'),
)
_OF_CHANGES = (
    ('_partition_date', 'Local day of the row.'),
    ('sign', '-1: it counts no longer; 1: it counts now.'),
    ('_updated_at', 'Ingestion time of the delivery that changed it.'),
)
