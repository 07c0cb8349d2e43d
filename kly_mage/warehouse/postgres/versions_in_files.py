"""The rows of files as the versions they are of rows of bronze: equal ones are one, and counted."""

from psycopg2 import sql


def versions(values: list[str], further: list[str], line_bits: int) -> sql.Composable:
    """The queries ``again``, and ``v`` over the table ``fresh``: each version with its ``copies``, and where the first is.

    Most rows are there once: only those that may not be (``rows.seen``) are put together, which costs more than all else.

    Args:
        values: columns in which versions of one hash differ. If there are any, ``newest`` is greater where the last file
            with it is newer, and of one file where its first row stands before.
        further: others that are kept.
        line_bits: how many bits of a place are the line.
    """
    line = (1 << line_bits) - 1
    place = sql.SQL(f'case when not is_outside then (at | {line}) - (at & {line}) end')
    newest, last = (sql.SQL(f', {each}').format(place) if values else sql.SQL('') for each in ('{} as newest', 'max({})'))
    both, least = sql.SQL('').join(map(_column, [*values, *further])), [*map(_column, values), *map(_least, further)]
    return sql.SQL(
        'again as materialized (select distinct _hashrow from fresh where may_repeat), v as ('
        '     select _hashrow, day, 1::bigint as copies, is_outside, at {newest} {both} from fresh'
        '     where not may_repeat and not exists (select from again where again._hashrow = fresh._hashrow)'
        '     union all'
        '     select _hashrow, min(day), count(*), bool_and(is_outside), min(at) {last} {least}'
        '     from fresh inner join again using (_hashrow) group by _hashrow {values}'
        ' )'
    ).format(
        newest=newest,
        last=last,
        both=both,
        least=sql.SQL('').join(least),
        values=sql.SQL('').join(map(_column, values)),
    )


def _column(name: str) -> sql.Composable:
    return sql.SQL(', {}').format(sql.Identifier(name))


def _least(name: str) -> sql.Composable:
    return sql.SQL(', min({})').format(sql.Identifier(name))
