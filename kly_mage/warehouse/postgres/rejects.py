"""``bronze.rejects``: the rows that cannot be used, until somebody has resolved them."""

from collections.abc import Iterable, Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.warehouse.postgres import unchanged
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.decisions import within
from kly_mage.warehouse.postgres.retry import retrying
from kly_mage.warehouse.waiting import Cause, Waiting


def waiting(
    settings: Settings,
    sources: Iterable[str],
    days: Window | None = None,
    *,
    accepted_too: bool = False,
    limit: int | None = None,
) -> Iterator[Waiting]:
    """The rejects that wait, by source, file and line, as they come from the database; on request accepted ones as well.

    Args:
        days: only of these; a row without a readable day goes with its file.
        limit: no more than so many.
    """
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor('waiting') as cursor:
        cursor.execute(
            sql.SQL(
                'select source, reject_id::text, file, line, column_name, value, reason, day from bronze.rejects'
                ' where {} order by source, file, line limit {}'
            ).format(_wait(sources, days, accepted_too=accepted_too), sql.Literal(limit))
        )
        for row in cursor:
            yield Waiting(*row)


def causes(settings: Settings, sources: Iterable[str], days: Window | None = None) -> list[Cause]:
    """How many rejects wait for the same reason in the same column of a file; the most first."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                'select file, column_name, reason, count(*) from bronze.rejects where {}'
                ' group by file, column_name, reason order by count(*) desc, file, column_name, reason'
            ).format(_wait(sources, days))
        )
        return [Cause(*row) for row in cursor.fetchall()]


def _wait(sources: Iterable[str], days: Window | None, *, accepted_too: bool = False) -> sql.Composable:
    return sql.SQL('source = any({}) and resolved_at is null and (accepted_at is null or {}) and {}').format(
        sql.Literal(list(sources)), sql.Literal(accepted_too), within(days, 'day', 'file_day')
    )


def take(settings: Settings, rejects: Iterable[Waiting]) -> None:
    """Note that these rows, held back because their lines have no end (``landing/cut.py``), are whole."""
    found = list(rejects)
    with connect(settings) as connection, connection.cursor() as cursor:
        unchanged.decide(cursor, {reject.source for reject in found})
        for reject in found:
            cursor.execute(
                'update bronze.rejects set taken_at = clock_timestamp() where source = %s and reject_id = %s',
                (reject.source, reject.reject_id),
            )


def taken(settings: Settings, source: str) -> frozenset[str]:
    """The ids of the rejects of which somebody has said that they are whole rows, as ``cut.reject_id`` spells them."""

    def work() -> frozenset[str]:
        ensure_schema(settings)
        with connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute(
                "select replace(reject_id::text, '-', '') from bronze.rejects where source = %s and taken_at is not null",
                (source,),
            )
            return frozenset(reject_id for (reject_id,) in cursor.fetchall())

    return retrying(work)


def resolve(settings: Settings, rejects: Iterable[tuple[str, str]]) -> None:
    """Mark rejects as resolved; they are never deleted.

    Args:
        rejects: source and ``reject_id`` of each.
    """
    sources, ids = zip(*rejects, strict=True) if (rejects := list(rejects)) else ((), ())
    with connect(settings) as connection, connection.cursor() as cursor:
        unchanged.decide(cursor, set(sources))
        cursor.execute(
            'update bronze.rejects as known set resolved_at = clock_timestamp()'
            ' from unnest(%s::text[], %s::uuid[]) as over (source, reject_id)'
            ' where known.source = over.source and known.reject_id = over.reject_id and known.resolved_at is null',
            (list(sources), list(ids)),
        )


def resolve_files(cursor: Cursor, source: str, read: list[str], found: list[str], left_out: Iterable[str]) -> None:
    """Mark what was wrong with whole files as resolved: they have been read, are gone, or have another fault now.

    Args:
        cursor: the load's, whose own rejects are written.
        read: files that this load has read.
        found: all files there are.
        left_out: files that this load has left out.
    """
    over = 'file = any(%(read)s) or file <> all(%(found)s)'
    if left_out:
        over += ' or (file = any(%(left_out)s) and reject_id not in (select reject_id from incoming_rejects))'
    cursor.execute(
        'update bronze.rejects set resolved_at = clock_timestamp()'
        f' where source = %(source)s and line = %(line)s and resolved_at is null and ({over})',
        {'source': source, 'line': FILE_LINE, 'read': read, 'found': found, 'left_out': list(left_out)},
    )
