"""What an account tells: counts, and what explains them, each a query over the tables that ``account_script.py`` makes."""

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, Mart, Measure, mart_of
from kly_mage.warehouse.account import LINE_BITS, NAMED, is_few
from kly_mage.warehouse.bigquery.counting import counted, earlier, log
from kly_mage.warehouse.bigquery.persons import FORGOTTEN
from kly_mage.warehouse.bigquery.text import cells, identifier, literal
from kly_mage.warehouse.bigquery.truth import per_row
from kly_mage.warehouse.bigquery.turns import wrong

LINE = (1 << LINE_BITS) - 1
_COMPARED_ROWS = 10_000  # of conflicting rows so many are looked at for what tells them apart
_SECOND = "place = 'conflict' and is_second"  # further versions behind another one of their file
HELD = (
    "left join (select distinct _hashrow from versions where place in ('bronze', 'changed')) as held"
    ' on stored._hashrow = held._hashrow\n'
)


def within(day: str, window: Window | None) -> str:
    """The condition that a day is in the window; rows without a day always are."""
    return f'({day} between @start and @end or {day} is null)' if window else 'true'


def came_in(table: str, source: Source, window: Window | None) -> str:
    """The condition that a row of bronze came in with those of a few days."""
    return f'{table}._updated_at between v_first and v_last' if is_few(source, window) else 'true'


def same(source: Source, one: str, other: str) -> str:
    """The condition that two relations have the same version of a row."""
    names = [identifier(column.name) for column in source.version_columns]
    return ' and '.join(f'{one}.{name} is not distinct from {other}.{name}' for name in names) or 'true'


def told(source: Source, window: Window | None) -> list[tuple[str, str]]:
    """The queries of an account, each with the kind of what it tells in ``cells``."""
    mart, own = mart_of(source.name), literal(source.name)
    measures = mart.additive if mart else ()
    found = [*_delivered(measures), *_stored(measures)]
    if source.person_column:  # of tables: of files the client has counted them
        sums, rows = (
            [f'sum({identifier(m.name)} * copies)' for m in measures],
            f'delivered where reject = {literal(FORGOTTEN)}',
        )
        found += [('delivered', _by_day(place, 'sum(copies)', sums, rows)) for place in ('read', 'forgotten')]
    found += [
        ('rejects', f'select {cells("day", "place", "count(*)", "sum(amount)")} from fresh_rejects group by day, place'),
        ('late', _lateness(source)),
        ('asked for', _ASKED_FOR.format(cells=cells('day'), source=own)),
        ('missing', _MISSING.format(cells=cells(*_OF_FILE), bits=LINE_BITS, line=LINE)),
        ('damaged', _DAMAGED.format(cells=_amiss('place', 'day'), limit=NAMED)),
        ('unsourced', _unsourced(source, window)),
        ('files', _FILES.format(cells=cells('file', 'size', 'modified_at'), source=own)),
        ('stale rejects', _stale_rejects(source, window)),
    ]
    if mart:
        moving = [f'bronze.{source.name}', *([log(source)] if source.may_be_corrected else [])]
        found += [('uncounted', f'select {cells("count(*)")} from {each} where _updated_at > v_counted') for each in moving]
        found += _gold(mart, window)
    if source.version_columns:
        found.append(('one file', _one_file(source)))
    if source.applies_restatements:
        found.append(('newest', _not_the_newest(source, window)))
    elif source.version_columns:
        found.append(('versions', _not_the_first(source)))
    if source.may_be_corrected:
        found.append(('stored', _earlier(source, measures, window)))
    if source.versioned and not window:
        found.append(('versions', _not_the_latest(source)))
    return found


def _delivered(measures: tuple[Measure, ...]) -> list[tuple[str, str]]:
    """What the files hold, and where it is; both are counted for themselves, so that a row in no place shows."""
    copies, each, again = (
        [f'sum({identifier(m.name)}{times})' for m in measures] for times in (' * copies', '', ' * (copies - 1)')
    )
    older = 'delivered where reject is null and is_superseded'
    return [
        ('delivered', _by_day('read', 'sum(copies)', copies, 'fresh')),
        *(('delivered', _by_day(place, 'sum(copies)', copies, older)) for place in ('read', 'superseded')),
        ('delivered', f'select {cells("day", "place", "count(*)", *each)} from versions group by day, place'),
        ('delivered', _by_day('duplicate', 'sum(copies - 1)', again, 'versions')),
        ('same file', _by_day('duplicate_same_file', 'sum(copies - files)', [], 'versions')),
        ('same file', _by_day('conflict_same_file', f'countif({_SECOND})', [], 'versions')),
        ('waiting', _by_day('waiting', 'count(*)', each, "versions where place = 'conflict' and not is_accepted")),
    ]


def _stored(measures: tuple[Measure, ...]) -> list[tuple[str, str]]:
    """What of bronze counts, and what of that no file holds."""
    sums = [f'sum({identifier(f"sum_{m.name}")})' for m in measures]
    return [
        ('stored', _by_day('stored', 'sum(amount)', sums, 'holdings')),
        ('in no file', _by_day('in_no_file', 'sum(amount)', sums, 'holdings where not is_held')),
    ]


def _earlier(source: Source, measures: tuple[Measure, ...], window: Window | None) -> str:
    """Rows of bronze that count no longer: another version does, or none."""
    sums = [f'sum({per_row(measure)})' for measure in measures]
    place = "if(last_why = 'withdrawn', 'withdrawn', 'replaced')"
    return (
        f'select {cells("day", "place", "count(*)", *sums)} from (select stored.*, stored._partition_date as day,'
        f' {place} as place from bronze.{source.name} as stored inner join {earlier(source)} as gone'
        f' on stored._hashrow = gone._hashrow where {came_in("stored", source, window)}'
        f' and {within("stored._partition_date", window)}) group by day, place'
    )


def _not_the_newest(source: Source, window: Window | None) -> str:
    """Rows of which another version counts than the newest of the files, or nothing says why it does."""
    name = source.name
    return _NOT_THE_NEWEST.format(
        cells=cells('_partition_date', '_hashrow'),
        name=name,
        log=log(source),
        wrong=wrong(source),
        same_version=same(source, 'known', 'v'),
        same_stored=same(source, 'known', 'stored'),
        came_in=came_in('stored', source, window),
        within=within('_partition_date', window),
        limit=NAMED,
    )


def _by_day(place: str, amount: str, sums: list[str], rows: str) -> str:
    return f'select {cells("day", literal(place), amount, *sums)} from {rows} group by day'


def _gold(mart: Mart, window: Window | None) -> list[tuple[str, str]]:
    sums = [f'sum({identifier(measure.name)})' for measure in mart.additive]
    tables = [('gold', mart.table, mart.day.name)]
    if mart.name in DAILY_SUMMARY.marts:
        tables.append(('summary', f'{DAILY_SUMMARY.table}_rows', DAILY_SUMMARY.day.name))
    return [
        ('gold', f'select {cells(day, literal(place), "0", *sums)} from {table} where {within(day, window)} group by {day}')
        for place, table, day in tables
    ]


def _lateness(source: Source) -> str:
    """Distinct rows by the days from their own to that of the file that brought them first."""
    once = 'and true qualify row_number() over (partition by _hashrow order by nth) = 1' if source.version_columns else ''
    return _LATE.format(cells=cells('day', 'lag_days', 'count(*)'), once=once, bits=LINE_BITS)


def _unsourced(source: Source, window: Window | None) -> str:
    """Rows of bronze that no file holds."""
    day = 'stored._partition_date'
    return (
        f'select {cells(day, "stored._hashrow", "known._hashrow is not null")}'
        f' from {counted(source)} as stored {HELD}'
        f' left join (select distinct _hashrow from bronze.{source.name}_hashrow) as known'
        ' on stored._hashrow = known._hashrow'
        f' where held._hashrow is null and {came_in("stored", source, window)} and {within(day, window)}'
        f' order by {day} limit {NAMED}'
    )


def _stale_rejects(source: Source, window: Window | None) -> str:
    days = f' and known.day is not null and {within("known.day", window)}' if window else ''
    return (
        f'select {cells("count(*)")} from bronze.rejects as known'
        ' left join (select distinct reject_id from fresh_rejects) as fresh on known.reject_id = fresh.reject_id'
        f' where known.source = {literal(source.name)} and known.resolved_at is null and known.line > 0'
        f' and known.file in unnest(@file_names) and fresh.reject_id is null{days}'
    )


def _one_file(source: Source) -> str:
    """Rows of one file and key that are several versions."""
    words = [identifier(column.name) for column in source.value_columns if column.kind in ('text', 'id')]
    said = ['versions._hashrow', f'fresh.nth >> {LINE_BITS}', 'versions.nth', 'fresh._undeclared_values']
    return (
        f'select {cells(*said, *(f"fresh.{name}" for name in words))}'
        f' from versions inner join fresh on versions._hashrow = fresh._hashrow and {same(source, "fresh", "versions")}'
        f' where versions._hashrow in (select distinct _hashrow from versions where {_SECOND} limit {_COMPARED_ROWS})'
    )


def _not_the_first(source: Source) -> str:
    """Rows that their file has no more, and of which an earlier file has another version."""
    values = ''.join(f', {identifier(column.name)}' for column in source.version_columns)
    return _NOT_THE_FIRST.format(
        cells=_amiss("'restated'", 'day'),
        name=source.name,
        values=values,
        bits=LINE_BITS,
        same=same(source, 'held', 'v'),
        limit=NAMED,
    )


def _not_the_latest(source: Source) -> str:
    """The versions of articles of which another one counts than the files say."""
    said = [identifier(name) for name in source.names if name != 'content_id']
    return _NOT_THE_LATEST.format(
        cells=_amiss("'restated'", '_partition_date'),
        name=source.name,
        differ=' or '.join(f'newest.{name} is distinct from counting.{name}' for name in said),
        limit=NAMED,
    )


def _amiss(place: str, day: str) -> str:
    return cells(place, day, f'nth >> {LINE_BITS}', f'nth & {LINE}', '_hashrow')


_OF_FILE = ('place', 'number', 'amount', 'first', 'last', 'line')
_ASKED_FOR = (
    'select distinct {cells} from ops.loads, unnest(generate_date_array(start_day, end_day)) as day'
    " where source = {source} and status = 'done' and date_diff(end_day, start_day, day) < 36500"
)
_MISSING = (
    'select {cells} from (select place, nth >> {bits} as number, count(*) as amount, min(day) as first, max(day) as last,'
    ' min(nth) & {line} as line from ('
    "select place, nth, day from versions where place in ('not_loaded', 'outside')"
    " union all select place, nth, day from fresh_rejects where place <> 'rejected'"
    ') group by place, number)'
)
_DAMAGED = "select {cells} from versions where place in ('lost', 'changed') order by day, nth limit {limit}"
_FILES = (
    'select {cells} from (select * from ops.load_files where source = {source}'
    ' qualify row_number() over (partition by file order by load_id desc) = 1)'
)
_LATE = (
    'select {cells} from (select first.day, date_diff(files.day, first.day, day) as lag_days from ('
    "select day, nth from versions where not is_outside and place not in ('not_loaded', 'outside') {once}) as first"
    ' inner join (select safe_cast(day as date) as day, number from unnest(@file_days) as day with offset as number'
    ') as files on first.nth >> {bits} = files.number where files.day > first.day) group by day, lag_days'
)
_NOT_THE_FIRST = """\
with files as (
    select name, number from unnest(@file_names) as name with offset as number
),

wrong as (
    select v.day, v._hashrow, min(earlier.nth) as nth
    from versions as v
    inner join bronze.{name}_hashrow as known on v._hashrow = known._hashrow
    inner join files on known._file = files.name
    inner join versions as earlier
        on v._hashrow = earlier._hashrow and earlier.nth < v.nth
        and earlier.place in ('conflict', 'not_loaded') and not earlier.is_outside
    left join (select distinct _hashrow, nth >> {bits} as number{values} from fresh) as held
        on v._hashrow = held._hashrow and held.number = files.number and {same}
    where v.place = 'bronze' and held._hashrow is null
    group by v.day, v._hashrow
)

select {cells} from wrong order by day, nth limit {limit}"""
_NOT_THE_NEWEST = """\
with wrong as (
    select v._hashrow
    from versions as v inner join bronze.{name}_hashrow as known on v._hashrow = known._hashrow
    where v.place in ('bronze', 'lost', 'changed') and not ({same_version})
    union all
    select json_value(cells, '$[0]') from ({wrong})
    union all
    select stored._hashrow
    from bronze.{name} as stored inner join bronze.{name}_hashrow as known on stored._hashrow = known._hashrow
    where {came_in} and not ({same_stored}) and stored._hashrow not in (select _hashrow from {log})
)

select {cells} from bronze.{name} as stored
where stored._hashrow in (select wrong._hashrow from wrong) and {came_in} and {within}
order by _partition_date, _hashrow limit {limit}"""
_NOT_THE_LATEST = """\
with delivered_rows as (
    select stored.*, fresh.nth
    from fresh inner join bronze.{name} as stored on fresh._hashrow = stored._hashrow
    where not fresh.is_outside
),

newest as (
    select * from delivered_rows where true
    qualify row_number() over (partition by content_id order by nth desc) = 1
),

wrong as (
    select newest.content_id
    from newest inner join gold.articles as counting on newest.content_id = counting.content_id
    where {differ}
)

select {cells}
from delivered_rows where content_id in (select wrong.content_id from wrong) order by nth limit {limit}"""
