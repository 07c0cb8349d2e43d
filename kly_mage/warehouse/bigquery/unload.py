"""What loads have brought, taken out again, and gold built anew from what is left: one script, one transaction.

As on PostgreSQL nothing is forgotten: the ledger has a row of status ``unload``, a load taken out as a whole is
``withdrawn``, and the days wait for a load.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kly_mage.common.errors import UsageError
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.warehouse.bigquery import contents
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.counting import log
from kly_mage.warehouse.bigquery.further_versions import version_text
from kly_mage.warehouse.bigquery.removal import note_removed
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.bigquery.truth import rebuild_script
from kly_mage.warehouse.unloading import Selection, Unloaded, corrected_since, no_such_load, nothing_to_take_out

SOURCE_OF = 'select source, status from ops.loads where load_id = @load_id'


def source_of(client: Client, load_id: int) -> Source:
    """The source of a load that has ended well and is not taken out yet.

    Raises:
        UsageError: there is no such load.
    """
    rows = client.run(SOURCE_OF, {'load_id': load_id}, what='unload')
    if not rows or rows[0]['status'] == 'unload':
        raise UsageError(no_such_load(load_id))
    if rows[0]['status'] != 'done':
        raise UsageError(nothing_to_take_out(load_id, rows[0]['status']))
    return SOURCES[rows[0]['source']]


def unload(client: Client, what: Selection, asked: str, *, keep: bool) -> Unloaded:
    """Take out what is selected, and build gold anew.

    Args:
        asked: the command, for the ledger.
        keep: False only finds out what would go.

    Raises:
        UsageError: a later load has corrected what this one has corrected.
    """
    values: dict[str, Any] = {'start': what.days.start, 'end': what.days.end} if what.days else {}
    if what.file is not None:
        values['file'] = what.file
    load_id = time.time_ns() // 1000
    table = f'staging.unload_{what.source.name}_{load_id}' if what.hashes is not None else None
    try:
        if table and what.hashes is not None:
            with TemporaryDirectory(prefix='kly_mage-') as folder:
                path = Path(folder) / 'rows.parquet'
                what.hashes.to_frame('_hashrow').write_parquet(path)
                client.load(path, table, [('_hashrow', 'string')], table.replace('staging.', 'stage_'))
        (found,) = client.run(look_script(what, table), values, what='unload')
        _refuse(what, found)
        is_empty = not any(found[f'{name}_in_all'] for name in ('rows', 'conflicts', 'rejects', 'restatements'))
        if keep and not is_empty:
            script = unload_script(what, table, load_id)
            (found,) = client.run(script, values | {'asked': asked}, what='unload')
            _refuse(what, found)  # another load may have been faster than the script, which has done nothing then
    finally:
        if table:
            client.drop(table)
    gone = {name: found[f'{name}_in_all'] for name in ('rows', 'conflicts', 'rejects', 'further', 'restatements')}
    days = Window(found['start_day'], found['end_day']) if found['start_day'] else None
    span = what.days or days
    return Unloaded(what.source.name, None if is_empty else load_id, **gone, days=span)


def _refuse(what: Selection, found: dict[str, Any]) -> None:
    if what.load_id is not None and found['corrected_since']:
        raise UsageError(corrected_since(what.load_id, found['corrected_since']))


def look_script(what: Selection, table: str | None) -> str:
    """The statements that say what would go.

    Args:
        what: its days are the parameters ``start`` and ``end``, its file is ``file``.
        table: staged hashes of the rows, if these are selected by them.
    """
    return '\n'.join([*_DECLARED, 'begin transaction;', *_look(what, table), 'commit transaction;', _TOLD])


def unload_script(what: Selection, table: str | None, load_id: int) -> str:
    """The statements that take it out, note it under a number, and build gold anew; ``asked`` is a parameter as well."""
    name, source = what.source.name, literal(what.source.name)
    beside = [f'bronze.{name}', f'bronze.{name}_hashrow', *([log(what.source)] if what.source.may_be_corrected else [])]
    taken = [
        *_look(what, table),
        'if ifnull(v_later, 0) = 0 then',
        *(f'delete from {each} where {_GONE};' for each in beside),
        f'delete from bronze.rejects where {_rejects(what)};',
    ]
    if what.source.version_columns:
        taken.append(f'delete from bronze.{name}_conflicts where {_conflicts(what)};')
    if what.load_id is not None and what.source.may_be_corrected:
        taken += _taken_back(what.source, what.load_id)
    if what.source.holds_whole_days:
        taken.append(f'delete from ops.deliveries where source = {source} and day between v_start and v_end;')
    taken.append(contents.forget(what.source, 'v_start is null or day between v_start and v_end'))
    taken.append(note_removed(what.source))
    if whole := _whole(what):
        taken.append(f"update ops.loads set status = 'withdrawn' where source = {source} and status = 'done' and {whole};")
    taken += [
        'insert into ops.loads (source, load_id, start_day, end_day, status, rows_removed, started_by, finished_at)',
        f"select {source}, {load_id}, coalesce(v_start, date '0001-01-01'), coalesce(v_end, date '0001-01-01'), 'unload',",
        '    v_rows, @asked, current_timestamp();',
        'end if;',
    ]
    return rebuild_script('unload', _DECLARED, taken, _TOLD)


def _look(what: Selection, table: str | None) -> list[str]:
    """What goes, as the temporary table ``withdrawn`` and variables."""
    name = what.source.name
    rows = f'select distinct _hashrow from {table}' if table else f'select _hashrow from bronze.{name} where {_own(what)}'
    days = [f'select _partition_date as day from bronze.{name} where {_GONE}']
    steps = [
        f'create temp table withdrawn as {rows};',
        f'set v_rows = (select count(*) from bronze.{name} where {_GONE});',
        f'set v_rejects = (select count(*) from bronze.rejects where {_rejects(what)});',
    ]
    if what.source.version_columns:
        own = '_file = @file' if what.file is not None else _own(what)
        conflicts = f'from bronze.{name}_conflicts where {_conflicts(what)}'
        steps.append(f'set v_conflicts = (select count(*) {conflicts});')
        steps.append(f'set v_further = (select countif(not ({own})) {conflicts});')
        days.append(f'select _partition_date {conflicts}')
    if what.load_id is not None:
        if what.source.may_be_corrected:
            steps += _corrected(what.source, what.load_id)
        of_load = f'from ops.loads where source = {literal(name)} and load_id = {what.load_id}'
        days += [f'select start_day {of_load}', f'select end_day {of_load}']
    if what.days:
        return [*steps, 'set v_start = @start;', 'set v_end = @end;']
    told = ' union all '.join(days)
    return [
        *steps,
        f'set v_start = (select min(day) from ({told}));',
        f'set v_end = (select max(day) from ({told}));',
    ]


def _corrected(source: Source, load_id: int) -> list[str]:
    """What the load has corrected of rows that stay, and the first later load that has corrected these again."""
    own = f'{log(source)} as own where own._load_id = {load_id} and not (own.{_GONE})'
    if source.version_columns:  # what a later load has exchanged again, it has then done as a whole
        return [f'set v_restatements = (select count(distinct own._hashrow) from {own});']
    return [
        f'set v_restatements = (select count(*) from {own});',
        f'set v_later = (select min(later._load_id) from {log(source)} as later where later._load_id > {load_id}'
        f' and later._hashrow in (select own._hashrow from {own}));',
    ]


def _taken_back(source: Source, load_id: int) -> list[str]:
    """What this load had exchanged counts again; where a later load has done so again, it has done both."""
    names = [column.name for column in source.version_columns]
    parts = {'log': log(source), 'registry': f'bronze.{source.name}_hashrow', 'load_id': load_id}
    if not names:
        return [_FORGOTTEN.format(**parts)]
    values = ', '.join(f'{identifier(name)} = before.{identifier(name)}' for name in names)
    return [
        _HANDED_ON.format(**parts),
        _RESTORED.format(**parts, values=values, **_steps(names)),
        _FORGOTTEN.format(**parts),
    ]


def _steps(names: list[str]) -> dict[str, str]:
    return {'version': version_text('step', names), 'version_before': version_text('before', names)}


def _own(what: Selection) -> str:
    """The condition on a row that it is selected; of a file's rows the hash alone says so."""
    if what.load_id is not None:
        return f'_load_id = {what.load_id}'
    if what.days is not None:
        return '_partition_date between @start and @end'
    return 'false' if what.file is not None else 'true'


def _conflicts(what: Selection) -> str:
    """The condition on a further version that it goes."""
    return f'{"_file = @file" if what.file is not None else _own(what)} or {_GONE}'


def _rejects(what: Selection) -> str:
    """The condition on a reject that it goes. That somebody has called a last line whole is no load's doing, and stays."""
    chosen = 'true'
    if what.load_id is not None:
        chosen = f'load_id = {what.load_id}'
    elif what.file is not None:
        chosen = 'file = @file'
    elif what.days is not None:
        chosen = 'day between @start and @end'
    return f'source = {literal(what.source.name)} and taken_at is null and {chosen}'


def _whole(what: Selection) -> str:
    """The condition on a load that it is taken out as a whole; empty if none is."""
    if what.load_id is not None:
        return f'load_id = {what.load_id}'
    if what.file is not None:
        return ''
    if what.days is None:
        return 'true'
    return '' if what.source.any_day else 'start_day >= @start and end_day <= @end'


_HANDED_ON = """\
update {log} as own set _load_id = later._load_id, _updated_at = later._updated_at
from (
    select _hashrow, _load_id, _updated_at from {log} where _load_id > {load_id} and true
    qualify row_number() over (partition by _hashrow order by _load_id) = 1
) as later
where own._load_id = {load_id} and own._hashrow = later._hashrow;"""
# Where it is not known in which file the version before it stood, any file that brings one is newer.
_RESTORED = """\
update {registry} as known set
    {values},
    _delivered_at = coalesce(before._delivered_at, timestamp '0001-01-01 00:00:00+00'),
    _file = coalesce(before._file, ''), _line = coalesce(before._line, 0)
from (
    select before.* from {log} as before
    left join (
        select step._hashrow, {version} as version from {log} as step where step._load_id = {load_id} and step.sign > 0
    ) as step on before._hashrow = step._hashrow and {version_before} = step.version
    where before._load_id = {load_id} and before.sign < 0 and step._hashrow is null
) as before
where known._hashrow = before._hashrow;"""
_FORGOTTEN = 'delete from {log} where _load_id = {load_id};'
_GONE = '_hashrow in (select withdrawn._hashrow from withdrawn)'
_DECLARED = [
    *(f'declare v_{name} int64 default 0;' for name in ('rows', 'conflicts', 'further', 'rejects', 'restatements', 'later')),
    *(f'declare v_{name} date;' for name in ('start', 'end')),
]
_TOLD = (
    'select v_rows as rows_in_all, v_conflicts as conflicts_in_all, v_further as further_in_all,'
    ' v_rejects as rejects_in_all, v_restatements as restatements_in_all, v_later as corrected_since,'
    ' v_start as start_day, v_end as end_day;'
)
