"""What finished loads have kept of the files they read, so that a file that has not changed is not read again.

``ops.files`` has for each file what it was (``content``, see ``landing/unchanged.py``) and what became of its rows by day
(``held``): ``days`` are those that loads have taken, with their counts, ``seen`` all of which it has rows, and its own day;
``outside`` are the rows of days that it may not hold. The empty day stands for rows without one.

It is kept where the next reading would find the same: not of a file with conflicting rows, whose place depends on other
files, nor of one that holds other rows than it was loaded with. And it is dropped with whatever takes rows out of bronze,
hashes them anew, or decides about rejects. A registry that was emptied or made anew is another one, and nothing kept counts.
"""

import json
from collections.abc import Collection, Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import ReadAgainError
from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.warehouse.announced import Announced, days_of
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.postgres import locks
from kly_mage.warehouse.postgres.connection import connect

_NO_DAY = ''
_KEPT = ('rows_duplicate', 'rows_rejected', 'rows_superseded', 'rows_forgotten', 'rejects_accepted')
_THIS_REGISTRY = "pg_relation_filenode(format('bronze.%%I', %(source)s || '_hashrow'))"
KEPT_OF = (
    'select file, content, held from ops.files'
    f" where source = %(source)s and file = any(%(files)s) and held ? 'seen' and registry = {_THIS_REGISTRY}"
)


class Unchanged(Announced):
    """What one load hears of its files: which of them were read, and which are as they were.

    Args:
        cursor: the load's transaction; it holds the locks that keep rows from being taken out.
    """

    def __init__(self, cursor: Cursor, source: Source, window: Window) -> None:
        super().__init__(source, window)
        self.cursor = cursor
        self.not_kept: set[str] = set()
        self.unread: dict[date, set[str]] = {}  # files with usable rows of a day that were not read; once counted

    def keep_nothing(self, rows: pl.DataFrame) -> None:
        """Keep nothing of the files of these rows."""
        if '_file' in rows.columns:
            self.not_kept.update(rows['_file'].unique())

    def count(self, counts: Counts) -> None:
        """Count what was not read.

        Raises:
            ReadAgainError: what was kept when the files were looked at is not kept any more.
        """
        skipped = [*self.skipped]
        if not skipped:
            return
        self.cursor.execute(KEPT_OF, {'source': self.source.name, 'files': skipped})
        kept = {file: (content, held) for file, content, held in self.cursor.fetchall()}
        for name in skipped:
            content, held = kept.get(name, (None, {}))
            if content != self.told[name]['content'] or not self._is_enough(held, self.told[name]):
                raise ReadAgainError(f'{name}: what earlier loads have had of it was taken out meanwhile')
            self._count(counts, name, held, self.told[name])

    def _is_enough(self, held: dict[str, Any], told: dict[str, Any]) -> bool:
        if told['is_read']:
            return all(day in held['days'] for day in told['loaded'])
        waiting = days_of(day for day in held['seen'] if day not in held['days'])
        return self.source.any_day or not any(day in self.window for day in waiting)

    def _count(self, counts: Counts, file: str, held: dict[str, Any], told: dict[str, Any]) -> None:
        for text, of_day in held['days'].items():
            day = date.fromisoformat(text) if text else None
            if told['is_read'] and text not in told['loaded']:
                continue
            if not self.source.any_day and (day or self.own_day(file) or self.window.start) not in self.window:
                continue
            if day and has_rows(of_day):
                self.unread.setdefault(day, set()).add(file)
            for kind in ('rows_unchanged', *_KEPT):
                if kind == 'rejects_accepted':
                    counts.rejects_accepted += of_day.get(kind, 0)
                elif count := of_day.get(kind):
                    counts.add_count(kind, None, day, count)
            if 'money' in of_day:
                counts.add_amount(None, day, Decimal(of_day['money']))
        if not told['is_read'] and self.own_day(file) in self.window:
            for text, rows, money in held.get('outside', ()):
                counts.add_outside_of(file, date.fromisoformat(text), rows, None if money is None else Decimal(money))

    def kept(self, counts: Counts, changed: Collection[str]) -> dict[str, tuple[str, dict[str, Any]]]:
        """What is to be kept of each file, by its name: content and ``held``; what is there already is added to.

        Args:
            counts: all rows of the load.
            changed: files that hold other rows than they were loaded with.
        """
        days: dict[str, dict[str, Any]] = {}
        for (file, day), numbers in counts.files.items():
            days.setdefault(file, {})[day.isoformat() if day else _NO_DAY] = _numbers(numbers)
        outside: dict[str, list[Any]] = {}
        for (file, day), (rows, money) in counts.outside.items():
            outside.setdefault(file, []).append([day.isoformat(), rows, None if money is None else str(money)])
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        for file, told in self.told.items():
            if file in self.not_kept or file in changed:
                continue
            held: dict[str, Any] = {'days': {}}
            if told['is_read']:
                seen, taken = self.days_read(file)
                held = {'days': {d: {} for d in taken} | days.get(file, {}), 'seen': seen}
                if self.own_day(file) in self.window:
                    held['outside'] = outside.get(file, [])
            found[file] = (told['content'], held)
        return found


def drop(cursor: Cursor, source: str, condition: str = 'true', *values: Any) -> None:
    """Keep nothing any more of the files of a source for which a condition holds."""
    cursor.execute(
        f'update ops.files set content = null, held = null, registry = null'
        f' where source = %s and content is not null and {condition}',
        (source, *values),
    )


def read_again(settings: Settings, source: Source, files: list[str]) -> None:
    """Let the next load read these files."""
    with connect(settings) as connection, connection.cursor() as cursor:
        drop(cursor, source.name, 'file = any(%s)', files)


def decide(cursor: Cursor, sources: Iterable[str]) -> None:
    """Keep loads from counting rejects of these sources until the transaction ends; the next ones read their files again."""
    for source in sorted(sources):
        locks.lock_decisions(cursor, source)
        drop(cursor, source, 'file in (select file from bronze.rejects where source = %s)', source)


def note(cursor: Cursor, source: Source, load_id: int, files: Iterable[dict[str, Any]]) -> None:
    """Note the state of files, each with what is kept of it (``content``, ``held``) or without.

    Of a file that was not read (nothing is ``seen`` of it) no more is kept than there is: another load, of other days, may
    have kept nothing of it since this one has counted on that.
    """
    cursor.execute(
        'insert into ops.files as before (source, file, size, modified_at, load_id, content, held, registry)'
        ' select %(source)s, file, size, modified_at, %(load_id)s, content, held,'
        f' case when content is not null then {_THIS_REGISTRY} end'
        ' from json_populate_recordset(null::ops.files, %(files)s) order by file'
        ' on conflict (source, file) do update set size = excluded.size, modified_at = excluded.modified_at,'
        ' load_id = excluded.load_id, (content, registry, held) = (select'
        " case when is_same or excluded.held ? 'seen' then excluded.content end,"
        " case when is_same or excluded.held ? 'seen' then excluded.registry end,"
        ' case when is_same then before.held || excluded.held'
        " || jsonb_build_object('days', (before.held -> 'days') || (excluded.held -> 'days'))"
        " when excluded.held ? 'seen' then excluded.held end"
        ' from (select (before.content, before.registry) = (excluded.content, excluded.registry) as is_same) as told)',
        {'source': source.name, 'load_id': load_id, 'files': json.dumps(list(files))},
    )


def _numbers(counts: dict[str, Any]) -> dict[str, Any]:
    unchanged = sum(counts.get(kind, 0) for kind in ('rows_new', 'rows_already_loaded'))
    told = {'rows_unchanged': unchanged} | {kind: counts.get(kind, 0) for kind in _KEPT}
    found: dict[str, Any] = {kind: count for kind, count in told.items() if count}
    return found | ({'money': str(counts['money'])} if 'money' in counts else {})


def has_rows(of_day: dict[str, Any]) -> bool:
    """Whether a load has taken usable rows of a day, by what is kept of them."""
    return bool(of_day.get('rows_unchanged') or of_day.get('rows_duplicate'))
