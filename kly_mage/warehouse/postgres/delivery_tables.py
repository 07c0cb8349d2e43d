"""What a source that a mart adds up has beside its table: a way to the rows of a day, and what was corrected of them.

The SQL block of the mart is one text, whatever its source declares: it adds the rows of the view
``bronze.<source>_to_correct`` with their signs, and there are none where nothing can be corrected.
"""

from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.declared.marts import Mart
from kly_mage.warehouse.postgres.counting import added, gone, log
from kly_mage.warehouse.postgres.text import comment, identifier, literal
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES


def corrections_ddl(source: Source) -> list[str]:
    """The log of a source that ``may_be_corrected``, and its comments; safe to run again.

    Where a hash leaves columns out, it has the versions themselves: bronze has but the first of each row.
    """
    table, columns = log(source), list(_COLUMNS)
    if source.version_columns:
        columns += [
            (identifier(column.name), POSTGRES_TYPES[column.kind], f'{column.description} In this version.')
            for column in (*source.columns, UNDECLARED)
        ]
        columns += _PLACE
    return [
        f'create table if not exists {table} (',
        ',\n'.join(f'    {name} {kind}' for name, kind, _ in columns),
        ');',
        *(f'alter table {table} add column if not exists {name} {kind};' for name, kind, _ in columns[len(_COLUMNS) :]),
        *(
            f'create index if not exists {identifier(f"{source.name}_corrections{column}_idx")} on {table} ({column});'
            for column in ('_hashrow', '_updated_at', '_partition_date')
        ),
        comment('table', table, f'One row per change of what counts of bronze.{source.name}, by what was delivered later.'),
        *(comment('column', f'{table}.{name}', text) for name, _, text in columns),
    ]


def changes_ddl(source: Source, mart: Mart) -> list[str]:
    """The functions and the view that the mart's SQL block asks, and their comments; safe to run again."""
    names = ('of_days', 'to_correct', 'gone', 'added')
    of_days, view, is_gone, is_added = (f'bronze.{identifier(f"{source.name}_{name}")}' for name in names)
    bronze = f'bronze.{identifier(source.name)}'
    nothing = f'from {bronze} as stored\nwhere false'
    rows_gone = f'(select _hashrow, _partition_date as day, null::text as last_why {nothing})'
    waiting = f'_updated_at > (select watermark from ops.watermarks where mart = {literal(mart.table)})'
    columns = ', '.join(f'stored.{identifier(name)}' for name in (*source.names, '_partition_date'))
    changes = f'select {columns}, 1::smallint as sign, _updated_at\n{nothing}'
    if source.may_be_corrected:
        rows_gone = gone(source)
        changes = f'select {columns}, sign, _updated_at\nfrom {log(source)} as stored\nwhere {waiting}'
    if source.may_be_corrected and not source.version_columns:
        changes = (
            f'with corrected as (select * from {log(source)} where {waiting})\n'
            f'select {columns}, corrected.sign, corrected._updated_at\nfrom corrected\n'
            f'inner join {of_days}(array(select distinct _partition_date from corrected)) as stored'
            ' on corrected._hashrow = stored._hashrow'
        )
    return [
        f'create or replace view {is_gone} as\nselect _hashrow, day as _partition_date, last_why\nfrom {rows_gone} as gone;',
        comment(
            'view', is_gone, f'One row per row of bronze.{source.name} that does not count, by what was delivered later.'
        ),
        *(comment('column', f'{is_gone}.{name}', text) for name, text in _OF_GONE),
        f'create or replace view {is_added} as\nselect *\nfrom {added(source)} as added;',
        comment(
            'view', is_added, f'One row per version that counts in place of one that bronze.{source.name} has of its row.'
        ),
        *(comment('column', f'{is_added}.{identifier(c.name)}', c.description) for c in source.columns),
        *(comment('column', f'{is_added}.{name}', text) for name, text in _OF_ADDED),
        _FUNCTIONS.format(
            bronze=bronze,
            registry=f'bronze.{identifier(f"{source.name}_hashrow")}',
            loaded_at=f'bronze.{identifier(f"{source.name}_loaded_at")}',
            of_days=of_days,
            counted=f'bronze.{identifier(f"{source.name}_counted")}',
            gone=is_gone,
            added=_ADDED.format(bronze=bronze, added=is_added) if source.version_columns else '',
        ),
        f'create or replace view {view} as\n{changes};',
        comment('view', view, f'One row per change of what counts that {mart.table} has not taken in yet.'),
        *(comment('column', f'{view}.{identifier(c.name)}', c.description) for c in source.columns),
        *(comment('column', f'{view}.{name}', text) for name, text in _OF_CHANGES),
    ]


_COLUMNS = (
    ('_hashrow', 'uuid not null', 'The row in bronze.'),
    ('sign', 'smallint not null check (sign in (-1, 1))', '-1: it counts no longer; 1: it counts now, or again.'),
    (
        'why',
        'text not null',
        'superseded: a newer delivery has another version of it; withdrawn: it has none; restated: this version has come to'
        ' count; completed: it has a value in a column declared later; returned.',
    ),
    ('_partition_date', 'date', 'Local day of the row.'),
    ('_file_day', 'date', 'The day of the export whose files brought the row.'),
    ('_updated_at', 'timestamptz not null', 'Ingestion time of the delivery that changed it: refreshes go by it.'),
    ('_load_id', 'bigint not null', 'The load that read that delivery.'),
)
_PLACE = (
    ('_delivered_at', 'timestamptz', 'Of a version that came to count: when its file was delivered.'),
    ('_file', 'text', 'The file it stands in.'),
    ('_line', 'bigint', 'The line where it begins, from 1 (the header).'),
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
    where gone._hashrow is null{added}
$function$;
comment on function {counted} is 'The rows of these local days that count, in the version that does.';"""
# As rows of bronze: in columns that are not declared they say nothing.
_ADDED = """
    union all
    select version.*
    from {added} as added cross join lateral jsonb_populate_record(null::{bronze}, to_jsonb(added)) as version
    where added._partition_date = any(days)"""
_OF_GONE = (
    ('_hashrow', 'The row.'),
    ('_partition_date', 'Its local day.'),
    ('last_why', 'superseded: a newer delivery has another version of it; withdrawn: it has none.'),
)
_OF_ADDED = (
    ('_hashrow', 'The hash it shares with the row.'),
    ('_partition_date', 'Its local day.'),
    ('_updated_at', 'Ingestion time of the delivery that changed it last.'),
    ('_load_id', 'The load that read that delivery.'),
)
_OF_CHANGES = (
    ('_partition_date', 'Local day of the row.'),
    ('sign', '-1: it counts no longer; 1: it counts now.'),
    ('_updated_at', 'Ingestion time of the delivery that changed it.'),
)
