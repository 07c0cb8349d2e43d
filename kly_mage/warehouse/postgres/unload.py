"""What loads have brought, taken out again: rows, conflicts, rejects and what the ledger says of them, in one transaction.

The days that lose rows are counted anew from what is left, in the same transaction: whoever reads gold sees all of the
rows, or none. Nothing is forgotten: the ledger has a row of status ``unload``, a load taken out as a whole is
``withdrawn``, and the days wait for a load, which brings everything back as long as the files are there.
"""

from datetime import date

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import UsageError
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres import contents, gold_checks
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.recount import days_of_withdrawn, recount
from kly_mage.warehouse.postgres.removal import add_lost, note_removed, select_rows
from kly_mage.warehouse.postgres.tables import (
    bronze_table,
    conflicts_table,
    corrections_table,
    registry,
)
from kly_mage.warehouse.unloading import Selection, Unloaded, corrected_since, no_such_load, nothing_to_take_out


def source_of(cursor: Cursor, load_id: int) -> Source:
    """The source of a load that has ended well and is not taken out yet.

    Raises:
        UsageError: there is no such load.
    """
    cursor.execute('select source, status from ops.loads where load_id = %s', (load_id,))
    name, status = cursor.fetchone() or (None, None)
    if name is None or status == 'unload':
        raise UsageError(no_such_load(load_id))
    if status != 'done':
        raise UsageError(nothing_to_take_out(load_id, str(status)))
    return SOURCES[name]


def unload(cursor: Cursor, what: Selection, asked: str, block: gold_checks.Block) -> Unloaded:
    """Take out what is selected, and count its days anew.

    Args:
        cursor: its commit keeps all of it.
        asked: the command, for the ledger.
        block: gives the marts' SQL blocks.
    """
    source = what.source
    gold_checks.lock_marts(cursor)
    # Loads and refreshes wait: neither may see a row whose hash is on its way out.
    cursor.execute(sql.SQL('lock table only {} in share row exclusive mode').format(bronze_table(source)))
    gold_checks.lock(cursor)
    _select(cursor, what)
    cursor.execute('select count(*), min(day), max(day) from withdrawn where is_stored')
    rows, first, last = cursor.fetchone()
    counted_on = days_of_withdrawn(cursor, source, what.load_id)
    conflicts, further, of_conflicts = _conflicts(cursor, what)
    restatements = _restatements(cursor, what)
    rejects = _delete(cursor, sql.SQL('bronze.rejects'), _rejects(what))
    days = [day for day in (first, last, *of_conflicts) if day]
    if what.load_id is not None:
        cursor.execute('select start_day, end_day from ops.loads where load_id = %s', (what.load_id,))
        days += cursor.fetchone()
    span = what.days or (Window(min(days), max(days)) if days else None)
    if not rows + conflicts + rejects + restatements:
        return Unloaded(source.name, None, 0, 0, 0, 0, 0, span)
    for table in (bronze_table(source), registry(source)):
        _delete(cursor, table, sql.SQL('_hashrow in (select _hashrow from withdrawn)'))
    note_removed(cursor, source)
    load_id = _note(cursor, what, span, rows, asked)
    recount(cursor, block, source, counted_on)
    return Unloaded(source.name, load_id, rows, conflicts, rejects, further, restatements, span)


def _select(cursor: Cursor, what: Selection) -> None:
    """The rows to be taken out, as the temporary table ``withdrawn``."""
    if what.hashes is None:
        select_rows(cursor, what.source, _own(what))
        return
    cursor.execute('create temp table asked (_hashrow uuid) on commit drop')
    if len(what.hashes):
        copy(cursor, rowhash.stored(what.hashes).to_frame('_hashrow'), 'asked (_hashrow)')
    select_rows(cursor, what.source, sql.SQL('_hashrow in (table asked)'))
    add_lost(cursor, sql.SQL('asked'))


def _own(what: Selection) -> sql.Composable:
    """The condition on a row that it is selected; of a file's rows the hash alone says so."""
    if what.load_id is not None:
        return sql.SQL('_load_id = {}').format(sql.Literal(what.load_id))
    if what.days is not None:
        return sql.SQL('_partition_date between {} and {}').format(sql.Literal(what.days.start), sql.Literal(what.days.end))
    return sql.SQL('false') if what.file else sql.SQL('true')


def _rejects(what: Selection) -> sql.Composable:
    """The condition on a reject that it goes. That somebody has called a last line whole is no load's doing, and stays."""
    of_source = sql.SQL('source = {} and taken_at is null').format(sql.Literal(what.source.name))
    if what.load_id is not None:
        chosen = sql.SQL('load_id = {}').format(sql.Literal(what.load_id))
    elif what.file is not None:
        chosen = sql.SQL('file = {}').format(sql.Literal(what.file))
    elif what.days is not None:
        chosen = sql.SQL('day between {} and {}').format(sql.Literal(what.days.start), sql.Literal(what.days.end))
    else:
        chosen = sql.SQL('true')
    return sql.SQL('{} and {}').format(of_source, chosen)


def _conflicts(cursor: Cursor, what: Selection) -> tuple[int, int, list[date | None]]:
    """Take out the further versions: how many, how many of them other loads had met, and the first and last day."""
    if not what.source.version_columns:
        return 0, 0, []
    table = conflicts_table(what.source)
    own = sql.SQL('_file = {}').format(sql.Literal(what.file)) if what.file else _own(what)
    cursor.execute(
        sql.SQL(
            'with gone as (delete from {} where {own} or _hashrow in (select _hashrow from withdrawn)'
            ' returning not ({own}) as is_further, _partition_date as day)'
            ' select count(*), count(*) filter (where is_further), min(day), max(day) from gone'
        ).format(table, own=own)
    )
    conflicts, further, *days = cursor.fetchone()
    return conflicts, further, days


def _restatements(cursor: Cursor, what: Selection) -> int:
    """Take out what was noted of the rows that go; of rows that stay, the version before this load's counts again.

    Returns:
        How many rows that stay this load had restated or corrected.

    Raises:
        UsageError: a later load has corrected them again.
    """
    if not what.source.may_be_corrected:
        return 0
    table = corrections_table(what.source)
    _delete(cursor, table, sql.SQL('_hashrow in (select _hashrow from withdrawn)'))
    if what.load_id is None:
        return 0
    if what.source.version_columns:
        return _take_back(cursor, what.source, what.load_id)
    cursor.execute(
        sql.SQL(
            'select min(later._load_id) from {table} as own inner join {table} as later using (_hashrow)'
            ' where own._load_id = {load_id} and later._load_id > {load_id}'
        ).format(table=table, load_id=sql.Literal(what.load_id))
    )
    if later := cursor.fetchone()[0]:
        raise UsageError(corrected_since(what.load_id, later))
    return _delete(cursor, table, sql.SQL('_load_id = {}').format(sql.Literal(what.load_id)))


def _take_back(cursor: Cursor, source: Source, load_id: int) -> int:
    """What this load had exchanged counts again; where a later load has done so again, it has done both."""
    names = [column.name for column in source.version_columns]
    parts = {
        'log': corrections_table(source),
        'registry': registry(source),
        'load_id': sql.Literal(load_id),
        'values': sql.SQL(', ').join(sql.SQL('{0} = before.{0}').format(sql.Identifier(name)) for name in names),
        'same': sql.SQL(' and ').join(
            sql.SQL('step.{0} is not distinct from before.{0}').format(sql.Identifier(name)) for name in names
        ),
    }
    cursor.execute(sql.SQL('select count(distinct _hashrow) from {log} where _load_id = {load_id}').format(**parts))
    (rows,) = cursor.fetchone()
    cursor.execute(
        sql.SQL(
            'update {log} as own set _load_id = next._load_id, _updated_at = next._updated_at from ('
            '     select distinct on (_hashrow) _hashrow, _load_id, _updated_at from {log} where _load_id > {load_id}'
            '     order by _hashrow, _load_id'
            ' ) as next where own._load_id = {load_id} and own._hashrow = next._hashrow;'
            # Where it is not known in which file the version before it stood, any file that brings one is newer.
            "update {registry} as known set {values}, _delivered_at = coalesce(before._delivered_at, '-infinity'),"
            "     _file = coalesce(before._file, ''), _line = coalesce(before._line, 0)"
            ' from {log} as before where before._load_id = {load_id} and before.sign < 0'
            ' and known._hashrow = before._hashrow and not exists ('  # not between two steps of the load
            '     select from {log} as step where step._hashrow = before._hashrow and step._load_id = {load_id}'
            '     and step.sign > 0 and {same}'
            ' );'
            'delete from {log} where _load_id = {load_id}'
        ).format(**parts)
    )
    return int(rows)


def _note(cursor: Cursor, what: Selection, span: Window | None, rows: int, asked: str) -> int:
    """Say in the ledger what was taken out; what its files held is forgotten, so that the next load reads them anew."""
    source, start, end = what.source, span.start if span else date.min, span.end if span else date.min
    whole = sql.SQL('false')
    if what.load_id is not None:
        whole = sql.SQL('load_id = {}').format(sql.Literal(what.load_id))
    elif what.file is None:  # loads of these days alone, or of the source
        inside = sql.SQL('start_day >= {} and end_day <= {}').format(sql.Literal(start), sql.Literal(end))
        whole = inside if what.days and not source.any_day else sql.SQL('true' if not what.days else 'false')
    name = sql.Literal(source.name)
    cursor.execute(
        sql.SQL(
            'delete from ops.files where source = {name} and (file = {file} or {all_files} or file in ('
            "    select of_load ->> 'file' from ops.loads, jsonb_array_elements(files) as of_load"
            "    where source = {name} and status = 'done' and {whole}"
            ' ))'
        ).format(name=name, file=sql.Literal(what.file), all_files=sql.Literal(source.any_day), whole=whole)
    )
    cursor.execute(
        sql.SQL("update ops.loads set status = 'withdrawn' where source = {} and status = 'done' and {}").format(name, whole)
    )
    contents.forget(cursor, source, span)
    cursor.execute('delete from ops.deliveries where source = %s and day between %s and %s', (source.name, start, end))
    cursor.execute(
        'insert into ops.loads (source, start_day, end_day, status, rows_removed, started_by, finished_at)'
        " values (%s, %s, %s, 'unload', %s, %s, clock_timestamp()) returning load_id",
        (source.name, start, end, rows, asked),
    )
    return int(cursor.fetchone()[0])


def _delete(cursor: Cursor, table: sql.Composable, condition: sql.Composable) -> int:
    cursor.execute(sql.SQL('delete from {} where {}').format(table, condition))
    return int(cursor.rowcount)
