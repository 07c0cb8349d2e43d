"""The open transaction of one load: takes its locks and its stamp, inserts what is new, and gives every row its place."""

from datetime import datetime
from decimal import Decimal

import polars as pl
import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import LimitError, RetryableError
from kly_mage.common.settings import UTC
from kly_mage.common.timer import timer
from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.landing.outside import OUTSIDE
from kly_mage.rows import rowhash
from kly_mage.warehouse import forgetting
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.postgres import forgotten, locks, place
from kly_mage.warehouse.postgres.completion import LateColumns
from kly_mage.warehouse.postgres.conflicts import Versions
from kly_mage.warehouse.postgres.contents import Contents
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.ddl import has_partition
from kly_mage.warehouse.postgres.declarations import refuse_other_rule
from kly_mage.warehouse.postgres.deliveries import Deliveries
from kly_mage.warehouse.postgres.known import KnownRows
from kly_mage.warehouse.postgres.quarantine import Quarantine
from kly_mage.warehouse.postgres.refusals import said
from kly_mage.warehouse.postgres.rules import Rules
from kly_mage.warehouse.postgres.tables import bronze_table, registry, table_columns
from kly_mage.warehouse.postgres.unchanged import Unchanged
from kly_mage.warehouse.postgres.watch import session_name

_FILLED = ('_partition_date', '_hashrow', '_created_at', '_updated_at', '_load_id')


class Transaction:
    """The open transaction of one load.

    Args:
        cursor: its commit keeps all of the load, its rollback nothing.
        window: the days; loads of other days go on beside it.

    Raises:
        RetryableError: the day has changed since the partitions were made.
        WarehouseError: bronze is hashed by another rule than the declaration's.
    """

    def __init__(self, cursor: Cursor, source: Source, load_id: int, window: Window) -> None:
        self.cursor, self.source, self.load_id = cursor, source, load_id
        self.changed = False
        self.articles: set[str] = set()  # of a source of versions: those of which another may count now
        self.files_read: set[tuple[str, datetime]] = set()  # name and state, for a source whose files are read once
        self.left_out: dict[str, str] = {}  # why, by the file's name
        self.counts = Counts(money_read=Decimal(0) if source.money_columns else None)
        # Look hashes up in the registry's index: the cost then follows the rows at hand, not the history.
        cursor.execute('set local enable_hashjoin = off; set local random_page_cost = 1.1')  # until finish
        cursor.execute('set local application_name = %s', (session_name(f'load {load_id}'),))  # whoever waits can name us
        cursor.execute(sql.SQL('lock table only {} in row exclusive mode').format(bronze_table(source)))
        refuse_other_rule(cursor, source)  # after the lock: from here on it cannot change
        locks.lock_days(cursor, source, window)
        # Beyond the watermark by the load's own number: no two loads then share a stamp, which tells their rows apart.
        cursor.execute(
            "select clock_timestamp(), greatest(clock_timestamp(), max(watermark) + %s * interval '1 microsecond')"
            ' from ops.watermarks where isfinite(watermark)',
            (load_id,),
        )
        self.created_at, self.stamp = cursor.fetchone()
        if not has_partition(cursor, source, self.stamp.astimezone(UTC).date()):
            raise RetryableError(f'no partition of bronze.{source.name} for {self.stamp}: the day has changed meanwhile')
        self.columns = [name for name in table_columns(cursor, source) if name not in _FILLED]
        stamp = sql.Literal(self.stamp)
        self.forgotten = forgotten.persons(cursor, source)  # after the lock as well: who is forgotten while files are read
        self.known = KnownRows(cursor, source, stamp)
        self.contents = Contents(source)
        self.unchanged = Unchanged(cursor, source, window)
        self.deliveries = Deliveries(cursor, source, window, stamp)
        self.rules = Rules(cursor, source, load_id)
        self.versions = Versions(cursor, source, load_id, stamp)
        self.quarantine = Quarantine(cursor, source, load_id)
        self.late = LateColumns(cursor, source) if source.value_columns else None

    def insert(self, frame: pl.DataFrame) -> None:
        """Insert one slice and count it."""
        frame = self.unchanged.begin(frame, self.contents.states)
        if self.source.any_day and '_modified_at' in frame.columns:  # rejects too: such a file is read once
            read = frame.filter(pl.col('_line') != FILE_LINE)
            self.files_read.update(read.select('_file', '_modified_at').unique().rows())
        if self.forgotten:
            frame, theirs = forgetting.part(self.forgotten, frame)
            self.counts.add('rows_forgotten', theirs.with_columns(pl.col('_duplicate_rows') + 1), '_duplicate_rows')
        rejected, rows = frame.clear(), frame
        if frame['_reject'].null_count() < frame.height:
            rejected, rows = (frame.filter(kind) for kind in (pl.col('_reject').is_not_null(), pl.col('_reject').is_null()))
            rejected = self._leave_out(self._within(self.deliveries.begin(rejected)))
        self.counts.add('rows_rejected', rejected)
        if not rows.height:
            return
        self.counts.add_money(self.source, rows)
        rows, superseded = self.deliveries.divide(rows)
        self.counts.add('rows_superseded', superseded, 'copies')
        self.counts.add('rows_duplicate', rows, '_duplicate_rows')
        if not rows.height:
            return
        day = pl.col('_hashrow').str.head(8).alias('_utc_day')
        rows = rows.with_columns(day, rowhash.stored(rows['_hashrow']), *rowhash.stored_undeclared(rows, self.source))
        held = self.contents.sums(rows)
        self.contents.hold(held)
        self.deliveries.meet(rows)
        if self.late:
            rows = self.late.complete(rows, self.load_id, sql.Literal(self.stamp))
        first, further = rows, rows.clear()
        if self.source.version_columns or rowhash.of_several_files(rows):
            is_first = rows['_hashrow'].is_first_distinct()
            first, further = rows.filter(is_first), rows.filter(~is_first)
        with timer('known?'):
            seen = self.known.find(first)
        new = _without(first, seen['i'])
        self._insert_new(new)
        if self.source.versioned:
            self.articles |= set(new['content_id'])
        with timer('rules'):
            self.rules.check(new)
        self.contents.bring(held if new is rows else self.contents.sums(new))
        old = self._known(first, seen)
        self._delivered_again(first)
        if further.height:  # the registry knows the first of their key by now; they may differ from it, or be it again
            old = pl.concat([old, self._known(further, self.known.find(further))])
            self._delivered_again(further)
        self.changed |= new.height > 0
        self.counts.add('rows_new', new)
        self.counts.add('rows_duplicate', old.filter('_duplicate'))
        self.counts.add('rows_already_loaded', old.filter(~pl.col('_duplicate') & ~pl.col('_other')))
        if self.source.version_columns:
            others = old.filter('_other').drop('_duplicate', '_other')
            self.unchanged.keep_nothing(others)
            met = self.versions.keep(others)
            self.counts.add('rows_duplicate', met, 'repeated')
            if self.source.applies_restatements:  # the last file has its say before each has its place
                self.versions.note(old)
            else:
                self.counts.add('rows_conflicting', met, 'versions')

    def _known(self, rows: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
        """The rows that ``seen`` is about, with its answers under names no file has; where nothing differs, just days.

        Those of them that this load has brought before, of another file, their own file brings as well.
        """
        if (again := seen['i'].filter(seen['duplicate'])).len():
            self.contents.bring(self.contents.sums(rows[again]))
        columns = rows.columns if self.source.version_columns else ['_file', '_partition_date']
        return rows.select(name for name in rows.columns if name in columns)[seen['i']].with_columns(
            seen['duplicate'].alias('_duplicate'), seen['other'].alias('_other')
        )

    def finish(self) -> Counts:
        """Write what may touch other loads; say that articles have changed: nothing else tells ``gold.daily_summary``."""
        self.cursor.execute('set local enable_hashjoin = on')
        if self.counts.rows_rejected or self.left_out:
            locks.lock_decisions(self.cursor, self.source.name, shared=True)
            with timer('rejects'):
                accepted = self.quarantine.finish()
            self.counts.rejects_accepted = sum(accepted.values())
            for place, count in accepted.items():
                self.counts.files.setdefault(place, {})['rejects_accepted'] = count
        if self.source.applies_restatements:
            with timer('restatements'):
                self.versions.restate(self.counts)
        if self.counts.rows_conflicting:
            self.counts.conflicts_accepted = self.versions.accepted()
        with timer('unchanged'):
            self.unchanged.count(self.counts)
        self.files_read.update((file, self.contents.states[file]) for file in self.unchanged.told)
        self.rules.finish()
        if self.source.versioned and self.changed:
            self.cursor.execute(
                'insert into ops.watermarks (mart, watermark, refreshed_at) values (%s, %s, clock_timestamp())'
                ' on conflict (mart) do update set watermark = excluded.watermark, refreshed_at = excluded.refreshed_at',
                (f'bronze.{self.source.name}', self.stamp),
            )
            self.cursor.execute(
                'insert into gold.daily_summary_changes (content_id) select unnest(%s::text[])', (list(self.articles),)
            )
        return self.counts

    def _insert_new(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        instant = pl.Datetime('us', 'UTC')
        stamped = rows.with_columns(
            pl.lit(self.created_at).cast(instant).alias('_created_at'),
            pl.lit(self.stamp).cast(instant).alias('_updated_at'),
            pl.lit(self.load_id, pl.Int64).alias('_load_id'),
        )
        keys = ['_hashrow', '_updated_at']
        if self.source.knows_places:
            keys += [*place.COLUMNS, *(column.name for column in self.source.version_columns)]
        keys += ['content_id'] if self.source.versioned else []
        with timer('registry'):
            self._copy(stamped.select(keys)[rowhash.order(stamped['_hashrow'])], registry(self.source))
        self.known.add(rows)
        own = [name for name in self.columns if name in rows.columns]
        try:
            with timer('COPY'):
                self._copy(stamped.select(*own, *_FILLED), bronze_table(self.source))
        except psycopg2.errors.ProgramLimitExceeded as error:
            raise LimitError(_too_wide(rows.select('_file', '_line', *own), error)) from error

    def _delivered_again(self, rows: pl.DataFrame) -> None:
        """Note which known versions of these rows were delivered again, later: what was edited back counts again."""
        if not self.source.versioned:
            return
        self.cursor.execute(
            sql.SQL(
                'update {registry} as known'
                ' set _delivered_at = again._delivered_at, _file = again._file, _line = again._line from ('
                '     select distinct on (_hashrow) * from incoming order by _hashrow, {last}'
                ' ) as again where again._hashrow = known._hashrow and ({again}) > ({known}) returning known._hashrow::text'
            ).format(
                registry=registry(self.source),
                last=place.newest_first('incoming'),
                again=place.row_of('again'),
                known=place.row_of('known'),
            )
        )
        again = [bytes.fromhex(text.replace('-', '')) for (text,) in self.cursor.fetchall()]
        if again:
            self.changed = True
            self.cursor.execute(  # of an article's only version, no other can count for it
                sql.SQL(
                    'select content_id from {} where content_id = any(%s::text[]) group by 1 having count(*) > 1'
                ).format(bronze_table(self.source)),
                (rows.filter(pl.col('_hashrow').is_in(again))['content_id'].unique().to_list(),),
            )
            self.articles |= {content_id for (content_id,) in self.cursor.fetchall()}

    def _copy(self, frame: pl.DataFrame, table: sql.Composable) -> None:
        names = sql.SQL(', ').join(map(sql.Identifier, frame.columns))
        copy(self.cursor, frame, sql.SQL('{} ({})').format(table, names).as_string(self.cursor))

    def _within(self, rejected: pl.DataFrame) -> pl.DataFrame:
        """Count the rows outside the days of their file; gives the others, which are rejects."""
        is_outside = pl.col('_reject') == OUTSIDE
        self.counts.add_outside(self.source, rejected.filter(is_outside))
        return rejected.filter(~is_outside)

    def _leave_out(self, rejected: pl.DataFrame) -> pl.DataFrame:
        """Keep all rejects; gives those that are rows, without those that stand for a file that was left out."""
        self.quarantine.add(rejected)
        whole_file = pl.col('_line') == FILE_LINE
        reason = pl.col('_reject').str.json_path_match('$.reason')
        self.left_out |= dict(rejected.filter(whole_file).select('_file', reason).rows())
        return rejected.filter(~whole_file)


def _too_wide(rows: pl.DataFrame, error: psycopg2.Error) -> str:
    """Which row is more than a row of PostgreSQL holds: it says of which block of rows only, so the fullest is named."""
    filled = rows.select(pl.sum_horizontal(pl.all().is_not_null()))
    fullest = rows.row(int(filled.to_series().arg_max() or 0), named=True)
    return (
        f'{fullest["_file"]}, line {fullest["_line"]}: the row fills more columns than PostgreSQL holds ({said(error)}); '
        'deliver fewer columns'
    )


def _without(rows: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """The rows, those at some places left out."""
    if not len(places):
        return rows
    return rows.filter(pl.repeat(True, rows.height, eager=True).scatter(places, False))
