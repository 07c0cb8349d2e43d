"""From the first version that counts to the newest one delivered, and back: a declaration that turns to whole days, or away.

Where files hold whole days, each version of a row is a row of its own. Those that counted for their key go on counting until
a load of their day says otherwise; the others have a correction. Where the first version counts again, nothing is corrected.
"""

import re

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.warehouse.postgres.declarations import column_types
from kly_mage.warehouse.postgres.deliveries import rehash_corrections
from kly_mage.warehouse.postgres.tables import tables_of


class FirstOrNewest:
    """What one hashing anew (``Rehash``) has to do about it, in two steps: before the versions move, and after.

    Args:
        old_values: the columns that the hash left out so far.
    """

    def __init__(self, cursor: Cursor, source: Source, old_values: list[str]) -> None:
        self.cursor, self.source = cursor, source
        known = column_types(cursor, f'bronze.{source.name}_hashrow')
        self.is_turned = source.holds_whole_days and bool(old_values) and set(old_values) <= known.keys()
        self.values = old_values

    def find(self) -> None:
        """Note which versions of ``judged`` do not count, and since which load: their own, or that of a restatement."""
        if not self.is_turned:
            return
        self._do(
            'create temp table not_counting on commit drop as'
            ' with versions as ('
            '     select judged.hash, judged.old, judged.rank, ({stored}) is not distinct from ({known}) as counts'
            '     from judged inner join {bronze} as stored on judged.old = stored._hashrow'
            '     inner join {registry} as known on judged.old = known._hashrow where is_stored'
            '     union all'
            '     select judged.hash, judged.old, judged.rank, ({further}) is not distinct from ({known})'
            '     from judged inner join {conflicts} as further on judged.at = further.ctid'
            '     inner join {registry} as known on judged.old = known._hashrow where not is_stored'
            ' ), last as ('
            '     select distinct on (_hashrow) _hashrow, _load_id, _updated_at from {corrections}'
            '     order by _hashrow, _load_id desc'
            ' )'
            ' select judged.hash, judged._partition_date, greatest(judged._load_id, last._load_id) as load_id,'
            '     greatest(judged._updated_at, last._updated_at) as stamp'
            ' from judged left join last on judged.old = last._hashrow and judged.is_stored'
            ' where rank = 1 and not exists (select from versions where versions.hash = judged.hash and counts)',
            stored=self._columns('stored'),
            further=self._columns('further'),
            known=self._columns('known'),
        )

    def note(self) -> None:
        """Write down what does not count, and of which rows a file of whole days is the newest word."""
        if self.is_turned:
            self._do(
                'delete from {corrections};'  # of versions that each are a row of bronze now
                'insert into {corrections} (_hashrow, sign, why, _partition_date, _file_day, _updated_at, _load_id)'
                " select hash, -1, 'superseded', _partition_date, {file_day}, stamp, load_id from not_counting;"
                'drop table not_counting',
                file_day=sql.SQL('_partition_date' if self.source.whole_days else 'null'),
            )
            if self.source.whole_days:
                kinds = '|'.join(re.escape(kind) for kind in self.source.complete)
                self._do(
                    'update {bronze} as stored set _file_day = stored._partition_date from judged'
                    ' where rank = 1 and judged.hash = stored._hashrow'
                    # Of a row that was restated, or loaded long ago, no file is known.
                    " and (judged._file = '' or judged._file ~ {named})",
                    named=sql.Literal(f'(^|/)({kinds})_[0-9]{{8}}'),
                )
        elif self.source.holds_whole_days:
            rehash_corrections(self.cursor, self.source)
        else:
            self.cursor.execute('delete from ops.deliveries where source = %s', (self.source.name,))

    def _columns(self, table: str) -> sql.Composable:
        return sql.SQL(', ').join(sql.Identifier(table, name) for name in self.values)

    def _do(self, statement: str, **parts: sql.Composable) -> None:
        self.cursor.execute(sql.SQL(statement).format(**tables_of(self.source), **parts))
