"""The rows of files as the versions they are of rows of bronze: equal ones are one, and counted."""

from psycopg2 import sql


def versions(values: list[str], further: list[str]) -> sql.Composable:
    """The queries ``again``, and ``v`` over the table ``fresh``: each version with its ``copies``, and where the first is.

    Most rows are there once: only those that may not be (``rows.seen``) are put together, which costs more than all else.

    Args:
        values: columns in which versions of one hash differ.
        further: others that are kept.
    """
    both, least = sql.SQL('').join(map(_column, [*values, *further])), [*map(_column, values), *map(_least, further)]
    return sql.SQL(
        'again as materialized (select distinct _hashrow from fresh where may_repeat), v as ('
        '     select _hashrow, day, 1::bigint as copies, is_outside, at {both} from fresh'
        '     where not may_repeat and not exists (select from again where again._hashrow = fresh._hashrow)'
        '     union all'
        '     select _hashrow, min(day), count(*), bool_and(is_outside), min(at) {least}'
        '     from fresh inner join again using (_hashrow) group by _hashrow {values}'
        ' )'
    ).format(both=both, least=sql.SQL('').join(least), values=sql.SQL('').join(map(_column, values)))


def _column(name: str) -> sql.Composable:
    return sql.SQL(', {}').format(sql.Identifier(name))


def _least(name: str) -> sql.Composable:
    return sql.SQL(', min({})').format(sql.Identifier(name))
