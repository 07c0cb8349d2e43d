"""What the ledger says about a source: its loads, the files they saw, the rows of each day, and what waits for somebody."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window, today
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.contents import changed_files
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.freshness import newest_day, of_source
from kly_mage.warehouse.postgres.outside import by_load
from kly_mage.warehouse.postgres.tables import conflicts_table
from kly_mage.warehouse.postgres.volume import far_off
from kly_mage.warehouse.standing import Held, Load, Standing


def loads(settings: Settings, sources: Iterable[Source]) -> dict[str, list[Load]]:
    """All loads of each source, the first one first."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        return {source.name: loads_of(cursor, source) for source in sources}


def held(
    settings: Settings, files: Mapping[str, list[LandingFile]], days: Window | None, asked: Window | None
) -> dict[str, Held]:
    """What is known of each source (``warehouse/base.py``)."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        return {name: _held(settings, cursor, SOURCES[name], own, days, asked) for name, own in files.items()}


def _held(
    settings: Settings,
    cursor: Cursor,
    source: Source,
    files: list[LandingFile],
    days: Window | None,
    asked: Window | None,
) -> Held:
    found = Held(standing(cursor, source), left_out(cursor, source, files))
    if days:
        found.rows, found.outside = rows_of_days(cursor, source, days), by_load(cursor, source)
        found.seen, found.changed = files_seen(cursor, source), changed_files(cursor, source, days)
        found.rejected = files_with_rejects(cursor, source)
        found.usable, found.noted_since = files_with_rows(cursor, source)
        found.far_off = far_off(cursor, source, days)
    found.stale = of_source(cursor, source, settings.timezone, today(settings.timezone), asked)
    return found


def loads_of(cursor: Cursor, source: Source) -> list[Load]:
    """All loads of a source, the first one first."""
    cursor.execute(
        """
        select load_id, start_day, end_day, status, files, finished_at, error,
            status = 'running' and exists (
                select from pg_locks
                where locktype = 'advisory' and objsubid = 1
                and (classid::bigint << 32) | objid::bigint = any(array[
                    hashtextextended(source || ' ' || start_day, 0), hashtextextended(source, 0)
                ])
            )
        from ops.loads where source = %s order by load_id
        """,
        (source.name,),
    )
    found = []
    for load_id, start, end, state, files, finished_at, error, alive in cursor.fetchall():
        seen = {file['file']: (file['size'], datetime.fromisoformat(file['modified_at'])) for file in files}
        found.append(Load(load_id, start, end, state, seen, finished_at, error, alive))
    return found


def files_seen(cursor: Cursor, source: Source) -> dict[str, tuple[int, datetime]]:
    """Size and time of the files as the last load that read them saw them."""
    cursor.execute('select file, size, modified_at from ops.files where source = %s', (source.name,))
    return {file: (size, modified_at) for file, size, modified_at in cursor.fetchall()}


def left_out(cursor: Cursor, source: Source, files: list[LandingFile]) -> dict[LandingFile, str]:
    """Those of the files that a load has left out and that are still as it found them, and why."""
    cursor.execute(
        "select file, row ->> 'size', row ->> 'modified_at', reason from bronze.rejects"
        ' where source = %s and line = %s and resolved_at is null order by file',
        (source.name, FILE_LINE),
    )
    states = {file.name: (file, str(file.size), file.modified_at.isoformat()) for file in files}
    return {
        states[name][0]: reason
        for name, size, modified_at, reason in cursor.fetchall()
        if name in states and states[name][1:] == (size, modified_at)
    }


def rows_of_days(cursor: Cursor, source: Source, days: Window) -> dict[tuple[int, date], tuple[int, int]]:
    """The rows that each load has read of each of these days, and how many of them it had to reject."""
    cursor.execute(
        'select load_id, day, load_days.rows_read, load_days.rows_rejected'
        ' from ops.load_days inner join ops.loads using (load_id) where source = %s and day between %s and %s',
        (source.name, days.start, days.end),
    )
    return {(load_id, day): (read, rejected) for load_id, day, read, rejected in cursor.fetchall()}


def files_with_rejects(cursor: Cursor, source: Source) -> set[str]:
    """The files of which rows wait as rejects."""
    cursor.execute(
        'select distinct file from bronze.rejects where source = %s and line <> %s and resolved_at is null',
        (source.name, FILE_LINE),
    )
    return {file for (file,) in cursor.fetchall()}


def files_with_rows(cursor: Cursor, source: Source) -> tuple[set[str], int | None]:
    """The files of which a load has had usable rows, of whatever day, and the first of the loads that noted it."""
    cursor.execute('select file, load_id from ops.file_days where source = %s and rows > 0', (source.name,))
    noted = cursor.fetchall()
    return {file for file, _ in noted}, min((load_id for _, load_id in noted), default=None)


def standing(cursor: Cursor, source: Source) -> Standing:
    """How a source stands."""
    found = Standing()
    cursor.execute(
        "select load_id, start_day, end_day, finished_at, started_by from ops.loads where source = %s and status = 'done'"
        ' order by load_id desc limit 1',
        (source.name,),
    )
    if row := cursor.fetchone():
        found.last_load = dict(zip(('load_id', 'start', 'end', 'finished_at', 'started_by'), row, strict=True))
    found.newest_day = newest_day(cursor, source)
    cursor.execute(
        'select count(*) from bronze.rejects'
        ' where source = %s and line <> %s and resolved_at is null and accepted_at is null',
        (source.name, FILE_LINE),
    )
    (found.rejects,) = cursor.fetchone()
    if source.version_columns:
        waiting = 'select count(*) from {} where accepted_at is null and is_restatement is not true'
        cursor.execute(sql.SQL(waiting).format(conflicts_table(source)))
        (found.conflicts,) = cursor.fetchone()
    cursor.execute(
        'select lag, sum(rows::bigint) from ops.file_checks, jsonb_each_text(rows_late) as late (lag, rows)'
        ' where source = %s group by lag order by lag::int',
        (source.name,),
    )
    found.late = {lag: int(rows) for lag, rows in cursor.fetchall()}
    cursor.execute(
        'select rule, sum(rows_broken) from ops.load_rules inner join ops.loads using (load_id)'
        ' where source = %s group by rule order by rule',
        (source.name,),
    )
    found.rules = {rule: int(rows) for rule, rows in cursor.fetchall()}
    return found
