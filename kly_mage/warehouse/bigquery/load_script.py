"""The script of a load: staged rows get their places, and all of it is written in one transaction or not at all.

Two transactions that change one table exclude each other in BigQuery: the later one is cancelled and tried again. So every
load and refresh of a source changes ``ops.<source>_lock`` first. Behind it stands the MERGE into the registry, which
changes a table as well. What all sources share (``ops.loads``, ``bronze.rejects``) is only appended to, which is in
nobody's way; a reject that is settled is the exception, and rare.
"""

from collections.abc import Collection
from datetime import date

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.landing.outside import OUTSIDE
from kly_mage.warehouse.bigquery import contents, correcting, persons, rules, unchanged
from kly_mage.warehouse.bigquery.correcting import Delivered
from kly_mage.warehouse.bigquery.further_versions import PLACE, accepted, further_versions
from kly_mage.warehouse.bigquery.schema import COUNTS, bronze_columns
from kly_mage.warehouse.bigquery.staging import Staged
from kly_mage.warehouse.bigquery.text import identifier, literal

_FURTHER = 'incoming._delivered_at > target._delivered_at or (incoming._delivered_at = target._delivered_at and ({}))'


def load_script(
    source: Source,
    load_id: int,
    staged: Staged,
    undeclared: list[str],
    *,
    known: Collection[str],
    delivered: Delivered,
    window: Window,
    now: date,
    timezone: str,
) -> str:
    """The statements of one load.

    Its parameters: ``start``, ``end`` (days), ``started_by``, ``pipeline_run``, ``file_names``, ``file_sizes``,
    ``file_times`` (of the files to be noted), ``named`` and ``named_days`` (of all files, names and days), ``read``,
    ``found`` and ``left_out`` (names of files), ``reasons`` (of those left out, as JSON), and those of
    ``contents.parameters``, ``correcting.parameters`` and ``unchanged.parameters``.

    Args:
        undeclared: the columns that the staged rows have beside the declared ones.
        known: the columns of bronze that it may have beside these.
        delivered: the deliveries of whole days that the rows are of.
        window: the days that were asked for.
        now: the local day it is.
    """
    name, versions, announced = source.name, [column.name for column in source.version_columns], staged.announced
    own = [*bronze_columns(source), *sorted(undeclared)]
    money = source.money_columns[0] if source.money_columns else None
    usable = 'if(_reject is null, {} * (_duplicate_rows + 1), null)'
    worth = f'sum({usable.format(identifier(money))})' if money else 'cast(null as bignumeric)'
    counts = {each: _counted(source, each) for each in COUNTS}
    of_day = {each: told for each, told in counts.items() if each not in ('distinct', 'outside')}
    near_known, near_target = (near(table, staged.first, staged.last) for table in ('known', 'target'))
    is_other = ' or '.join(f'{identifier(n)} is distinct from {identifier(f"counted_{n}")}' for n in versions) or 'false'
    corrected = correcting.parts(
        *(source, load_id, delivered),
        staged=[*source.names, *undeclared],
        known=known,
    )
    parts: dict[str, str | int] = {
        **corrected,
        **rules.parts(source, window, now, unchanged.of_days(announced)),
        **unchanged.parts(source, announced, counts, of_day, worth=worth, is_other=is_other),
        **persons.parts(source, corrected['delivered']),
        'name': name,
        'load_id': load_id,
        'which': _which(source, load_id),
        'source': literal(name),
        'outside': literal(OUTSIDE),
        'file_line': FILE_LINE,
        'known_values': ''.join(f', known.{identifier(n)} as {identifier(f"known_{n}")}' for n in versions),
        'near': near_known,
        'near_target': near_target,
        'apart': ', _is_superseded' if source.holds_whole_days else '',
        'apart_staged': ', staged._is_superseded' if source.holds_whole_days else '',
        'superseded': "\n        when _is_superseded then 'superseded'" if source.holds_whole_days else '',
        'first_values': ''.join(f',\n        {_first(n)} as {identifier(f"counted_{n}")}' for n in versions),
        'version': ''.join(f', {identifier(n)}' for n in versions),
        'is_other': is_other,
        'registry': ', '.join(['_hashrow', '_utc_day', '_updated_at', *_kept(source)]),
        'registry_values': ', '.join(
            ['incoming._hashrow', 'incoming._utc_day', 'v_stamp', *(f'incoming.{n}' for n in _kept(source))]
        ),
        'registry_rows': _REDELIVERED
        if source.versioned
        else f"select {', '.join(['_hashrow', '_utc_day', *_kept(source)])} from placed where _place = 'new'",
        'redelivered': _AGAIN.format(
            later=_FURTHER.format(
                'incoming._file > target._file or (incoming._file = target._file and incoming._line > target._line)'
            )
        )
        if source.versioned
        else '',
        'own': ', '.join(map(identifier, own)),
        'contents': contents.settled(source, is_other=is_other, has_unread=bool(announced.skipped)),
        'conflicts': further_versions(source, near_known, near_target, timezone) if versions else '',
        'conflicts_accepted': accepted(source) if versions else '0',
        'counts': ', '.join(f'rows_{each}' for each in COUNTS),
        'day_counts': ', '.join(f'rows_{each}' for each in of_day),
        'money': f'sum({identifier(money)})' if money else 'cast(null as bignumeric)',
    }
    return _SCRIPT.format(**parts)


def failed_script(source: Source, load_id: int) -> str:
    """The statements that say that a load has failed. Its own may still be at work: one of both is done, whichever is first.

    Its parameters: ``start``, ``end`` (days), ``started_by``, ``pipeline_run``, ``error``.
    """
    return _FAILED.format(name=source.name, source=literal(source.name), load_id=load_id, which=_which(source, load_id))


def _which(source: Source, load_id: int) -> str:
    return f'source = {literal(source.name)} and load_id = {load_id}'


def _kept(source: Source) -> list[str]:
    """What the registry knows of a row beside its hash."""
    own = ['_file_day', '_partition_date'] if source.holds_whole_days else []
    if not source.versioned and not source.version_columns:
        return own
    return [*own, *PLACE, *(column.name for column in source.version_columns)]


def _first(name: str) -> str:
    column = identifier(name)
    first = f'first_value({column}) over (partition by _hashrow order by _seq)'
    return f'if(_is_known, {identifier(f"known_{name}")}, {first})'


def near(table: str, first: date | None, last: date | None) -> str:
    """The days of rows by UTC as literals: only these partitions of the registry are read, and paid for."""
    if first is None or last is None:
        return f'{table}._utc_day is null'
    days = f"{table}._utc_day between date '{first}' and date '{last}'"
    return f'({days} or {table}._utc_day is null)'


def _counted(source: Source, part: str) -> str:
    """How many rows of ``placed`` have a place; each stands for itself, and for its duplicates.

    Rows in whose place a newer delivery of their day stands are not looked at: their duplicates have their place.
    """
    apart = ", 'superseded'" if source.holds_whole_days else ''
    apart += ", 'forgotten'" if source.person_column else ''
    match part:
        case 'read':
            return "coalesce(sum(if(_place = 'file', 0, 1 + _duplicate_rows)), 0)"
        case 'distinct':
            return "countif(_place in ('new', 'already_loaded', 'conflicting', 'restated'))"
        case 'duplicate':
            others = f"_place in ('file', 'rejected', 'outside'{apart})"
            return f"coalesce(sum(if({others}, 0, _duplicate_rows)), 0) + countif(_place = 'duplicate')"
        case 'superseded' | 'forgotten' if f"'{part}'" in apart:
            return f"coalesce(sum(if(_place = '{part}', 1 + _duplicate_rows, 0)), 0)"
        case 'unchanged':
            return '0'
        case _:
            return f'countif(_place = {literal(part)})'


_REDELIVERED = """select * from placed where _reject is null and true
    qualify row_number() over (partition by _hashrow order by _delivered_at desc, _file desc, _line desc) = 1"""
_AGAIN = """
when matched and ({later}) then update set
    _delivered_at = incoming._delivered_at, _file = incoming._file, _line = incoming._line"""
_FAILED = """\
begin transaction;
update ops.{name}_lock set holder = 'load {load_id}, which failed' where true;

insert into ops.loads (source, load_id, start_day, end_day, status, started_by, pipeline_run, finished_at, error)
select {source}, {load_id}, @start, @end, 'failed', @started_by, @pipeline_run, current_timestamp(), @error
from (select 1 as one)
where not exists (select 1 from ops.loads where {which});
commit transaction;
"""
_SCRIPT = """\
declare v_stamp timestamp;
declare v_load_id int64 default {load_id};
declare v_stopped string;
declare v_read_again string;
{asked_whose}{variables}
begin transaction;
update ops.{name}_lock
set
    holder = 'load {load_id}',
    stamp = greatest(
        current_timestamp(), timestamp_add(coalesce(stamp, timestamp '1970-01-01 00:00:00+00'), interval 1 microsecond)
    )
where true;

if not exists (select 1 from ops.loads where {which}) then
set v_stamp = (select stamp from ops.{name}_lock);
{persons}{deliveries}{unread}
create temp table placed as
with judged as (
    select
        staged.*, known._hashrow is not null as _is_known{known_values},
        row_number() over (partition by staged._hashrow{apart_staged} order by staged._seq) as _nth
    from {delivered} as staged
    left join bronze.{name}_hashrow as known
        on staged._hashrow = known._hashrow and {near}
),

valued as (
    select
        *{first_values},
        row_number() over (partition by _hashrow{version}{apart} order by _seq) as _nth_of_version
    from judged
)

select
    *,
    case
        when _reject is not null and _line = {file_line} then 'file'{forgotten}
        when _reject = {outside} then 'outside'
        when _reject is not null then 'rejected'{superseded}
        when {is_other} then if(_nth_of_version = 1, 'conflicting', 'duplicate')
        when _is_known then 'already_loaded'
        when _nth = 1 then 'new'
        else 'duplicate'
    end as _place
from valued;
{judged}{turned}{lost}
if v_stopped is null and v_read_again is null then
{contents}
merge into bronze.{name}_hashrow as target
using (
    {registry_rows}
) as incoming
on target._hashrow = incoming._hashrow and {near_target}{redelivered}
when not matched then insert ({registry}) values ({registry_values});

insert into bronze.{name} ({own}, _created_at, _updated_at, _load_id)
select {own}, current_timestamp(), v_stamp, v_load_id from placed where _place = 'new';
{conflicts}{correct}
create temp table rejected as
select
    to_hex(md5(concat(_file, '\\x1f', cast(_line as string), '\\x1f', _reject))) as reject_id,
    _file, _line, _reject, _partition_date
from placed where _place in ('rejected', 'file');

if exists (select 1 from rejected) then
insert into bronze.rejects (source, reject_id, file, line, column_name, value, reason, raw, day, file_day, load_id)
select
    {source}, reject_id, _file, _line, json_value(_reject, '$.column'), json_value(_reject, '$.value'),
    json_value(_reject, '$.reason'), json_query(_reject, '$.row'), _partition_date,
    safe_cast(@named_days[offset(place)] as date), v_load_id
from rejected
left join unnest(@named) as name with offset as place on rejected._file = name
where
    reject_id not in (select known.reject_id from bronze.rejects as known where known.source = {source})
    and true
qualify row_number() over (partition by reject_id order by _line) = 1;
end if;

if exists (
    select 1 from bronze.rejects as known inner join rejected using (reject_id)
    where known.source = {source} and known.resolved_at is not null
) then
update bronze.rejects as known set resolved_at = null
where known.source = {source} and known.reject_id in (select reject_id from rejected);
end if;

if exists (
    select 1 from bronze.rejects as known
    where known.source = {source} and known.line = {file_line} and known.resolved_at is null
        and (known.file in unnest(@read) or known.file not in unnest(@found) or known.file in unnest(@left_out))
        and known.reject_id not in (select reject_id from rejected)
) then
update bronze.rejects as known set resolved_at = current_timestamp()
where known.source = {source} and known.line = {file_line} and known.resolved_at is null
    and (known.file in unnest(@read) or known.file not in unnest(@found) or known.file in unnest(@left_out))
    and known.reject_id not in (select reject_id from rejected);
end if;

insert into ops.load_days (source, load_id, day, {day_counts})
select {source}, v_load_id, day, {day_counts}
from {by_day};
{broken}
insert into ops.load_outside (source, load_id, file, day, rows_outside, money)
select {source}, v_load_id, _file, _partition_date, count(*), {money}
from placed
where _place = 'outside'
group by _file, _partition_date{unread_outside};
{kept}

insert into ops.load_files (source, load_id, file, size, modified_at)
select
    {source}, v_load_id, file_name,
    cast(@file_sizes[offset(place)] as int64), cast(@file_times[offset(place)] as timestamp)
from unnest(@file_names) as file_name with offset as place;

insert into ops.loads (
    source, load_id, start_day, end_day, status, started_by, pipeline_run, finished_at, {counts}, money_read,
    rows_replaced, rows_withdrawn, rows_returned, rejects_accepted, conflicts_accepted, left_out
)
select
    {source}, v_load_id, @start, @end, 'done', @started_by, @pipeline_run, current_timestamp(),
    {all_counted},
    {all_worth},
    {replaced}, {withdrawn}, {returned},
    (
        select count(*) from rejected inner join bronze.rejects as known using (reject_id)
        where known.source = {source} and known.accepted_at is not null and rejected._line <> {file_line}
    ){unread_accepted},
    {conflicts_accepted}, @reasons
from placed;
end if;
end if;
commit transaction;

select
    done.*, v_stopped as stopped, v_read_again as read_again,
    (select count(distinct file) from ops.file_days where source = {source} and changed_by = {load_id}) as files_changed
from (select {load_id} as load_id) as asked
left join (select * from ops.loads where {which} and status = 'done') as done on asked.load_id = done.load_id
where done.load_id is not null or v_stopped is not null or v_read_again is not null;
"""
