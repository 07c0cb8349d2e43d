"""A changed declaration carried through everything that was stored under the one before, in one transaction."""

import re

import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError, first_line
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres import contents, declarations, place, undeclared
from kly_mage.warehouse.postgres.conflicts import find_questions
from kly_mage.warehouse.postgres.declarations import Change, column_types
from kly_mage.warehouse.postgres.gold_checks import Block, lock, rebuild
from kly_mage.warehouse.postgres.rehash import Rehash
from kly_mage.warehouse.postgres.retype import retype
from kly_mage.warehouse.postgres.tables import bronze_table, corrections_table, exists, registry_columns

_TABLES = ('', '_hashrow', '_conflicts', '_corrections')


def derive(cursor: Cursor, ddl: str) -> None:
    """Run the derived statements; where a view changes its columns, what hangs on it is made again after it.

    Raises:
        WarehouseError: a view of somebody else needs what is no longer there.
    """
    declarations.prepare(cursor)
    before = {name: _Before(cursor, source) for name, source in SOURCES.items()}
    for source in SOURCES.values():
        undeclared.spread(cursor, source)
    cursor.execute('savepoint derived')
    try:
        cursor.execute(ddl)
    except (psycopg2.errors.InvalidTableDefinition, psycopg2.errors.DependentObjectsStillExist):
        cursor.execute('rollback to savepoint derived')
        cursor.execute('select ops.set_aside(%s)', (_own_views(ddl),))
        cursor.execute(ddl)
    _put_back(cursor)
    for name, source in SOURCES.items():
        before[name].bring_along(cursor, source)
        _note_late(cursor, source, before[name])
        if source.whole_days and before[name].columns and '_file_day' not in before[name].columns:
            # Declared later, of a source that had been hashed over all columns: which files its rows are of is not known.
            cursor.execute(sql.SQL('update {} set _file_day = _partition_date').format(bronze_table(source)))


def carry_through(cursor: Cursor, changes: list[Change], ddl: str, timezone: str, block: Block) -> list[str]:
    """Cast columns, hash rows again, and build gold again: loads, refreshes and readers of these sources wait meanwhile.

    Returns:
        What was done, one line each.

    Raises:
        WarehouseError: stored rows, or a view of somebody else, do not go with the declaration.
    """
    lock(cursor)
    for change in changes:
        cursor.execute(sql.SQL('lock table {} in access exclusive mode').format(bronze_table(change.source)))
    names = [f'bronze.{change.source.name}{suffix}' for change in changes for suffix in _TABLES]
    cursor.execute('select ops.set_aside(%s)', (_own_views(ddl) + names,))
    declarations.prepare(cursor)
    for change in changes:
        _drop_key(cursor, change.source)
    before = {name: _Before(cursor, source) for name, source in SOURCES.items()}
    told = []
    for source in SOURCES.values():
        undeclared.spread(cursor, source)
    for change in changes:
        for name, kind in change.types.items():
            retype(cursor, change.source, name, kind, timezone)
            told.append(f'{change.source.name}.{name} is {kind} now')
    keys = '|'.join(re.escape(change.source.name) for change in changes)
    cursor.execute(re.sub(rf'^create unique index if not exists ({keys})_conflicts_key .*$', '', ddl, flags=re.MULTILINE))
    for name, source in SOURCES.items():
        before[name].bring_along(cursor, source)
    is_moved = bool(told)
    for change in changes:
        if change.is_released:
            cursor.execute(sql.SQL('delete from {}').format(corrections_table(change.source)))
            cursor.execute('delete from ops.deliveries where source = %s', (change.source.name,))
            told.append(f'{change.source.name}: rows that newer deliveries had taken back count again')
            is_moved = True
        if not change.is_rehash:
            continue
        is_by_row = change.rule.columns is None
        rehash = Rehash(cursor, change.source, before[change.source.name].values, is_by_row, timezone)
        moved = rehash.run()
        told.append(f'{change.source.name}: hashed over {declarations.HashRule.of(change.source)}; {moved}')
        is_moved |= moved.changes_gold
    for change in changes:
        _tidy(cursor, change.source)
        contents.forget(cursor, change.source)  # sums over the hashes there were
    cursor.execute(ddl)
    for change in changes:
        if change.is_rehash and change.source.applies_restatements:
            find_questions(cursor, change.source)
    for name, source in SOURCES.items():
        _note_late(cursor, source, before[name])
    _put_back(cursor)
    if is_moved:
        rebuild(cursor, block)
        told.append('gold is built anew from bronze')
    return told


class _Before:
    """How the tables of a source were: its columns, those of the conflicts, and those the hash left out."""

    def __init__(self, cursor: Cursor, source: Source) -> None:
        self.columns = list(column_types(cursor, f'bronze.{source.name}'))
        self.known = column_types(cursor, f'bronze.{source.name}_hashrow')
        self.further = column_types(cursor, f'bronze.{source.name}_conflicts')
        self.values = [name for name in self.further if f'counted_{name}' in self.further]

    def bring_along(self, cursor: Cursor, source: Source) -> None:
        """Make what is known of undeclared columns follow the declaration."""
        undeclared.bring_along(cursor, source, self.columns, self.known, self.further)


def _note_late(cursor: Cursor, source: Source, before: _Before) -> None:
    """Keep which values the rows stored so far could not have; what was in the hash they had."""
    if not before.known:
        return
    for column in source.value_columns:
        if column.name not in before.columns:
            cursor.execute(
                'insert into ops.late_columns select %s, %s, greatest(clock_timestamp(), max(watermark))'
                ' from ops.watermarks where isfinite(watermark) on conflict do nothing',
                (source.name, column.name),
            )


def _tidy(cursor: Cursor, source: Source) -> None:
    """Columns of the registry and of the further versions that are no values any more go."""
    values = [column.name for column in source.version_columns]
    kept = {name for name, _, _ in registry_columns(source)}
    known = f'{source.name}_hashrow'
    stale = [(known, name) for name in column_types(cursor, f'bronze.{known}') if name not in kept]
    if source.value_columns:
        found = column_types(cursor, f'bronze.{source.name}_conflicts')
        stale += [
            (f'{source.name}_conflicts', f'counted_{name}')
            for name in found
            if f'counted_{name}' in found and name not in values
        ]
    for table, name in stale:
        cursor.execute(sql.SQL('alter table bronze.{} drop column {}').format(sql.Identifier(table), sql.Identifier(name)))
    for name in place.COLUMNS if source.knows_places else ():
        column = sql.SQL('alter table bronze.{} alter {} set not null')
        cursor.execute(column.format(sql.Identifier(known), sql.Identifier(name)))


def _drop_key(cursor: Cursor, source: Source) -> None:
    if exists(cursor, 'bronze', f'{source.name}_conflicts_key'):
        cursor.execute(sql.SQL('drop index bronze.{}').format(sql.Identifier(f'{source.name}_conflicts_key')))


def _own_views(ddl: str) -> list[str]:
    return re.findall(r'^create or replace view (\S+)', ddl, re.MULTILINE)


def _put_back(cursor: Cursor) -> None:
    """Make again what hangs on views that have been made anew, if any were, by a migration too."""
    if not column_types(cursor, 'pg_temp.set_aside'):
        return
    try:
        cursor.execute('select ops.put_back()')
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise WarehouseError(first_line(error)) from error
