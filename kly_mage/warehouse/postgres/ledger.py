"""What ``ops`` and the landing zone tell about days: what became of their rows, and which of them never came."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile
from kly_mage.warehouse.postgres.connection import connect

PARTS = ('new', 'already_loaded', 'duplicate', 'rejected', 'conflicting')


def word(part: str) -> str:
    """A part of a load as people read it."""
    return part.replace('_', ' ')


@dataclass(frozen=True)
class Reject:
    """One row that cannot be used."""

    file: str
    line: int
    column: str | None
    value: str | None
    reason: str

    def __str__(self) -> str:
        where = f'{self.file}, line {self.line}'
        if self.column is None:
            return f'{where}: {self.reason}'
        value = f' {_short(self.value)}' if self.value else ''
        return f'{where}: {self.column}{value} {"is " if value else ""}{self.reason}'


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


def rejects(settings: Settings, load_id: int, limit: int) -> list[Reject]:
    """The first rows that this load was the first to reject."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'select file, line, column_name, value, reason from bronze.rejects'
            ' where load_id = %s order by file, line limit %s',
            (load_id, limit),
        )
        return [Reject(*row) for row in cursor.fetchall()]


def missing_days(settings: Settings, source: Source, files: Iterable[LandingFile], window: Window) -> list[date]:
    """The days of ``window`` for which there is no file of that date and no load has ever seen a row.

    Args:
        files: all files of the source, as ``landing.find_files`` gives them.
    """
    absent = days_without_file(source, files, window)
    if not absent:
        return []
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            'select distinct day from ops.load_days inner join ops.loads using (load_id)'
            ' where source = %s and day = any(%s)',
            (source.name, absent),
        )
        seen = {day for (day,) in cursor.fetchall()}
    return [day for day in absent if day not in seen]


def days_without_file(source: Source, files: Iterable[LandingFile], window: Window) -> list[date]:
    """The days of ``window`` without a file of that date.

    Nobody publishes every day: a source that is loaded whole (``any_day``) from an undated file misses no day.
    """
    dated = {file.day for file in files}
    return [] if source.any_day and None in dated else [day for day in window if day not in dated]


def spans(days: Iterable[date]) -> str:
    """Days as a person writes them: ``2025-10-01, 2025-10-03 to 2025-10-05``."""
    found: list[list[date]] = []
    for day in sorted(days):
        if found and day - found[-1][-1] == timedelta(days=1):
            found[-1][1:] = [day]
        else:
            found.append([day])
    return ', '.join(' to '.join(map(str, span)) for span in found)


def _short(value: str | None) -> str:
    """A value as part of a message: on one line, and not a megabyte of it."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:50]}… ({len(value or "")} characters)'
