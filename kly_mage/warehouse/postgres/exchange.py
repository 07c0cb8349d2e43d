"""One version of a row counts in another's place, where the hash leaves columns out: two rows of the log, -1 and 1."""

from psycopg2 import sql

from kly_mage.declared.base import UNDECLARED, Source
from kly_mage.warehouse.postgres import place
from kly_mage.warehouse.postgres.tables import corrections_table


def own_columns(source: Source) -> list[str]:
    """The columns of a version, as the log, the conflicts and the rows of a load have them."""
    return ['_hashrow', *source.names, UNDECLARED.name, '_partition_date', *place.COLUMNS]


def were(source: Source, known: str) -> sql.Composed:
    """What counted so far, by the registry under the alias ``known``: its values and place, each as ``was_…``."""
    return sql.SQL(', ').join(
        sql.SQL('{} as {}').format(sql.Identifier(known, name), sql.Identifier(f'was_{name}')) for name in _moved(source)
    )


def exchange(
    source: Source, moved: str, why: tuple[str, str], stamp: sql.Composable, load_id: sql.Composable
) -> sql.Composed:
    """The insert of both: of each row of the relation ``moved`` what was goes, and the version that it is comes.

    Args:
        moved: has the columns of a version, and what counted so far (``were``).
        why: of the one that goes, and of the one that comes.
        stamp: the ingestion time of the delivery that brought it.
        load_id: the load that read that.
    """
    own = own_columns(source)
    gone = [sql.Identifier(f'was_{name}' if name in _moved(source) else name) for name in own]
    if source.day_column in _moved(source):  # a version may be of another day
        gone[own.index('_partition_date')] = sql.SQL(
            "({} at time zone (select value from ops.settings where name = 'timezone'))::date"
        ).format(sql.Identifier(f'was_{source.day_column}'))
    return sql.SQL(
        'insert into {log} ({own}, sign, why, _updated_at, _load_id)'
        ' select {gone}, -1, {why_gone}, {stamp}, {load_id} from {moved}'
        ' union all select {own}, 1, {why_added}, {stamp}, {load_id} from {moved}'
    ).format(
        log=corrections_table(source),
        own=sql.SQL(', ').join(map(sql.Identifier, own)),
        gone=sql.SQL(', ').join(gone),
        why_gone=sql.Literal(why[0]),
        why_added=sql.Literal(why[1]),
        stamp=stamp,
        load_id=load_id,
        moved=sql.Identifier(moved),
    )


def _moved(source: Source) -> tuple[str, ...]:
    return (*place.COLUMNS, *(column.name for column in source.version_columns))
