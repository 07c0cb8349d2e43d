"""The tables in BigQuery, from the declarations: partitioned, clustered, described. Safe to run again."""

from kly_mage.declared import SOURCES
from kly_mage.declared.base import UNDECLARED, Column, Source
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart, joined_measures, mart_of
from kly_mage.warehouse.bigquery import counting, restatements
from kly_mage.warehouse.bigquery.at_work import AT_WORK
from kly_mage.warehouse.bigquery.contents import FILE_DAYS
from kly_mage.warehouse.bigquery.costs import COSTS
from kly_mage.warehouse.bigquery.file_checks import FILE_CHECKS
from kly_mage.warehouse.bigquery.persons import PERSONS_FORGOTTEN
from kly_mage.warehouse.bigquery.reconciliation import view
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.bigquery.unchanged import KEPT

TYPES = {
    'text': 'string',
    'id': 'string',
    'timestamp': 'timestamp',
    'count': 'int64',
    'money': 'bignumeric',  # numeric has nine digits behind the point, money has twelve
    'fingerprint': 'string',
}
RATIO_DIGITS = 6  # behind the point, of a ratio of gold.daily_summary
COUNTS = (
    *('read', 'distinct', 'new', 'already_loaded', 'duplicate', 'rejected', 'conflicting', 'restated', 'superseded'),
    *('outside', 'forgotten', 'unchanged'),
)
Columns = list[tuple[str, str, str]]  # name, type, description
_UNITS = {'count': 'int64', 'USD': 'bignumeric'}
_SYSTEM: Columns = [
    ('_partition_date', 'date', "Local day of the row's own timestamp; NULL if it has none."),
    ('_hashrow', 'string not null', "The row's hash over canonical values, 32 hexadecimal digits."),
    ('_created_at', 'timestamp not null', 'When the row was inserted.'),
    ('_updated_at', 'timestamp not null', "Ingestion time: never behind the marts' watermarks, so refreshes go by it."),
    ('_load_id', 'int64 not null', 'The load that inserted the row, see ops.loads.'),
]
_PLACE: Columns = [
    ('_delivered_at', 'timestamp', 'When its file was delivered.'),
    ('_file', 'string', 'The file it stands in.'),
    ('_line', 'int64', 'The line where it begins, from 1 (the header).'),
]
_FILE_DAY = ('_file_day', 'date', 'The day of the export whose files brought the row; NULL for one of other files.')

_DECIDED: Columns = [
    ('accepted_at', 'timestamp', 'When somebody said that this needs no further look; NULL while it waits.'),
    ('accepted_by', 'string', 'Who.'),
    ('accepted_because', 'string', 'Why.'),
]


def everything(location: str, timezone: str) -> str:
    """The statements that make all data sets, tables and views that are not there yet."""
    return f'{tables(location)}\n{views(timezone)}'


def tables(location: str) -> str:
    """Those that make data sets and tables."""
    where = literal(location)
    sets = [f'create schema if not exists {name} options (location = {where});' for name in ('bronze', 'gold', 'ops')]
    sets.append(f'create schema if not exists staging options (location = {where}, default_table_expiration_days = 1);')
    sources = [statement for source in SOURCES.values() for statement in _source(source)]
    marts = [statement for mart in MARTS for statement in _mart(mart)]
    return '\n'.join([*sets, *_ops(), *sources, *marts, *_joined()])


def views(timezone: str) -> str:
    """Those that make views, for which the tables have to be there with all columns."""
    return '\n'.join([_summary(timezone), ARTICLES, *restatements.views(timezone), view()])


def bronze_columns(source: Source) -> list[str]:
    """The columns of ``bronze.<source>`` that are declared or ours, those that a load fills itself left out."""
    further = [UNDECLARED.name] if source.version_columns else []
    return [*source.names, '_partition_date', '_hashrow', *further, *(['_file_day'] if source.holds_whole_days else [])]


def _source(source: Source) -> list[str]:
    name, versions = source.name, [_column(column) for column in source.version_columns]
    key = ('_hashrow', 'string not null', 'Hash of a row in bronze.')
    day = ('_utc_day', 'date', 'The UTC day in front of the hash; NULL for a row without one.')
    known: Columns = [key, day, ('_updated_at', 'timestamp not null', 'Leads to the row: its _updated_at.')]
    whole = [_FILE_DAY] if source.holds_whole_days else []
    known += [*whole, _SYSTEM[0]] if whole else []
    known += [*_PLACE, *versions] if source.versioned or versions else []
    lock: Columns = [
        ('holder', 'string', 'The load or refresh that has changed it last.'),
        ('stamp', 'timestamp', 'The last _updated_at given to a load.'),
        ('watermark', 'timestamp', 'Up to which _updated_at the mart of the source has counted.'),
    ]
    own = [_column(column, ' not null' if column.required else '') for column in source.columns]
    # A job may change 4,000 partitions: an archive that comes in one load, whatever its days, has more than so many days.
    by = 'date_trunc(_utc_day, month)' if source.any_day else '_utc_day'
    found = [
        _table(
            f'bronze.{name}',
            source.grain + ' Append-only.',
            [*own, *_SYSTEM, *([_column(UNDECLARED)] if versions else []), *whole],
            'timestamp_trunc(_updated_at, day)',
            '_partition_date, _hashrow',
        ),
        _table(f'bronze.{name}_hashrow', f'One row per hash in bronze.{name}.', known, by, '_hashrow'),
        *_lock(
            f'{name}_lock', f'One row: every load and refresh of {name} changes it first, so one is at work at a time.', lock
        ),
    ]
    if mart_of(name) or source.may_be_corrected:
        found.append(_log(source))
    if versions:
        counted = [(f'counted_{n}', kind, f'{text} In the version that counts.') for n, kind, text in versions]
        further = [key, *(_column(c) for c in (*source.columns, UNDECLARED)), *counted, _SYSTEM[0], *_PLACE]
        further += [
            ('_undeclared_values', 'string', 'What it says in undeclared columns, as JSON.'),
            *_SYSTEM[3:],
            *_DECIDED,
            ('is_restatement', 'bool', 'Whether the newest version counts in its place, or it does: nobody has to decide.'),
        ]
        grain = f'One row per further version of a row of bronze.{name}: same hash, something else.'
        found.append(_table(f'bronze.{name}_conflicts', grain, further, None, '_hashrow'))
    return found


def _log(source: Source) -> str:
    """The log of what was corrected, with the versions themselves."""
    change: Columns = [
        ('_hashrow', 'string not null', 'The row in bronze.'),
        ('sign', 'int64 not null', '-1: it counts no longer; 1: it counts now, or again.'),
        (
            'why',
            'string not null',
            'superseded: a newer delivery has another version of it; withdrawn: it has none; restated: this version has'
            ' come to count; returned.',
        ),
        ('_partition_date', 'date', 'Local day of the row.'),
        _FILE_DAY,
        ('_updated_at', 'timestamp not null', 'Ingestion time of the delivery that changed it: refreshes go by it.'),
        ('_load_id', 'int64 not null', 'The load that read that delivery.'),
    ]
    version = [*map(_column, source.columns), *([_column(UNDECLARED), *_PLACE] if source.version_columns else [])]
    return _table(
        counting.log(source),
        f'One row per change of what counts of bronze.{source.name}, by what was delivered later.',
        [*change, *version],
        'timestamp_trunc(_updated_at, day)',
        '_partition_date, _hashrow',
    )


def _mart(mart: Mart) -> list[str]:
    stamp = ('_updated_at', 'timestamp not null', 'When a refresh last changed the row.')
    columns: Columns = [
        (mart.day.name, 'date not null', mart.day.description),
        *((key.name, 'string not null', key.description) for key in mart.by),
        *((measure.name, f'{_UNITS[measure.unit]} not null', measure.description) for measure in mart.measures),
        stamp,
    ]
    by = ', '.join(key.name for key in mart.by)
    found = [_table(mart.table, mart.grain, columns, mart.day.name, by)]
    for counted in mart.registries:
        key: Columns = [columns[0], (counted.key, 'string not null', 'The first 128 bits of a SHA-256 over the session.')]
        found.append(_table(f'gold.{counted.registry}', counted.grain, key, mart.day.name, counted.key))
    return found


def _joined() -> list[str]:
    kinds = {'publish_timestamp': 'timestamp'}
    table, day = DAILY_SUMMARY, DAILY_SUMMARY.day
    columns: Columns = [(day.name, 'date not null', day.description)]
    columns += [(key.name, 'string not null', key.description) for key in table.by]
    columns += [(each.name, kinds.get(each.name, 'string'), each.description) for each in table.attributes]
    columns += [(measure.name, _UNITS[measure.unit], measure.description) for measure in joined_measures()]
    columns += [(ratio.name, f'numeric(35, {RATIO_DIGITS})', ratio.description) for ratio in table.ratios]
    lock: Columns = [('holder', 'string', 'What has changed it last.'), ('articles', 'timestamp', 'The articles it knows.')]
    days: Columns = [
        ('day', 'date not null', 'A day of gold.daily_summary.'),
        ('touched_at', 'timestamp not null', 'When a mart was refreshed that has changed it.'),
    ]
    return [
        _table(
            f'{table.table}_rows',
            f'{table.grain} See the view {table.table}.',
            columns,
            day.name,
            ', '.join(key.name for key in table.by),
        ),
        _table('ops.touched_days', 'One row per day that gold.daily_summary has to be built anew for.', days, None, None),
        *_lock(f'{table.name}_lock', f'One row: every refresh of {table.table} changes it first.', lock),
    ]


def _summary(timezone: str) -> str:
    """The view over its rows, which says what the clock decides."""
    sources = (SOURCES[mart.source] for mart in MARTS if mart.name in DAILY_SUMMARY.marts)
    ends = [restatements.final_on(source.finality, 'kept.date') for source in sources if source.finality]
    state = f"if(greatest({', '.join(ends)}) <= current_date({literal(timezone)}), 'final', 'provisional')"
    return (
        f'create or replace view {DAILY_SUMMARY.table} options (description = {literal(DAILY_SUMMARY.grain)}) as\n'
        f'select kept.*, {state if ends else "cast(null as string)"} as {identifier(DAILY_SUMMARY.finality.name)}\n'
        f'from {DAILY_SUMMARY.table}_rows as kept;'
    )


def _ops() -> list[str]:
    text, number, instant = 'string', 'int64', 'timestamp'
    load = [('source', text, 'The source.'), ('load_id', number, 'The load; unique for its source.')]
    counts = [(f'rows_{name}', number, f'Rows {name.replace("_", " ")}.') for name in COUNTS]
    by_day = [each for each in counts if each[0] not in ('rows_distinct', 'rows_outside')]
    run = ('pipeline_run', text, 'The run of the pipeline, in Mage.')
    later: Columns = [
        ('rows_removed', number, 'Of the new rows, those that were taken out again.'),
        ('rejects_accepted', number, 'Of the rejected rows, those that somebody had accepted.'),
        ('conflicts_accepted', number, 'Of the conflicting rows, those that somebody had accepted.'),
    ]
    loads: Columns = [
        *load,
        ('start_day', 'date', 'First day asked for.'),
        ('end_day', 'date', 'Last day asked for.'),
        ('status', text, 'done or failed.'),
        ('started_by', text, 'Who asked.'),
        run,
        ('finished_at', instant, 'When it was done.'),
        *counts,
        ('money_read', 'bignumeric', 'Money of the usable rows.'),
        ('rows_replaced', number, 'Rows of bronze whose place another version takes.'),
        ('rows_withdrawn', number, 'Rows of bronze that the newest delivery of their day lacks.'),
        ('rows_returned', number, 'Rows of bronze that count again.'),
        ('error', text, 'Why it failed.'),
        ('left_out', text, 'Why files were left out, by their names, as JSON.'),
        *later,
    ]
    deliveries: Columns = [
        ('source', text, 'The source.'),
        ('file_day', 'date', 'The day of the export.'),
        ('day', 'date', 'Local day of its rows.'),
        ('kind', text, 'How the names of its files begin.'),
        ('named_day', 'date', 'The day in their names.'),
        ('load_id', number, 'The load that has read it.'),
    ]
    files: Columns = [
        *load,
        ('file', text, 'Its name.'),
        ('size', number, 'Bytes.'),
        ('modified_at', instant, 'When it was changed last, as its rows were read.'),
    ]
    outside: Columns = [
        *load,
        ('file', text, 'Its name.'),
        ('day', 'date', 'Day of the rows.'),
        ('rows_outside', number, 'How many.'),
        ('money', 'bignumeric', 'Their money.'),
    ]
    broken: Columns = [
        *load,
        ('rule', text, 'What should hold, as the declaration of the source says it.'),
        ('rows_broken', number, 'New rows for which it does not hold.'),
    ]
    of_file = ('file_day', 'date', "The day in its file's name, if there is one.")
    rejects: Columns = [
        ('source', text, 'The source.'),
        ('reject_id', text, 'Tells it from others: a hash over file, line and reason.'),
        ('file', text, 'The file.'),
        ('line', number, 'The line; 0 for a whole file.'),
        ('column_name', text, 'The column.'),
        ('value', text, 'What stands there.'),
        ('reason', text, 'What is wrong with it.'),
        ('raw', text, 'The row as JSON.'),
        ('day', 'date', 'Local day of the row, if it has one.'),
        of_file,
        ('load_id', number, 'The load that met it first.'),
        ('resolved_at', instant, 'Since when it is no more.'),
        ('taken_at', instant, 'When somebody said that it is a whole row, though its line has no end.'),
        *_DECIDED,
    ]
    fixed: Columns = [('name', text, 'What is fixed.'), ('value', text, 'As what.')]
    return [
        _table('ops.settings', 'What the first load has fixed, and what has made the tables.', fixed, None, None),
        _table('ops.loads', 'One row per load.', loads, None, 'source, load_id'),
        _table('ops.load_days', 'One row per load and day of its rows.', [*load, ('day', 'date', 'Local day.'), *by_day],
               None, 'source, load_id'),
        _table('ops.load_files', 'One row per load and file that it has read.', files, None, 'source, file'),
        _table(
            'ops.deliveries', 'One row per delivery that came into force for the rows of a day; the newest is.',
            deliveries, None, 'source, day',
        ),
        _table('ops.at_work', 'One row per load that was begun, and per minute that it was at work.',
               [*load, *AT_WORK], None, 'source, load_id'),
        _table('ops.file_days', 'What a load has loaded of each file and day, and whether the file holds that still.',
               FILE_DAYS, None, 'source, file, day'),
        _table('ops.kept', 'What a load has kept of a file and day, so that it is not read again.', KEPT, None, 'file'),
        _table('ops.accepted_days', 'One row per day that is out of the ordinary and, somebody has said, right.', [
            ('source', text, 'The source.'),
            ('finding', text, 'volume: far from the days around; freshness: nothing is newer.'),
            ('day', 'date', 'The day; of freshness the newest.'),
            ('found', number, 'Distinct usable rows it had then; farther off it is asked about anew. NULL for any number.'),
            ('usual', number, 'Rows of the days around it, then.'),
            *_DECIDED,
        ], None, None),
        _table('ops.forgotten', 'One row per source and person who was forgotten: loads leave out what comes of them.',
               PERSONS_FORGOTTEN, None, None),
        _table('ops.costs', 'One row per load, refresh and check: what it has read.', COSTS, None, None),
        _table('ops.load_outside', 'Rows of days that their file may not hold.', outside, None, 'source, load_id'),
        _table('ops.load_rules', 'One row per load and rule that rows it inserted break.', broken, None, 'source, load_id'),
        _table('bronze.rejects', 'One row per row that cannot be used.', rejects, None, 'source, reject_id'),
        _table('ops.file_checks', 'One row per source and day: what the last reconcile found.', FILE_CHECKS, None, None),
    ]  # fmt: skip


def _lock(name: str, grain: str, columns: Columns) -> list[str]:
    # With its row in one statement: of two first commands at once, an INSERT each would make two rows.
    row = ', '.join(["''", *(f'cast(null as {kind})' for _, kind, _ in columns[1:])])
    return [_table(f'ops.{name}', grain, columns, None, None).removesuffix(';') + f'\nas select {row};']


def _table(name: str, grain: str, columns: Columns, partition: str | None, cluster: str | None) -> str:
    lines = ',\n'.join(f'    {identifier(n)} {kind} options (description = {literal(text)})' for n, kind, text in columns)
    by = f'\npartition by {partition}' if partition else ''
    by += f'\ncluster by {cluster}' if cluster else ''
    told = f"options (description = {literal(grain)}, labels = [('tool', 'kly_mage')])"
    return f'create table if not exists {name} (\n{lines}\n){by}\n{told};'


def _column(column: Column, after: str = '') -> tuple[str, str, str]:
    return column.name, TYPES[column.kind] + after, column.description


ARTICLES = """\
create or replace view gold.articles options (description = 'One row per article: the version delivered last.') as
select
    article.content_id,
    article.site,
    article.title,
    article.author,
    article.section,
    article.publish_timestamp,
    article._updated_at
from bronze.cms_articles as article
inner join bronze.cms_articles_hashrow as delivery
    on article._hashrow = delivery._hashrow
-- The order of delivery: by file, its name in byte order, and line; see warehouse/postgres/articles.sql.
where true
qualify row_number() over (
    partition by article.content_id
    order by
        delivery._delivered_at desc, delivery._file desc, delivery._line desc,
        article._updated_at desc, article._hashrow asc
) = 1;"""
