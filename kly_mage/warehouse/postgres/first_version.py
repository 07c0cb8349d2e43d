"""Which version of a row counts where the first one does, by the files: the one that was loaded, as long as its file has it.

A file that was delivered anew without the row has not delivered it. Another file may hold the same version, later than one
that contradicts it: then the files say that the other one came first, and bronze alone cannot know.
"""

from datetime import date

from psycopg2 import sql

from kly_mage.warehouse.postgres.comparison import LINE_BITS, Comparison
from kly_mage.warehouse.postgres.tables import registry


def not_the_first(of: Comparison, files: list[str], limit: int) -> list[tuple[date | None, int, int, str]]:
    """Rows that their file has no more, and of which an earlier file has another version: day, file, line of that, hash.

    Args:
        files: the names of the files, in the order of their numbers.
    """
    if of.source.applies_restatements or not of.values:
        return []
    of.cursor.execute(
        sql.SQL(
            'with files as ('
            '     select name, number - 1 as number from unnest({files}::text[]) with ordinality as file (name, number)'
            ' )'
            ' select v.day, min(earlier.at) >> {bits}, min(earlier.at) & {line}, v._hashrow::text'
            ' from versions as v inner join {registry} as known on v._hashrow = known._hashrow'
            ' inner join files on known._file = files.name'
            ' inner join versions as earlier on v._hashrow = earlier._hashrow and earlier.at < v.at'
            "     and earlier.place in ('conflict', 'not_loaded') and not earlier.is_outside"
            " where v.place = 'bronze' and not exists ("
            '     select from fresh where fresh._hashrow = v._hashrow and {same} and fresh.at >> {bits} = files.number'
            ' ) group by v.day, v._hashrow order by 1, 2, 3 limit {limit}'
        ).format(
            files=sql.Literal(files),
            bits=sql.Literal(LINE_BITS),
            line=sql.Literal((1 << LINE_BITS) - 1),
            registry=registry(of.source),
            same=sql.SQL(' and ').join(
                sql.SQL('fresh.{0} is not distinct from v.{0}').format(sql.Identifier(name)) for name in of.values
            ),
            limit=sql.Literal(limit),
        )
    )
    found: list[tuple[date | None, int, int, str]] = of.cursor.fetchall()
    return found
