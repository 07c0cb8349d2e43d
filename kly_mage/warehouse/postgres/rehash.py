"""The rows of a source hashed again by another rule: bronze, registry, conflicts and corrections as if it had always held.

A hash is what makes rows the same, so what is one row and what are several changes with it. All versions that were kept,
the first ones in bronze and the others in the conflicts table, are put into their new groups; of each the version that was
loaded first counts, as loads have it. It comes from where it was: from the conflicts into bronze, or stays. The others go
to the conflicts, and what has become equal goes. The ledger follows, load by load.
"""

from dataclasses import dataclass, fields

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.text import counted
from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres import hash_sql, place, undeclared
from kly_mage.warehouse.postgres.declarations import column_types
from kly_mage.warehouse.postgres.exchange import exchange, were
from kly_mage.warehouse.postgres.first_or_newest import FirstOrNewest
from kly_mage.warehouse.postgres.tables import (
    exists,
    registry,
    table_columns,
    tables_of,
)
from kly_mage.warehouse.postgres.text import identifier
from kly_mage.warehouse.postgres.types import POSTGRES_TYPES


@dataclass
class Moved:
    """How many rows are elsewhere now.

    Attributes:
        promoted: conflicts that are rows of their own now, in bronze.
        demoted: rows of bronze that are further versions of others now, among the conflicts.
        merged: rows and conflicts that are equal to others now, and gone.
    """

    promoted: int = 0
    demoted: int = 0
    merged: int = 0

    @property
    def changes_gold(self) -> bool:
        """Whether the marts have to be built again."""
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        return (
            f'{counted(self.promoted, "conflict is a row of its own", "conflicts are rows of their own")} now, '
            f'{counted(self.demoted, "row is a conflict", "rows are conflicts")} now, '
            f'{counted(self.merged, "row is", "rows are")} equal to others now'
        )


class Rehash:
    """One source; its tables have the columns of the declaration already, and nobody else is at work on them.

    Args:
        old_values: the columns that the hash left out so far.
        is_by_row: whether the hash was over all columns so far: the log names rows of bronze then, and has no versions.
        timezone: in which a day of the warehouse begins.
    """

    def __init__(self, cursor: Cursor, source: Source, old_values: list[str], is_by_row: bool, timezone: str) -> None:
        self.cursor, self.source, self.old_values, self.timezone = cursor, source, old_values, timezone
        self.is_by_row = is_by_row
        self.values = [column.name for column in source.version_columns]
        self.tables = tables_of(source)
        self.columns = table_columns(cursor, source)
        self.undeclared = rowhash.undeclared_columns(source, self.columns)
        self.own = [*source.names, UNDECLARED.name] if source.version_columns else list(source.names)
        self.has_further = exists(cursor, 'bronze', f'{source.name}_conflicts')

    def run(self) -> Moved:
        """Hash everything again; the key of the conflicts is missing meanwhile and has to be made again."""
        if (
            self.is_by_row
            and not self.source.holds_whole_days
            and exists(self.cursor, 'bronze', f'{self.source.name}_corrections')
        ):
            self._do('delete from {corrections}')  # the first version of each row counts, whatever was withdrawn
        self._judge()
        moved, counting = self._count(), FirstOrNewest(self.cursor, self.source, self.old_values)
        counting.find()
        if self.has_further:
            if not self.source.holds_whole_days:
                self._find_corrections()
            self._to_conflicts()
        self._do('delete from {bronze} as stored using judged where stored._hashrow = judged.old and is_stored and rank > 1')
        self._do(
            'update {bronze} as stored set _hashrow = judged.hash from judged'
            ' where stored._hashrow = judged.old and is_stored and rank = 1 and judged.hash <> judged.old'
        )
        if self.has_further:
            self._to_bronze()
        counting.note()
        self._register()
        if self.source.applies_restatements:
            self._restate()
        if self.values:
            self._do(
                'update {conflicts} as further set {counted} from {registry} as known'
                ' where further._hashrow = known._hashrow',
                counted=self._list(self.values, '{counted} = known.{name}'),
            )
        self._ledger()
        self._do('drop table judged, replaced')  # the next source of this transaction has its own
        return moved

    def _judge(self) -> None:
        """All versions in their new groups (``hash``): their rank, and whether an earlier one has the same values."""
        known = sql.SQL(
            '(select null::uuid as _hashrow, null::timestamptz as _delivered_at, null as _file, 0 as _line limit 0)'
        )
        if set(place.COLUMNS) <= column_types(self.cursor, f'bronze.{self.source.name}_hashrow').keys():
            known = registry(self.source)
        restated, further = sql.SQL('false'), sql.SQL('')
        if self.has_further:
            # A first version that counts again, because a newer file has it, has the place of that file: its load has met
            # others before.
            restated = self._sql(
                '(exists (select from {corrections} as r where r._hashrow = stored._hashrow)'
                ' or exists (select from {conflicts} as f where f._hashrow = stored._hashrow'
                '     and f._load_id = stored._load_id and ({further}) < ({known})))',
                further=place.row_of('f'),
                known=place.row_of('place'),
            )
            further = self._sql(
                ' union all select hash, _hashrow, false, at, _load_id, _updated_at, _partition_date, {place} {values}'
                ' from ({hashed}) as further',
                place=place.row_of('further'),
                values=self._values(),
                hashed=self._hashed('conflicts'),
            )
        self._do(
            'drop table if exists pg_temp.judged, pg_temp.replaced;'  # of another source, in the same transaction
            'create temp table judged on commit drop as with versions as ('
            ' select hash, stored._hashrow as old, true as is_stored, null::tid as at, _load_id, stored._updated_at,'
            '     _partition_date,'
            # Where it stood first is not known of a row that was restated, nor of one without versions so far: no file that
            # holds it is older than its own day.
            '     coalesce(place._delivered_at, _partition_date::timestamp at time zone {timezone}, stored._updated_at)'
            "     as _delivered_at, coalesce(place._file, '') as _file, coalesce(place._line, 0) as _line {values}"
            ' from ({hashed}) as stored left join {known} as place'
            '     on stored._hashrow = place._hashrow and not {restated} {further}'
            ') select *, row_number() over placed as rank, first_value(_load_id) over placed as first_load,'
            '     row_number() over alike > 1 as is_copy, first_value(_delivered_at) over delivered as last_delivered_at,'
            '     first_value(_file) over delivered as last_file, first_value(_line) over delivered as last_line'
            ' from versions window placed as (partition by hash order by _load_id, {place}, is_stored desc, old),'
            '     alike as (partition by hash {plain} order by _load_id, {place}, is_stored desc, old),'
            '     delivered as (partition by hash order by {newest_first});'
            'analyze judged',
            known=known,
            restated=restated,
            place=place.row_of('versions'),
            newest_first=place.newest_first('versions'),
            timezone=sql.Literal(self.timezone),
            values=self._values('stored.'),
            plain=self._values(),
            hashed=self._hashed('bronze'),
            further=further,
        )

    def _count(self) -> Moved:
        self.cursor.execute(
            'select count(*) filter (where rank = 1 and not is_stored),'
            ' count(*) filter (where rank > 1 and is_stored and not is_copy), count(*) filter (where rank > 1 and is_copy)'
            ' from judged'
        )
        return Moved(*self.cursor.fetchone())

    def _find_corrections(self) -> None:
        """Keep what a load has changed of a row if that is between versions of one row still, under its new hash."""
        self._do(
            'delete from {corrections} where (_hashrow, _load_id) not in ('
            ' select changed._hashrow, changed._load_id from ({hashed}) as changed'
            ' left join judged on judged.old = changed._hashrow and is_stored and rank = 1'
            ' group by changed._hashrow, changed._load_id having bool_and(coalesce(judged.hash = changed.hash, false)))',
            hashed=self._hashed('corrections'),
        )
        self._do(
            'update {corrections} as changed set _hashrow = judged.hash from judged'
            ' where changed._hashrow = judged.old and is_stored and rank = 1'
        )

    def _to_conflicts(self) -> None:
        """Rows of bronze that are further versions now; of some it is not known any more which line of a file they were."""
        if not self.values:
            return
        self._do(
            'insert into {conflicts} (_hashrow, {own}, _undeclared_values, _partition_date, _delivered_at, _file, _line,'
            '     _updated_at, _load_id)'
            ' select judged.hash, {stored_own}, {says}, stored._partition_date, judged._delivered_at,'
            "     coalesce(nullif(judged._file, ''), concat('a file of load ', stored._load_id)), judged._line,"
            '     stored._updated_at, stored._load_id'
            ' from judged inner join {bronze} as stored on judged.old = stored._hashrow'
            ' where is_stored and rank > 1 and not is_copy',
            own=self._list(self.own, '{name}'),
            stored_own=self._list(self.own, 'stored.{name}'),
            says=undeclared.as_json(self.undeclared),
        )

    def _to_bronze(self) -> None:
        """Conflicts that are rows of their own now, as the loads that met them would have inserted them."""
        found = column_types(self.cursor, f'bronze.{self.source.name}_conflicts')
        own = [name for name in self.own if name in found]
        says = [sql.SQL(undeclared.said(name, found)) for name in self.undeclared]
        self._do(
            'insert into {bronze} ({own}, _partition_date, _hashrow, _created_at, _updated_at, _load_id)'
            ' select {further_own}, further._partition_date, judged.hash,'
            ' coalesce(of_load.created_at, further._updated_at), further._updated_at, further._load_id'
            ' from judged inner join {conflicts} as further on judged.at = further.ctid'
            ' left join (select _load_id, min(_created_at) as created_at from {bronze} group by _load_id) as of_load'
            ' on further._load_id = of_load._load_id'
            ' where not is_stored and rank = 1',
            own=self._list([*own, *self.undeclared], '{name}'),
            further_own=sql.SQL(', ').join([self._list(own, 'further.{name}'), *says]),
        )
        self._do('delete from {conflicts} as further using judged where further.ctid = judged.at and (rank = 1 or is_copy)')
        self._do(
            'update {conflicts} as further set _hashrow = judged.hash from judged'
            ' where further.ctid = judged.at and judged.hash <> judged.old'
        )

    def _register(self) -> None:
        """The registry, of what is in bronze now; what was restated counts as it did."""
        placed = place.COLUMNS if self.source.knows_places else ()
        where, joined = 'last{}' if self.source.versioned else 'judged.{}', sql.SQL('')
        columns = {name: where.format(name) for name in placed}
        if not placed:
            self._do('alter table {registry} {gone}', gone=self._list(place.COLUMNS, 'drop column if exists {name}'))
        if self.source.versioned:
            columns['content_id'] = 'stored.content_id'
            joined = self._sql(' inner join {bronze} as stored on judged.hash = stored._hashrow')
        if self.values:
            columns = {name: f'coalesce(restated.{name}, {found})' for name, found in columns.items()}
            columns |= {n: f'case when is_restated then restated."{n}" else judged."{n}" end' for n in self.values}
            joined = self._sql(
                ' left join (select distinct on (_hashrow) later.*, true as is_restated from {corrections} as later'
                ' where sign > 0 order by _hashrow, _load_id desc, {last}) as restated on judged.hash = restated._hashrow',
                last=place.newest_first('later'),
            )
        self._do(
            'truncate {registry}; insert into {registry} (_hashrow, _updated_at {columns})'
            ' select judged.hash, judged._updated_at {found} from judged {joined} where rank = 1 order by judged.hash',
            columns=sql.SQL('').join(sql.SQL(', {}').format(sql.Identifier(name)) for name in columns),
            found=sql.SQL('').join(sql.SQL(f', {found}') for found in columns.values()),
            joined=joined,
        )

    def _restate(self) -> None:
        """Where restatements apply: let the newest version count, in groups that were others before."""
        own = ['_hashrow', *self.own, '_partition_date', *place.COLUMNS, '_updated_at', '_load_id']
        self._do(
            'with regrouped as ('
            '     select hash from judged group by hash having count(distinct old) > 1'
            '     union'
            '     select judged.hash from judged inner join ('
            '         select old from judged group by old having count(distinct hash) > 1'
            '     ) as divided using (old)'
            '), newest as ('
            '     select distinct on (_hashrow) {own} from {conflicts} as further'
            '     where _hashrow in (select hash from regrouped) order by _hashrow, {newest_first}'
            '), later as ('
            '     select newest.*, {were} from newest inner join {registry} as known using (_hashrow)'
            '     where ({newest_file}) > ({known_file})'
            '), noted as ({exchange}) update {registry} as known set {set} from later'
            ' where known._hashrow = later._hashrow',
            own=self._list(own, '{name}'),
            newest_first=place.newest_file_first('further'),
            newest_file=place.file_of('newest'),
            known_file=place.file_of('known'),
            were=were(self.source, 'known'),
            exchange=exchange(self.source, 'later', ('superseded', 'restated'), sql.SQL('_updated_at'), sql.SQL('_load_id')),
            set=self._list([*place.COLUMNS, *self.values], '{name} = later.{name}'),
        )

    def _ledger(self) -> None:
        """Each row is counted where it is now, by the load that brought it."""
        self._do(
            'create temp table replaced on commit drop as select _load_id as load_id, _partition_date as day,'
            ' count(*) filter (where is_stored and rank > 1) as gone,'
            ' count(*) filter (where not is_stored and rank = 1) as new,'
            ' count(*) filter (where is_stored and rank > 1 and not is_copy) as conflicting,'
            ' count(*) filter (where not is_stored and (rank = 1 or is_copy)) as settled,'
            ' count(*) filter (where rank > 1 and is_copy and _load_id = first_load) as duplicate,'
            ' count(*) filter (where rank > 1 and is_copy and _load_id <> first_load) as already_loaded'
            ' from judged where rank > 1 or not is_stored group by _load_id, _partition_date'
        )
        # Where restatements applied, the further versions that are rows now had a place of those.
        superseded = 'least(rows_superseded, greatest(settled - conflicting - rows_conflicting, 0))'
        for table, of_rows, distinct in (
            (
                'ops.loads',
                'replaced.load_id = counted.load_id',
                f', rows_distinct = rows_distinct - duplicate + {superseded}',
            ),
            ('ops.load_days', '(replaced.load_id, replaced.day) = (counted.load_id, counted.day)', ''),
        ):
            rows = 'select load_id, sum(gone) gone, sum(new) new, sum(conflicting) conflicting, sum(settled) settled,'
            rows += ' sum(duplicate) duplicate, sum(already_loaded) already_loaded from replaced group by load_id'
            self._do(
                f'update {table} as counted set rows_new = rows_new - gone + new,'
                ' rows_conflicting = greatest(rows_conflicting + conflicting - settled, 0),'
                f' rows_superseded = rows_superseded - {superseded},'
                ' rows_restated = rows_restated - greatest(settled - conflicting - rows_conflicting - rows_superseded, 0),'
                ' rows_duplicate = rows_duplicate + duplicate,'
                f' rows_already_loaded = rows_already_loaded + already_loaded {distinct}'
                f' from ({rows if table == "ops.loads" else "table replaced"}) as replaced where {of_rows}'
            )

    # --- spelling -------------------------------------------------------------------------------------------------------

    def _do(self, statement: str, **parts: sql.Composable) -> None:
        self.cursor.execute(self._sql(statement, **parts))

    def _sql(self, statement: str, **parts: sql.Composable) -> sql.Composed:
        return sql.SQL(statement).format(**self.tables, **parts)

    def _hash(self, table: str) -> sql.SQL:
        columns = list(self.source.names) if table == 'corrections' else self.columns
        return sql.SQL(hash_sql.hashrow(self.source, columns))

    def _hashed(self, table: str) -> sql.Composed:
        """The rows of a table with their place (``at``) and their new hash; what it lacks is NULL."""
        found = column_types(self.cursor, f'bronze.{self.source.name}' + ('' if table == 'bronze' else f'_{table}'))
        absent = [column for column in self.source.columns if column.name not in found]
        nulls = ''.join(f', null::{POSTGRES_TYPES[column.kind]} as "{column.name}"' for column in absent)
        if table == 'conflicts':
            further = [name for name in self.undeclared if name not in found]
            nulls += ''.join(f', {undeclared.said(name, found)} as {identifier(name)}' for name in further)
        return sql.SQL('select *, {} as hash from (select *, ctid as at {} from {}) as rows').format(
            self._hash(table), sql.SQL(nulls), self.tables[table]
        )

    def _values(self, table: str = '') -> sql.SQL | sql.Composed:
        """The value columns, each after a comma."""
        return sql.SQL('').join(sql.SQL(f', {table}{{}}').format(sql.Identifier(name)) for name in self.values)

    @staticmethod
    def _list(names: list[str] | tuple[str, ...], each: str) -> sql.Composed:
        """Columns in a row, each as ``each`` spells it."""
        return sql.SQL(', ').join(
            sql.SQL(each).format(name=sql.Identifier(name), counted=sql.Identifier(f'counted_{name}')) for name in names
        )
