"""What people have decided: rejects and conflicts that somebody has accepted, with who, when and why.

They stay where they are and count as little as before; loads, ``rejects``, ``conflicts`` and ``reconcile`` ask nobody about
them again. A row that is taken out by a repair, or rejected for another reason, is asked about anew.
"""

from collections.abc import Iterable, Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.common.settings import Settings
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres import unchanged
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.ddl import ensure_schema
from kly_mage.warehouse.postgres.tables import bronze_table, conflicts_table, registry, table_columns
from kly_mage.warehouse.waiting import Conflict

_WAITS = sql.SQL('accepted_at is null and is_restatement is not true')  # a further version of a row, for a decision


def conflicts(
    settings: Settings, sources: Iterable[str], days: Window | None, *, limit: int | None = None
) -> Iterator[Conflict]:
    """The conflicts that wait, by source, file and line, as they come from the database.

    Args:
        limit: of each source no more than so many.
    """
    ensure_schema(settings)
    with connect(settings) as connection:
        for source in _with_conflicts(sources):
            with connection.cursor() as cursor:
                undeclared = rowhash.undeclared_columns(source, table_columns(cursor, source))
            values = [column.name for column in source.value_columns]
            query = sql.SQL(
                "select _file, _line, concat_ws(' ', {key}), {says}{pairs} from {table} as further {counting}"
                ' where {waits} and {days} order by _file, _line limit {limit}'
            ).format(
                key=sql.SQL(', ').join(map(sql.Identifier, source.hash_columns or ())),
                pairs=sql.SQL('').join(  # none where the hash is over all that is declared
                    sql.SQL(', {}::text').format(sql.Identifier(prefix + name))
                    for name in values
                    for prefix in ('', 'counted_')
                ),
                says=sql.SQL('further._undeclared_values, counting.says' if undeclared else 'null, null'),
                counting=_counting(source) if undeclared else sql.SQL(''),
                table=conflicts_table(source),
                waits=_WAITS,
                days=within(days, '_partition_date'),
                limit=sql.Literal(limit),
            )
            with connection.cursor('waiting') as cursor:
                cursor.execute(query)
                for file, line, key, says, counting, *pairs in cursor:
                    both = list(zip(values, pairs[::2], pairs[1::2], strict=True))
                    both += [(name, (says or {}).get(name), (counting or {}).get(name)) for name in undeclared]
                    differences = {name: (here, counts) for name, here, counts in both if here != counts}
                    yield Conflict(source.name, file, line, key, differences)


def conflicts_waiting(settings: Settings, sources: Iterable[str], days: Window | None) -> int:
    """How many conflicts wait."""
    ensure_schema(settings)
    count = 0
    with connect(settings) as connection, connection.cursor() as cursor:
        for source in _with_conflicts(sources):
            cursor.execute(
                sql.SQL('select count(*) from {} where {} and {}').format(
                    conflicts_table(source), _WAITS, within(days, '_partition_date')
                )
            )
            count += int(cursor.fetchone()[0])
    return count


def _counting(source: Source) -> sql.Composable:
    """What the version that counts says in undeclared columns, beside a further one: in bronze, or among those."""
    return sql.SQL(
        'left join lateral (('
        '     select to_jsonb(stored) as says from {registry} as known inner join {bronze} as stored'
        '     on known._hashrow = stored._hashrow and known._updated_at = stored._updated_at'
        '     where known._hashrow = further._hashrow'
        '     and stored._undeclared is not distinct from further.counted__undeclared'
        ' ) union all ('
        '     select other._undeclared_values::jsonb from {conflicts} as other where other._hashrow = further._hashrow'
        '     and other._undeclared is not distinct from further.counted__undeclared'
        ' ) limit 1) as counting on further._undeclared is distinct from further.counted__undeclared'
    ).format(registry=registry(source), bronze=bronze_table(source), conflicts=conflicts_table(source))


def accept_conflicts(settings: Settings, sources: Iterable[str], days: Window | None, by: str, why: str) -> int:
    """Note that the conflicts that wait need no further look; gives how many."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        waiting = sql.SQL('{} and {}').format(_WAITS, within(days, '_partition_date'))
        return sum(_accept(cursor, conflicts_table(source), waiting, by, why) for source in _with_conflicts(sources))


def accept_rejects(settings: Settings, sources: Iterable[str], days: Window | None, by: str, why: str) -> int:
    """The same of rejects; one without a readable day goes with its file."""
    ensure_schema(settings)
    with connect(settings) as connection, connection.cursor() as cursor:
        chosen = list(sources)
        unchanged.decide(cursor, chosen)
        waiting = sql.SQL('source = any({}) and resolved_at is null and {}').format(
            sql.Literal(chosen), within(days, 'day', 'file_day')
        )
        return _accept(cursor, sql.SQL('bronze.rejects'), waiting, by, why)


def _accept(cursor: Cursor, table: sql.Composable, waiting: sql.Composable, by: str, why: str) -> int:
    cursor.execute(
        sql.SQL(
            'update {} set accepted_at = clock_timestamp(), accepted_by = {}, accepted_because = {}'
            ' where accepted_at is null and {}'
        ).format(table, sql.Literal(by), sql.Literal(why), waiting)
    )
    return int(cursor.rowcount)


def within(days: Window | None, *columns: str) -> sql.Composable:
    """The condition that the first of these columns that says a day says one of these."""
    if days is None:
        return sql.SQL('true')
    return sql.SQL('coalesce({}) between {} and {}').format(
        sql.SQL(', ').join(map(sql.Identifier, columns)), sql.Literal(days.start), sql.Literal(days.end)
    )


def _with_conflicts(sources: Iterable[str]) -> list[Source]:
    return [SOURCES[name] for name in sources if SOURCES[name].version_columns]
