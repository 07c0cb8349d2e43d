"""The ledger, ``ops``: what loads write there, and what it tells about days: what became of their rows, which never came."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import first_line
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window, today
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.warehouse import ledger as told
from kly_mage.warehouse.counts import DAY_COUNTS, Counts
from kly_mage.warehouse.ledger import CORRECTED, PARTS, Reject
from kly_mage.warehouse.postgres import finality, freshness, outside, unchanged
from kly_mage.warehouse.postgres import rejects as waiting_rejects
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.postgres.volume import far_off
from kly_mage.warehouse.request import Request
from kly_mage.warehouse.standing import told_stale

logger = logging.getLogger('kly_mage')
_FIRST_WAITING = """
    with done as (
        select load_id, start_day, least(end_day, (started_at at time zone %(timezone)s)::date) as end_day, files
        from ops.loads where source = %(source)s and status = 'done'
    ),

    -- What was taken out of a day since counts as never loaded.
    asked_for as (
        select
            day::date,
            coalesce((
                select max(load_id) from ops.loads
                where source = %(source)s and status = 'unload' and day between start_day and end_day
            ), 0) as taken_out
        from generate_series(%(start)s::date, %(end)s::date, interval '1 day') as day
        where day >= (select min(start_day) from done)
    )

    select min(day) from asked_for
    where
        not exists (select from done where load_id > taken_out and day between start_day and end_day)
        or exists (
            select from unnest(%(days)s::date[], %(names)s::text[]) as own (own_day, file)
            where own_day = day and not exists (
                select from done
                where day between start_day and end_day and files @> jsonb_build_array(jsonb_build_object('file', file))
            )
        )
"""
_LOADED_AS_OWN = """
    select distinct own_day
    from unnest(%s::date[], %s::text[]) as own (own_day, file)
    where exists (
        select from ops.loads
        where
            source = %s
            and status = 'done'
            and own_day between start_day and end_day
            and files @> jsonb_build_array(jsonb_build_object('file', file))
    )
"""
_CHANGED = '(select count(distinct file) from ops.file_days where changed_by = any(array_agg(loads.load_id)))'


def start(settings: Settings, request: Request) -> int:
    """Write the ledger's row before the work, in a transaction of its own: a load that dies stays visible."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'insert into ops.loads (source, start_day, end_day, files, started_by, pipeline_run)'
            ' values (%s, %s, %s, %s, %s, %s) returning load_id',
            (
                request.source.name,
                request.window.start,
                request.window.end,
                json.dumps(_states(request.files)),
                request.started_by,
                request.pipeline_run,
            ),
        )
        return int(cursor.fetchone()[0])


def finish(cursor: Cursor, request: Request, load_id: int, counts: Counts, left_out: dict[str, str]) -> None:
    """Say that the load is done, and what became of its rows and files; in the transaction that wrote them.

    Args:
        request: with the files as their rows were read.
    """
    totals = counts.summary()
    cursor.execute(
        sql.SQL("update ops.loads set status = 'done', finished_at = clock_timestamp(), {} where load_id = {}").format(
            sql.SQL(', ').join(sql.SQL('{} = {}').format(sql.Identifier(k), sql.Literal(v)) for k, v in totals.items()),
            sql.Literal(load_id),
        )
    )
    cursor.execute(
        'update ops.loads set left_out = %s, files = %s where load_id = %s',
        (
            json.dumps(left_out),
            json.dumps(_states([file for file in request.files if file.name not in left_out])),
            load_id,
        ),
    )
    outside.note(cursor, load_id, counts)
    names = ('rows_read', *DAY_COUNTS)
    days = [{'day': day.isoformat(), **{name: count[name] for name in names}} for day, count in counts.days.items()]
    cursor.execute(
        sql.SQL(
            'insert into ops.load_days (load_id, day, {names})'
            ' select {load_id}, day, {names} from json_populate_recordset(null::ops.load_days, {days})'
        ).format(
            names=sql.SQL(', ').join(map(sql.Identifier, names)),
            load_id=sql.Literal(load_id),
            days=sql.Literal(json.dumps(days)),
        )
    )


def remember_files(
    cursor: Cursor,
    request: Request,
    load_id: int,
    read: set[tuple[str, datetime]],
    left_out: dict[str, str],
    kept: dict[str, tuple[str, dict[str, Any]]],
) -> None:
    """Note the state of the files; where a file noted is not read again, only those whose rows this load has had.

    Args:
        kept: what is kept of files (``Unchanged.kept``).
    """
    files = [f for f in request.files if f.name not in left_out]
    files = [f for f in files if not request.source.any_day or (f.name, f.modified_at) in read]
    waiting_rejects.resolve_files(cursor, request.source.name, [f.name for f in files], request.found, left_out)
    states = [
        state | dict(zip(('content', 'held'), kept.get(state['file'], (None, None)), strict=True))
        for state in _states(files)
    ]
    unchanged.note(cursor, request.source, load_id, states)


def fail(settings: Settings, load_id: int, error: BaseException) -> None:
    """Say in the ledger why the load failed; if not even that works, the row stays `running`, which says enough."""
    try:
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(
                "update ops.loads set status = 'failed', finished_at = clock_timestamp(), error = %s"
                " where load_id = %s and status = 'running'",  # the connection may have broken after the commit
                (first_line(error), load_id),
            )
    except Exception as second:
        logger.warning('load %s failed, and the ledger cannot be told: %s', load_id, first_line(second))


def files_read(settings: Settings, source: Source) -> set[tuple[str, int, datetime]]:
    """Signatures of the files that finished loads have read, in the state they had then."""

    def work() -> set[tuple[str, int, datetime]]:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute('select file, size, modified_at from ops.files where source = %s', (source.name,))
            return set(cursor.fetchall())

    return retrying(work)


def first_waiting(settings: Settings, source: Source, files: Iterable[LandingFile], window: Window) -> date | None:
    """The first day of ``window`` that no finished load was asked for, or whose own file none of those has seen.

    Days before the first that was ever asked for wait for nobody: history is loaded by who wants it. A load that was
    asked for days to come has seen nothing of them: it counts up to the day on which it ran.

    Args:
        files: all files of the source, as ``landing.find_files`` gives them.
    """
    own = [] if source.any_day else [(file.day, file.name) for file in files if file.day in set(window)]

    def work() -> date | None:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(
                _FIRST_WAITING,
                {
                    'source': source.name,
                    'timezone': settings.timezone,
                    'start': window.start,
                    'end': window.end,
                    'days': [day for day, _ in own],
                    'names': [name for _, name in own],
                },
            )
            day: date | None = cursor.fetchone()[0]
            return day

    return retrying(work)


def by_day(settings: Settings, load_ids: Iterable[int]) -> dict[date, dict[str, dict[str, int]]]:
    """Per day of the rows' own timestamp, per source: rows ``read`` and what became of them (``PARTS``)."""
    counts = ', '.join(f'of_day.rows_{part}' for part in ('read', *PARTS))
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            f'select day, source, {counts}'
            ' from ops.load_days as of_day inner join ops.loads using (load_id)'
            ' where load_id = any(%s) order by day, load_id',
            (list(load_ids),),
        )
        days: dict[date, dict[str, dict[str, int]]] = {}
        for day, source, *numbers in cursor.fetchall():
            days.setdefault(day, {})[source] = dict(zip(('read', *PARTS), numbers, strict=True))
    return days


def of_pipeline_runs(settings: Settings, runs: list[str]) -> list[dict[str, Any]]:
    """Per source what the finished loads of these Mage pipeline runs did, as ``load.load`` tells it of one."""
    return _together(settings, 'pipeline_run', runs)


def of_loads(settings: Settings, load_ids: list[int]) -> list[dict[str, Any]]:
    """The same of loads by their numbers."""
    return _together(settings, 'load_id', load_ids)


def _together(settings: Settings, column: str, values: list[Any]) -> list[dict[str, Any]]:
    names = [
        *(f'rows_{part}' for part in ('read', 'distinct', *PARTS, 'outside', *CORRECTED)),
        'rejects_accepted',
        'conflicts_accepted',
    ]
    sums = ', '.join(f'sum({name})::bigint' for name in names)
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            f'select source, array_agg(left_out), {_CHANGED}, min(start_day), max(end_day), array_agg(load_id),'
            f' sum(money_read), {sums} from ops.loads'
            f" where {column} = any(%s) and status = 'done' group by source order by source",
            (values,),
        )
        rows = cursor.fetchall()
        now = today(settings.timezone)
        return [
            {
                'source': source,
                'money_read': money,
                'left_out': {name: reason for of_load in left_out for name, reason in of_load.items()},
                'files_changed': files_changed,
                'far_off': [str(day) for day in far_off(cursor, SOURCES[source], Window(start, end))],
                **told_stale(freshness.of_load(cursor, SOURCES[source], Window(start, end), now)),
                'final_days': [str(day) for day in finality.corrected(cursor, SOURCES[source], load_ids)],
                **dict(zip(names, numbers, strict=True)),
            }
            for source, left_out, files_changed, start, end, load_ids, money, *numbers in rows
        ]


def rejects(settings: Settings, load_id: int, limit: int) -> list[Reject]:
    """The first rows that this load was the first to reject."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'select file, line, column_name, value, reason from bronze.rejects'
            ' where load_id = %s and line <> %s order by file, line limit %s',
            (load_id, FILE_LINE, limit),
        )
        return [Reject(*row) for row in cursor.fetchall()]


def missing_days(settings: Settings, source: Source, files: Collection[LandingFile], window: Window) -> list[date]:
    """The days without a file of their own, now or when they were loaded; see ``warehouse/ledger.py``."""
    return told.missing_days(source, files, window, _Read(settings, source))


@dataclass(frozen=True)
class _Read:
    """See ``warehouse/ledger.py``."""

    settings: Settings
    source: Source

    def names(self) -> list[str]:
        return self._ask('select file from ops.files where source = %s', (self.source.name,))

    def loaded_as_own(self, days: Mapping[str, date]) -> set[date]:
        return set(self._ask(_LOADED_AS_OWN, (list(days.values()), list(days), self.source.name)))

    def days_with_rows(self, days: Collection[date]) -> set[date]:
        query = (
            'select distinct day from ops.load_days inner join ops.loads using (load_id)'
            ' where source = %s and day = any(%s) and load_days.rows_read > 0'
        )
        return set(self._ask(query, (self.source.name, list(days))))

    def _ask(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with connect(self.settings) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return [value for (value,) in cursor.fetchall()]


def _states(files: list[LandingFile]) -> list[dict[str, Any]]:
    """The files and what tells their states apart, as the ledger keeps them."""
    return [{'file': f.name, 'size': f.size, 'modified_at': f.modified_at.isoformat()} for f in files]
