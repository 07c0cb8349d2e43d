"""Which version of a row counts where restatements apply: by the files, and by what loads have noted.

A load notes each change of what counts (``bronze.<source>_corrections``), and the registry has the version in force. That
is the warehouse's own answer; what it has to be stands in the files: the version of the newest file, of its rows the first.
"""

from collections.abc import Iterator
from datetime import date

from psycopg2 import sql

from kly_mage.declared.base import Source
from kly_mage.declared.marts import Sum
from kly_mage.warehouse.postgres import measures as of_table
from kly_mage.warehouse.postgres.comparison import LINE_BITS, Comparison, Count
from kly_mage.warehouse.postgres.holdings import IN_NO_FILE
from kly_mage.warehouse.postgres.tables import bronze_table, corrections_table, registry
from kly_mage.warehouse.postgres.turns import wrong_turns


def applied(of: Comparison) -> Iterator[Count]:
    """By how much what counts differs from the first versions (``applied``)."""
    if of.source.applies_restatements:
        yield from _by_the_files(of)
    elif of.is_restated():  # the declaration has gone back to the first version: what was applied until then stays
        of.cursor.execute(
            sql.SQL('select _partition_date {} from {} where {} group by 1').format(
                sql.SQL('').join(sql.SQL(', sum(sign * {})').format(of_table.per_row(measure)) for measure in of.measures),
                corrections_table(of.source),
                of.days('_partition_date'),
            )
        )
        yield from (Count(day, 'applied', 0, tuple(amounts)) for day, *amounts in of.cursor.fetchall())


def not_the_newest(of: Comparison, limit: int) -> list[tuple[date | None, str]]:
    """Rows of which another version counts than the newest of the files, or nothing says why it does: day, hash."""
    if not of.source.applies_restatements:
        return []
    of.cursor.execute(
        sql.SQL(
            'with newest as ({newest}), wrong as ('
            '  select newest._hashrow from newest inner join {registry} as known using (_hashrow) where {known} <> {here}'
            '  union select _hashrow from ({turns}) as turn union {unnoted}'
            ') select known._partition_date, _hashrow::text from wrong inner join {bronze} as known using (_hashrow)'
            ' where {days} order by 1, 2 limit {limit}'
        ).format(
            newest=_newest(of),
            registry=registry(of.source),
            known=_version(of.source, 'known'),
            here=_version(of.source, 'newest'),
            turns=wrong_turns(of.source),
            unnoted=_unnoted(of.source),
            bronze=of.bronze,
            days=of.days('_partition_date'),
            limit=sql.Literal(limit),
        )
    )
    found: list[tuple[date | None, str]] = of.cursor.fetchall()
    return found


def _unnoted(source: Source) -> sql.Composable:
    """The query for the hashes of which the registry has another version than bronze, and no change is noted."""
    return sql.SQL(
        'select known._hashrow from {registry} as known inner join {bronze} as stored using (_hashrow)'
        ' where {known} <> {stored} and not exists ('
        '   select from {log} as changed where changed._hashrow = known._hashrow'
        ' )'
    ).format(
        known=_version(source, 'known'),
        stored=_version(source, 'stored'),
        log=corrections_table(source),
        bronze=bronze_table(source),
        registry=registry(source),
    )


def _by_the_files(of: Comparison) -> Iterator[Count]:
    """The newest versions the files hold of rows that were loaded; of a row in no file, the version in force."""
    names = sql.SQL('').join(sql.SQL(', {}').format(sql.Identifier(measure.name)) for measure in of.measures)
    minus = sql.SQL('').join(sql.SQL(', -{}').format(sql.Identifier(measure.name)) for measure in of.measures)
    of.cursor.execute(
        sql.SQL(
            'with newest as ({newest}), changes as ('
            '  select day {names} from newest'
            " union all select day {minus} from versions where place in ('bronze', 'lost', 'changed')"
            ') select day {sums} from changes group by day'
        ).format(
            newest=_newest(of),
            names=names,
            minus=minus,
            sums=sql.SQL('').join(sql.SQL(', sum({})').format(sql.Identifier(measure.name)) for measure in of.measures),
        )
    )
    yield from (Count(day, 'applied', 0, tuple(amounts)) for day, *amounts in of.cursor.fetchall())
    of.cursor.execute(
        sql.SQL(
            'select stored._partition_date {} from {} as stored inner join {} as known using (_hashrow)'
            ' where {} and {} group by 1'
        ).format(
            _changes(of, 'known', 'stored'),
            of.bronze,
            registry(of.source),
            IN_NO_FILE,
            of.days('_partition_date'),
        )
    )
    yield from (Count(day, 'applied', 0, tuple(amounts)) for day, *amounts in of.cursor.fetchall())


def _newest(of: Comparison) -> sql.Composable:
    """The query for the newest version of each row in the files: of the last file that holds one, the first."""
    return sql.SQL(
        'select distinct on (fresh._hashrow) fresh.* from fresh inner join versions on fresh._hashrow = versions._hashrow'
        " where {fresh} = {version} and not fresh.is_outside and place not in ('not_loaded', 'outside')"
        ' order by fresh._hashrow, fresh.at >> {bits} desc, fresh.at'
    ).format(fresh=_version(of.source, 'fresh'), version=_version(of.source, 'versions'), bits=sql.Literal(LINE_BITS))


def _changes(of: Comparison, after: str, before: str, prefix: str = '') -> sql.Composable:
    """Per measure the sum of the differences of two versions; none for a column that the hash holds."""
    columns = [measure.of.column if isinstance(measure.of, Sum) else '' for measure in of.measures]
    return sql.SQL('').join(
        sql.SQL(', sum({} - {})').format(sql.Identifier(after, column), sql.Identifier(before, prefix + column))
        if column in of.values
        else sql.SQL(', null')
        for column in columns
    )


def _version(source: Source, table: str, prefix: str = '') -> sql.Composable:
    """The columns that the hash leaves out, as one value: two versions are the same if their texts are."""
    return sql.SQL('jsonb_build_array({})').format(
        sql.SQL(', ').join(sql.Identifier(table, f'{prefix}{column.name}') for column in source.version_columns)
    )
