"""Which of several versions of a row counts, by the files: the newest file's, or the one that was loaded first.

Where restatements apply, the version of the newest file that has the row counts, of its rows the first. The warehouse has an
answer of its own, the log of corrections and the registry: rows of which it has another version are named.

Where the first version counts, it is the one that was loaded, as long as its file has it. A file that was delivered anew
without the row has not delivered it. Another file may hold the same version, later than one that contradicts it: then the
files say that the other one came first, and bronze alone cannot know.
"""

from datetime import date

from psycopg2 import sql

from kly_mage.declared.base import Source
from kly_mage.warehouse.account import LINE_BITS
from kly_mage.warehouse.postgres.comparison import SAME_FILE, Comparison
from kly_mage.warehouse.postgres.tables import bronze_table, corrections_table, registry
from kly_mage.warehouse.postgres.turns import wrong_turns

_STORED = "place in ('bronze', 'lost', 'changed')"


def settle(of: Comparison) -> None:
    """Put the version that counts where bronze has its row, and the others where they are: superseded, or waiting.

    A version in bronze counts unless another one has come to. Rows of one file and one key are no restatement: they wait.
    """
    if not of.is_restated():
        return
    applies = of.source.applies_restatements
    of.cursor.execute(
        sql.SQL(
            'with ranked as ('
            '    select v.ctid as at_row, place, {same_file} as is_question,'
            '        row_number() over (partition by v._hashrow order by v.newest desc) = 1 as is_newest,'
            '        {known} is not distinct from {version} as is_known,'
            f'        min(place) filter (where {_STORED}) over (partition by v._hashrow) as of_row'
            '    from versions as v left join {registry} as known using (_hashrow)'
            f"    where not is_outside and (place = 'conflict' or {_STORED})"
            '    and ({all} or v._hashrow in (select _hashrow from {log}))'
            ') update versions as v set place = case'
            "    when {counts} then coalesce(of_row, 'bronze') when {waits} then 'conflict' else 'superseded' end"
            ' from ranked where v.ctid = ranked.at_row'
        ).format(
            same_file=sql.SQL(SAME_FILE),
            known=_version(of.source, 'known'),
            version=_version(of.source, 'v'),
            registry=registry(of.source),
            all=sql.Literal(applies),
            log=corrections_table(of.source),
            counts=sql.SQL('is_newest' if applies else 'is_known'),
            waits=sql.SQL("ranked.place = 'conflict'" + (' and is_question' if applies else '')),
        )
    )


def not_the_newest(of: Comparison, limit: int) -> list[tuple[date | None, str]]:
    """Rows of which another version counts than the newest of the files, or nothing says why it does: day, hash."""
    if not of.source.applies_restatements:
        return []
    of.cursor.execute(
        sql.SQL(
            'with wrong as ('
            '  select v._hashrow from versions as v inner join {registry} as known using (_hashrow)'
            f'  where {_STORED} and {{known}} <> {{version}}'
            '  union select _hashrow from ({turns}) as turn'
            '  union select known._hashrow from {registry} as known inner join {all} as stored using (_hashrow)'
            '  where {known} <> {stored} and not exists (select from {log} as log where log._hashrow = known._hashrow)'
            ') select known._partition_date, _hashrow::text from wrong inner join {bronze} as known using (_hashrow)'
            ' where {days} order by 1, 2 limit {limit}'
        ).format(
            registry=registry(of.source),
            known=_version(of.source, 'known'),
            version=_version(of.source, 'v'),
            stored=_version(of.source, 'stored'),
            turns=wrong_turns(of.source),
            all=bronze_table(of.source),
            log=corrections_table(of.source),
            bronze=of.bronze,
            days=of.days('_partition_date'),
            limit=sql.Literal(limit),
        )
    )
    found: list[tuple[date | None, str]] = of.cursor.fetchall()
    return found


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


def _version(source: Source, table: str) -> sql.Composable:
    """The columns that the hash leaves out, as one value: two versions are the same if their texts are."""
    return sql.SQL('jsonb_build_array({})').format(
        sql.SQL(', ').join(sql.Identifier(table, column.name) for column in source.version_columns)
    )
