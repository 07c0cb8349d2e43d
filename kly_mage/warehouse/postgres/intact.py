"""The rows of bronze, and whether they are as their load wrote them: what a reconciliation holds its files against.

A row that is has its load's transaction, which the ledger has too; only others are hashed again, which costs more than all
the rest. (After a restore from a dump, that is all of them.)
"""

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared.base import Source
from kly_mage.declared.marts import mart_of
from kly_mage.warehouse.postgres import hash_sql, measures
from kly_mage.warehouse.postgres.completion import LateColumns
from kly_mage.warehouse.postgres.counting import gone
from kly_mage.warehouse.postgres.tables import table_columns


def rows(
    cursor: Cursor, source: Source, bronze: sql.Composable, timezone: str, late: LateColumns | None, *, is_corrected: bool
) -> sql.Composable:
    """A relation: hash, day, measures, what the hash leaves out, ``is_gone`` (counts no longer), ``is_written`` (by its
    load), and ``is_intact``.

    Args:
        bronze: the rows to look at, with their ``xmin``.
        timezone: in which days are cut.
        late: how columns that were declared later are read; for a source whose hash leaves something out.
        is_corrected: whether any rows count no longer.
    """
    values = [column.name for column in source.version_columns]
    mart = mart_of(source.name)
    further = [measure for measure in (mart.additive if mart else ()) if measure.name not in values]
    with_gone = source.holds_whole_days and is_corrected
    columns = table_columns(cursor, source)
    return sql.SQL(
        '('
        '     select stored._hashrow, stored._partition_date {values} {measures}, {is_gone} as is_gone,'
        '     coalesce(stored.xmin = written.by, false) as is_written,'
        '     coalesce(stored.xmin = written.by, false) or ('
        '         {hash} = _hashrow {undeclared}'
        '         and _partition_date is not distinct from ({day} at time zone {zone})::date'
        '     ) as is_intact'
        '     from {bronze} as stored left join ('
        '         select load_id, (array_agg(xmin))[1] as by from ops.load_days group by load_id'
        '     ) as written on stored._load_id = written.load_id {gone} {late}'
        ' )'
    ).format(
        values=sql.SQL('').join(
            late.value(name) if late else sql.SQL(', stored.{}').format(sql.Identifier(name)) for name in values
        ),
        measures=sql.SQL('').join(
            sql.SQL(', {} as {}').format(measures.per_row(measure), sql.Identifier(measure.name)) for measure in further
        ),
        late=late.known() if late else sql.SQL(''),
        hash=sql.SQL(hash_sql.hashrow(source, columns)),
        undeclared=sql.SQL(
            f'and {hash_sql.undeclared_columns(source, columns)} is not distinct from _undeclared' if values else ''
        ),
        day=sql.Identifier(source.day_column),
        zone=sql.Literal(timezone),
        bronze=bronze,
        gone=sql.SQL(f'left join {gone(source)} as gone using (_hashrow)' if with_gone else ''),
        is_gone=sql.SQL('gone.last_why is not null' if with_gone else 'false'),
    )
