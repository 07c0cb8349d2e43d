"""Versions of rows that bronze knows with other numbers: kept as conflicts, or made to count as restatements."""

from datetime import date

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.rows import rowhash
from kly_mage.warehouse.counts import Counts
from kly_mage.warehouse.postgres import place
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.exchange import exchange, own_columns, were
from kly_mage.warehouse.postgres.tables import conflicts_table, corrections_table, registry


class Versions:
    """The further versions that one load meets, of rows of a source with ``version_columns``.

    Args:
        cursor: the load's transaction.
        stamp: the load's ``_updated_at`` as a SQL literal.
    """

    def __init__(self, cursor: Cursor, source: Source, load_id: int, stamp: sql.Literal) -> None:
        self.cursor, self.source, self.load_id, self.stamp = cursor, source, load_id, stamp
        self.values = [column.name for column in source.version_columns]
        self.own = own_columns(source)
        self.has_met = False

    def keep(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep every further version of a row, once, beside the version that counts.

        Where restatements apply, a version that counted once and is delivered again is none: bronze or the log has it.

        Returns:
            By ``_partition_date``: how many of the rows are versions this load has not met yet (``versions``), and how many
            repeat one that it has met, be it in another slice of the file (``repeated``).
        """
        if not rows.height:
            return pl.DataFrame(schema={'_partition_date': pl.Date, 'versions': pl.Int64, 'repeated': pl.Int64})
        table = conflicts_table(self.source)
        self.cursor.execute(
            sql.SQL('create temp table if not exists versions (like {} including defaults) on commit drop').format(table)
        )
        self.cursor.execute('alter table versions alter _updated_at drop not null, alter _load_id drop not null')
        further = rowhash.undeclared_values(rows, self.source)
        self._copy(rows.with_columns(further), 'versions', *(['_undeclared_values'] if further else []))
        self.cursor.execute(
            sql.SQL(
                'insert into {table} ({own}, _undeclared_values, {counted}, _updated_at, _load_id)'
                ' select {version_own}, _undeclared_values, {known}, {stamp}, {load_id}'
                ' from versions inner join {registry} as known using (_hashrow)'
                ' where not exists ('
                '     select from {log} as before where before._hashrow = versions._hashrow and sign < 0'
                '     and ({before}) is not distinct from ({version})'
                ' ) order by {first} on conflict do nothing'
            ).format(
                table=table,
                first=place.row_of('versions'),
                own=sql.SQL(', ').join(map(sql.Identifier, self.own)),
                counted=sql.SQL(', ').join(sql.Identifier(f'counted_{name}') for name in self.values),
                version_own=sql.SQL(', ').join(sql.Identifier('versions', name) for name in self.own),
                known=sql.SQL(', ').join(sql.Identifier('known', name) for name in self.values),
                stamp=self.stamp,
                load_id=sql.Literal(self.load_id),
                registry=registry(self.source),
                log=corrections_table(self.source),
                before=sql.SQL(', ').join(sql.Identifier('before', name) for name in self.values),
                version=sql.SQL(', ').join(sql.Identifier('versions', name) for name in self.values),
            )
        )
        return self._met()

    def _met(self) -> pl.DataFrame:
        """Count what is in ``versions``, and empty it."""
        self.has_met = True
        version = sql.SQL(', ').join(map(sql.Identifier, ('_hashrow', *self.values)))
        self.cursor.execute(
            sql.SQL(
                'create temp table if not exists met on commit drop as'
                ' select _partition_date, {version}, true as is_question from versions limit 0;'
                'create unique index if not exists met_once on met ({version}) nulls not distinct;'
                'with first as ('
                '  insert into met select _partition_date, {version}, true from versions on conflict do nothing'
                '  returning _partition_date'
                '), days as (select _partition_date, count(*) as rows from first group by _partition_date)'
                ' select _partition_date, coalesce(max(days.rows), 0), count(*)'
                ' from versions left join days using (_partition_date) group by _partition_date'
            ).format(version=version)
        )
        days = [(day, first, rows - first) for day, first, rows in self.cursor.fetchall()]
        self.cursor.execute('truncate versions')
        return pl.DataFrame(
            days, schema={'_partition_date': pl.Date, 'versions': pl.Int64, 'repeated': pl.Int64}, orient='row'
        )

    def accepted(self) -> int:
        """How many of the versions this load has met, and that wait where nobody decides, somebody has accepted."""
        self.cursor.execute(
            sql.SQL(
                'select count(*) from met inner join {} as further using (_hashrow)'
                ' where accepted_at is not null and is_question and {}'
            ).format(conflicts_table(self.source), self._same('met', 'further'))
        )
        return int(self.cursor.fetchone()[0])

    def note(self, rows: pl.DataFrame) -> None:
        """Put the versions of known rows aside, equal ones too: what was restated and taken back counts again."""
        self.cursor.execute(
            sql.SQL('create temp table if not exists delivered on commit drop as select {} from {} limit 0').format(
                sql.SQL(', ').join(map(sql.Identifier, self.own)), corrections_table(self.source)
            )
        )
        if rows.height:
            self._copy(rows, 'delivered')

    def restate(self, counts: Counts) -> None:
        """Let the version of the newest file count, of its rows the first; the marts add the difference, once.

        Args:
            counts: gets how many rows count in another version now, and the place of each version that this load has met:
                it is ``restated`` and counts, ``conflicting`` if another one of its row stands before it in its file, which
                is no restatement, or else ``superseded``.
        """
        self.note(pl.DataFrame())
        self.cursor.execute('analyze delivered')  # or the planner takes a million versions for a few, and loops over them
        if self.has_met:
            self.cursor.execute('analyze met')
            self._find_questions()
        counts.rows_replaced += self._let_newest_count()
        if self.has_met:
            for kind, day, rows in self._places():
                counts.add_count(kind, None, day, rows)

    def _find_questions(self) -> None:
        """Tell the versions that stand behind another one of their row, in the first file that has them, from the others."""
        self.cursor.execute(
            sql.SQL(
                'with placed as ('
                '  select *, min(_line) over (partition by _hashrow, {file}) < _line as is_behind from delivered'
                '), first as ('
                '  select distinct on (_hashrow, {values}) * from placed order by _hashrow, {values}, {first}'
                ') update met'
                ' set is_question = (is_behind or ({first_file}) is not distinct from ({known_file})) and exists ('
                # Not one that has counted before: bronze or the log has that.
                '  select from {conflicts} as further where further._hashrow = met._hashrow and {kept}'
                ' ) from first inner join {registry} as known using (_hashrow)'
                ' where met._hashrow = first._hashrow and {same}'
            ).format(
                file=place.file_of('delivered'),
                first=place.row_of('placed'),
                first_file=place.file_of('first'),
                known_file=place.file_of('known'),
                values=sql.SQL(', ').join(map(sql.Identifier, self.values)),
                registry=registry(self.source),
                conflicts=conflicts_table(self.source),
                kept=self._same('met', 'further'),
                same=self._same('met', 'first'),
            )
        )

    def _places(self) -> list[tuple[str, date | None, int]]:
        """Which places the versions met have now, of which days, and how many; nobody has to decide about restatements."""
        self.cursor.execute(
            sql.SQL(
                'with placed as ('
                "  select met.*, case when {is_known} then 'rows_restated' when is_question then 'rows_conflicting'"
                "   else 'rows_superseded' end as place, {is_known} or not is_question as is_settled"
                '  from met inner join {registry} as known using (_hashrow)'
                '), noted as ('
                '  update {conflicts} as further set is_restatement = is_settled from placed'
                '  where further._hashrow = placed._hashrow and {same} and is_restatement is distinct from is_settled'
                ') select place, _partition_date, count(*) from placed group by 1, 2'
            ).format(
                is_known=self._same('met', 'known'),
                registry=registry(self.source),
                conflicts=conflicts_table(self.source),
                same=self._same('placed', 'further'),
            )
        )
        found: list[tuple[str, date | None, int]] = self.cursor.fetchall()
        return found

    def _let_newest_count(self) -> int:
        """Of each row, if its newest file is newer than that of the version that counts; gives how many have changed."""
        self.cursor.execute(
            sql.SQL(
                'with newest as ('
                '  select distinct on (_hashrow) {own} from delivered order by _hashrow, {newest_first}'
                '), later as ('
                '  select {newest_own}, {were} from newest inner join {registry} as known using (_hashrow)'
                '  where ({newest_file}) > ({known_file})'
                '), other as ('
                '  select * from later where ({now}) is distinct from ({was})'
                '), noted as ({exchange} returning sign), moved as ('
                '  update {registry} as known set {set} from later where known._hashrow = later._hashrow'
                ') select count(*) from noted where sign > 0'
            ).format(
                own=sql.SQL(', ').join(map(sql.Identifier, self.own)),
                newest_first=place.newest_file_first('delivered'),
                newest_file=place.file_of('newest'),
                known_file=place.file_of('known'),
                newest_own=sql.SQL(', ').join(sql.Identifier('newest', name) for name in self.own),
                were=were(self.source, 'known'),
                registry=registry(self.source),
                was=sql.SQL(', ').join(sql.Identifier(f'was_{name}') for name in self.values),
                now=sql.SQL(', ').join(map(sql.Identifier, self.values)),
                exchange=exchange(self.source, 'other', ('superseded', 'restated'), self.stamp, sql.Literal(self.load_id)),
                set=sql.SQL(', ').join(
                    sql.SQL('{} = {}').format(sql.Identifier(name), sql.Identifier('later', name))
                    for name in (*place.COLUMNS, *self.values)
                ),
            )
        )
        return int(self.cursor.fetchone()[0])

    def _same(self, one: str, other: str) -> sql.Composed:
        """The condition that two rows of one hash are the same version."""
        return sql.SQL(' and ').join(
            sql.SQL('{} is not distinct from {}').format(sql.Identifier(one, name), sql.Identifier(other, name))
            for name in self.values
        )

    def _copy(self, rows: pl.DataFrame, table: str, *further: str) -> None:
        names = [*self.own, *further]
        copy(
            self.cursor,
            rows.select(names),
            f'{table} ({sql.SQL(", ").join(map(sql.Identifier, names)).as_string(self.cursor)})',
        )


def find_questions(cursor: Cursor, source: Source) -> None:
    """Where restatements apply: of all further versions those wait that stand behind another one of their row in its file.

    So do those of which it is not known any more where they stood, until a load meets them again.
    """
    version = sql.SQL(', ').join(sql.Identifier(column.name) for column in source.version_columns)
    cursor.execute(
        sql.SQL(
            'with stands as ('
            '  select _hashrow, {place}, {version} from {further}'
            '  union select _hashrow, {place}, {version} from {registry}'
            '  union select _hashrow, {place}, {version} from {log} where sign < 0'
            '), placed as (select *, min(_line) over (partition by _hashrow, {file}) < _line as is_behind from stands)'
            ' update {further} as further set is_restatement = _line > 0 and not exists ('
            '  select from placed where is_behind and placed._hashrow = further._hashrow and ({one}) = ({other})'
            ' )'
        ).format(
            place=sql.SQL(', ').join(map(sql.Identifier, place.COLUMNS)),
            version=version,
            further=conflicts_table(source),
            registry=registry(source),
            log=corrections_table(source),
            file=place.file_of('stands'),
            one=place.row_of('placed'),
            other=place.row_of('further'),
        )
    )
