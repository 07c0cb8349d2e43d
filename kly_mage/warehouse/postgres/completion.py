"""Rows loaded before one of their value columns was declared: the first later version that says more completes them.

Such a row has nothing in the column because nobody asked. A version that agrees in all else therefore contradicts nothing:
where it has a value and the row has none, the value comes to count, as a restatement does (bronze stays as it was loaded);
where the row has one and the version none, they are the same. Two different values remain two versions.
"""

import polars as pl
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres import place
from kly_mage.warehouse.postgres.copy import copy
from kly_mage.warehouse.postgres.exchange import exchange, own_columns, were
from kly_mage.warehouse.postgres.tables import tables_of


class LateColumns:
    """The value columns of a source that were declared when it had rows already; false if there are none.

    Args:
        cursor: the transaction of a load or a comparison.
    """

    def __init__(self, cursor: Cursor, source: Source) -> None:
        self.cursor, self.source = cursor, source
        self.values = [column.name for column in source.version_columns]
        cursor.execute('select column_name, since from ops.late_columns where source = %s', (source.name,))
        self.since = {name: sql.Literal(since) for name, since in cursor.fetchall() if name in self.values}

    def __bool__(self) -> bool:
        return bool(self.since)

    def complete(self, rows: pl.DataFrame, load_id: int, stamp: sql.Literal) -> pl.DataFrame:
        """Let known rows take over what these say and they do not.

        Args:
            rows: hashed rows of one slice of a load.
            stamp: the load's ``_updated_at``.

        Returns:
            The same rows; what they do not say themselves is filled in from the version they agree with.
        """
        own = own_columns(self.source)
        self._do(
            'create temp table if not exists filling on commit drop as'
            ' select {own}, null::int as i from {corrections} limit 0; truncate filling',
            own=self._list(own, '{name}'),
        )
        incoming = rows.select(own).with_row_index('i').with_columns(pl.col('i').cast(pl.Int32))
        names = self._list(incoming.columns, '{name}').as_string(self.cursor)
        copy(self.cursor, incoming, f'filling ({names})')
        self._do('analyze filling')
        while self._fill_registry(load_id, stamp):
            pass
        self._fill_conflicts()
        return self._filled_in(rows)

    def _fill_registry(self, load_id: int, stamp: sql.Literal) -> int:
        plain = [name for name in own_columns(self.source) if name not in self.values]
        self._do(
            'with before as ('
            '     select distinct on (_hashrow) {plain}, {both}, {were}'
            '     from filling inner join {registry} as kept using (_hashrow)'
            '     where {agrees} and ({says_more}) order by _hashrow, {first}'
            '), noted as ({exchange}) update {registry} as known set {set} from before'
            ' where known._hashrow = before._hashrow',
            plain=self._list(plain, 'filling.{name}'),
            both=self._list(self.values, 'coalesce(kept.{name}, filling.{name}) as {name}'),
            were=were(self.source, 'kept'),
            first=place.row_of('filling'),
            agrees=self._agrees('kept', 'filling'),
            says_more=self._says_more('kept'),
            exchange=exchange(self.source, 'before', ('completed', 'completed'), stamp, sql.Literal(load_id)),
            set=self._list(self.values, '{name} = before.{name}'),
        )
        return int(self.cursor.rowcount)

    def _fill_conflicts(self) -> None:
        """The same for further versions, unless the fuller one stands beside them already."""
        self._do(
            'update {conflicts} as kept set {set} from ('
            '     select distinct on (kept.ctid) kept.ctid as at, {values} from filling inner join {conflicts} as kept'
            '     using (_hashrow) where {agrees} and ({says_more}) order by kept.ctid, {first}'
            ') as filling where kept.ctid = filling.at and not exists ('
            '     select from {conflicts} as other where other._hashrow = kept._hashrow and {same})',
            set=self._list(list(self.since), '{name} = coalesce(kept.{name}, filling.{name})'),
            values=self._list(self.values, 'filling.{name}'),
            first=place.row_of('filling'),
            agrees=self._agrees('kept', 'filling'),
            says_more=self._says_more('kept'),
            same=self._list(self.values, 'other.{name} is not distinct from coalesce(kept.{name}, filling.{name})', ' and '),
        )

    def _filled_in(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give the rows the values of the version they agree with, where they have none."""
        late = list(self.since)
        self._do(
            'select distinct on (i) i, {late} from ('
            '     select i, 1 as turn, {kept} from filling inner join {registry} as kept using (_hashrow) where {agrees}'
            '     union all'
            '     select i, 2, {kept} from filling inner join {conflicts} as kept using (_hashrow) where {agrees}'
            ') as found order by i, turn',
            late=self._list(late, '{name}'),
            kept=self._list(late, 'kept.{name}'),
            agrees=self._agrees('kept', 'filling'),
        )
        schema: dict[str, pl.DataType] = {'i': pl.UInt32(), **{f'_kept_{name}': rows.schema[name] for name in late}}
        kept = pl.DataFrame(self.cursor.fetchall(), schema=schema, orient='row')
        joined = rows.with_row_index('i').join(kept, on='i', how='left', maintain_order='left')
        return joined.with_columns(pl.coalesce(name, f'_kept_{name}').alias(name) for name in late).select(rows.columns)

    def value(self, name: str) -> sql.Composed:
        """What a row of bronze (``stored``) says in a column, after a comma; if it was completed (``known``), by what."""
        each = ', coalesce(stored.{name}, {counted}) as {name}' if name in self.since else ', stored.{name}'
        return sql.SQL(each).format(name=sql.Identifier(name), counted=sql.Identifier(f'known_{name}'))

    def known(self) -> sql.Composed:
        """The join with what the registry has of such columns."""
        names = sql.SQL(', ').join(
            sql.SQL('{} as {}').format(sql.Identifier(name), sql.Identifier(f'known_{name}')) for name in self.since
        )
        registry = tables_of(self.source)['registry']
        return sql.SQL('left join (select _hashrow, {} from {}) as known using (_hashrow)').format(names, registry)

    def as_stored(self, fresh: str) -> None:
        """Give rows of files, in a table of theirs, the values of the version they are: it may say less or more."""
        self._do(
            'update {fresh} as fresh set {set} from {bronze} as stored inner join {registry} as known using (_hashrow)'
            ' where fresh._hashrow = stored._hashrow and {strict} and {late}',
            fresh=sql.Identifier(fresh),
            set=self._list(list(self.since), '{name} = coalesce(stored.{name}, known.{name})'),
            strict=self._strict('stored', 'fresh'),
            late=sql.SQL(' and ').join(
                sql.SQL(
                    '(fresh.{0} is not distinct from stored.{0} or stored._updated_at < {1}'
                    ' and (fresh.{0} is null or fresh.{0} is not distinct from known.{0}))'
                ).format(sql.Identifier(name), since)
                for name, since in self.since.items()
            ),
        )
        self._do(
            'update {fresh} as fresh set {set} from {conflicts} as kept where fresh._hashrow = kept._hashrow and {agrees}',
            fresh=sql.Identifier(fresh),
            set=self._list(list(self.since), '{name} = coalesce(fresh.{name}, kept.{name})'),
            agrees=self._agrees('kept', 'fresh'),
        )

    # --- spelling -------------------------------------------------------------------------------------------------------

    def _do(self, statement: str, **parts: sql.Composable) -> None:
        self.cursor.execute(sql.SQL(statement).format(**tables_of(self.source), **parts))

    def _strict(self, kept: str, other: str) -> sql.Composed:
        """The condition that two versions are the same in the columns that were always declared."""
        pairs = [
            sql.SQL(f'{kept}.{{0}} is not distinct from {other}.{{0}}').format(sql.Identifier(name))
            for name in self.values
            if name not in self.since
        ]
        return sql.SQL(' and ').join([sql.SQL('true'), *pairs])

    def _agrees(self, kept: str, other: str) -> sql.Composed:
        """The condition that a version does not contradict one that is kept."""
        pairs = [
            sql.SQL(
                f'({kept}.{{0}} is not distinct from {other}.{{0}}'
                f' or {kept}._updated_at < {{1}} and ({kept}.{{0}} is null or {other}.{{0}} is null))'
            ).format(sql.Identifier(name), since)
            for name, since in self.since.items()
        ]
        return sql.SQL(' and ').join([self._strict(kept, other), *pairs])

    def _says_more(self, kept: str) -> sql.Composed:
        return self._list(list(self.since), f'{kept}.{{name}} is null and filling.{{name}} is not null', ' or ')

    @staticmethod
    def _list(names: list[str], each: str, by: str = ', ') -> sql.Composed:
        """Columns in a row, each as ``each`` spells it."""
        return sql.SQL(by).join(sql.SQL(each).format(name=sql.Identifier(name)) for name in names)
