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
from kly_mage.warehouse.bigquery.removal import note_removed
from kly_mage.warehouse.bigquery.text import literal
from kly_mage.warehouse.bigquery.truth import rebuild_script
from kly_mage.warehouse.unloading import Selection, Unloaded, no_such_load, nothing_to_take_out

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
        UsageError: the load has changed what counts of rows that stay.
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
        if found['corrected']:
            raise UsageError(_CORRECTS.format(what.load_id))
        is_empty = not any(found[f'{name}_in_all'] for name in ('rows', 'conflicts', 'rejects'))
        if keep and not is_empty:
            script = unload_script(what, table, load_id)
            (found,) = client.run(script, values | {'asked': asked}, what='unload')
    finally:
        if table:
            client.drop(table)
    gone = {name: found[f'{name}_in_all'] for name in ('rows', 'conflicts', 'rejects', 'further')}
    days = Window(found['start_day'], found['end_day']) if found['start_day'] else None
    span = what.days or days
    return Unloaded(what.source.name, None if is_empty else load_id, **gone, restatements=0, days=span)


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
        *(f'delete from {each} where {_GONE};' for each in beside),
        f'delete from bronze.rejects where {_rejects(what)};',
    ]
    if what.source.version_columns:
        taken.append(f'delete from bronze.{name}_conflicts where {_conflicts(what)};')
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
            own = f'_load_id = {what.load_id} and not ({_GONE})'
            steps.append(f'set v_corrected = (select count(*) from {log(what.source)} where {own});')
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


_CORRECTS = (
    'load {} has changed which rows or versions count, which is not taken back on BigQuery yet: unload days (--start, '
    '--end) or the source, which takes their rows out with all their versions, and load them again'
)
_GONE = '_hashrow in (select withdrawn._hashrow from withdrawn)'
_DECLARED = [
    *(f'declare v_{name} int64 default 0;' for name in ('rows', 'conflicts', 'further', 'rejects', 'corrected')),
    *(f'declare v_{name} date;' for name in ('start', 'end')),
]
_TOLD = (
    'select v_rows as rows_in_all, v_conflicts as conflicts_in_all, v_further as further_in_all,'
    ' v_rejects as rejects_in_all, v_corrected as corrected, v_start as start_day, v_end as end_day;'
)
