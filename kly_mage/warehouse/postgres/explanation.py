"""What a comparison tells beyond its counts: which files, lines and rows are meant. One question, one function."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from psycopg2 import sql

from kly_mage.warehouse.account import LINE_BITS, Amiss, Missing
from kly_mage.warehouse.postgres.comparison import SAME_FILE, Comparison
from kly_mage.warehouse.postgres.holdings import counting, is_in_no_file
from kly_mage.warehouse.postgres.tables import moving_tables, registry

_LINE = (1 << LINE_BITS) - 1
_COMPARED_ROWS = 10_000  # of conflicting rows so many are looked at for what tells them apart


def days_asked_for(of: Comparison) -> set[date]:
    """The days of all finished loads; a load without bounds was asked for no day in particular."""
    of.cursor.execute(
        "select distinct day::date from ops.loads, generate_series(start_day, end_day, interval '1 day') as day"
        " where source = %s and status = 'done' and end_day - start_day < 36500",
        (of.source.name,),
    )
    return {day for (day,) in of.cursor.fetchall()}


def missing_by_file(of: Comparison) -> list[Missing]:
    """Rows not loaded, or outside the days of their file."""
    of.cursor.execute(
        f"""
        with missing as (
            select place, at, day from versions where place in ('not_loaded', 'outside')
            union all
            select case when is_outside then 'outside' else 'not_loaded' end, at, day from fresh_rejects as fresh
            where not exists (
                select from bronze.rejects as known where known.source = %s and known.resolved_at is null
                and known.reject_id = md5(concat_ws(e'\\x1f', fresh.file, fresh.line, fresh.reject))::uuid
            )
        )
        select place, at >> {LINE_BITS}, count(*), min(day), max(day), min(at) & {_LINE}
        from missing group by 1, 2 order by 2
        """,
        (of.source.name,),
    )
    return [Missing(*found) for found in of.cursor.fetchall()]


def damaged(of: Comparison, limit: int) -> list[Amiss]:
    """Rows lost or changed in bronze."""
    of.cursor.execute(
        f'select place, day, at >> {LINE_BITS}, at & {_LINE}, _hashrow::text from versions'
        " where place in ('lost', 'changed') order by day, at limit %s",
        (limit,),
    )
    return [Amiss(*found) for found in of.cursor.fetchall()]


def in_no_file(of: Comparison, limit: int) -> list[tuple[date | None, str, bool]]:
    """Rows of bronze that no file holds: day, hash, whether the registry has it."""
    of.cursor.execute(
        sql.SQL(
            'select _partition_date, _hashrow::text, exists ('
            '     select from {} as known where known._hashrow = stored._hashrow'
            ' ) from {} where {} and {} order by 1 limit {}'
        ).format(registry(of.source), counting(of), of.days('_partition_date'), is_in_no_file(of), sql.Literal(limit))
    )
    found: list[tuple[date | None, str, bool]] = of.cursor.fetchall()
    return found


def files_as_loaded(of: Comparison) -> dict[str, tuple[int, datetime]]:
    """Size and time of the files as the last load that read them saw them."""
    of.cursor.execute('select file, size, modified_at from ops.files where source = %s', (of.source.name,))
    return {file: (size, modified) for file, size, modified in of.cursor.fetchall()}


def waiting_for_refresh(of: Comparison) -> int:
    """Rows that the mart has not taken in yet."""
    if of.mart is None:
        return 0
    rows = 0
    for table in moving_tables(of.source):
        of.cursor.execute(
            sql.SQL(
                'select count(*) from {} where _updated_at > (select watermark from ops.watermarks where mart = %s)'
            ).format(table),
            (of.mart.table,),
        )
        rows += of.cursor.fetchone()[0]
    return rows


def stale_rejects(of: Comparison, files: list[str]) -> int:
    """Rejected rows that wait although their file no longer has them, or not with that fault."""
    days = sql.SQL('day is not null and {}').format(of.days('day')) if of.window else sql.SQL('true')
    of.cursor.execute(
        sql.SQL(
            'select count(*) from bronze.rejects as known where source = %s and resolved_at is null and line > 0'
            ' and file = any(%s) and {} and not exists ('
            '     select from fresh_rejects as fresh where fresh.file = known.file and fresh.line = known.line'
            "     and md5(concat_ws(e'\\x1f', fresh.file, fresh.line, fresh.reject))::uuid = known.reject_id"
            ' )'
        ).format(days),
        (of.source.name, files),
    )
    return int(of.cursor.fetchone()[0])


def conflicting_in_one_file(of: Comparison) -> Iterator[list[dict[str, Any]]]:
    """Rows of one file and one key that are several versions: what each says in text columns, and its version ``_at``."""
    words = [column.name for column in of.source.value_columns if column.kind in ('text', 'id')]
    named = ''.join(f', \'{name}\', fresh."{name}"' for name in words)
    alike = ''.join(f' and fresh."{name}" is not distinct from versions."{name}"' for name in of.values)
    of.cursor.execute(
        f"""
        with asked as materialized (  -- before their rows are looked for: there may be as many as rows
            select distinct _hashrow from (
                select v._hashrow from versions as v
                where place = 'conflict' and {SAME_FILE}
                limit {_COMPARED_ROWS}
            ) as first
        )

        select jsonb_agg(coalesce(fresh._undeclared_values, '{{}}')::jsonb || jsonb_build_object('_at', versions.at{named}))
        from versions inner join fresh using (_hashrow)
        where versions.copies > 0 and fresh._hashrow in (select _hashrow from asked){alike}
        group by fresh._hashrow, fresh.at >> {LINE_BITS}
        having count(distinct versions.at) > 1
        limit {_COMPARED_ROWS}
        """
    )
    for (rows,) in of.cursor.fetchall():
        yield rows


def lateness(of: Comparison, days: list[date | None]) -> list[tuple[date, int, int]]:
    """Distinct rows by the days from their own to that of the file that brought them first: day, days late, rows.

    Args:
        days: of the files, in the order of their numbers.
    """
    of.cursor.execute(
        f"""
        with first as (
            select {'distinct on (_hashrow)' if of.values else ''} day, at from versions
            where not is_outside and place not in ('not_loaded', 'outside')
            {'order by _hashrow, at' if of.values else ''}
        ),
        files as (
            select number - 1 as number, day from unnest(%s::date[]) with ordinality as file (day, number)
        )
        select first.day, files.day - first.day, count(*)
        from first inner join files on first.at >> {LINE_BITS} = files.number
        where files.day > first.day group by 1, 2
        """,
        (days,),
    )
    found: list[tuple[date, int, int]] = of.cursor.fetchall()
    return [*found, *(of.equal.lateness(days) if of.equal else ())]
