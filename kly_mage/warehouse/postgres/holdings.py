"""What the warehouse holds of one source beside the files: what counts, what no file holds, what counts no longer."""

from collections.abc import Iterator

from psycopg2 import sql

from kly_mage.warehouse.account import Count
from kly_mage.warehouse.postgres import measures as of_table
from kly_mage.warehouse.postgres.comparison import Comparison
from kly_mage.warehouse.postgres.counting import counting as counting_rows
from kly_mage.warehouse.postgres.counting import gone


def is_in_no_file(of: Comparison) -> sql.Composable:
    """The condition that no file holds the row ``stored``."""
    return sql.SQL(
        '{} and not exists (select from versions where versions._hashrow = stored._hashrow'
        " and place in ('bronze', 'changed'))"
    ).format(of.equal.others('stored._partition_date') if of.equal else sql.SQL('true'))


def stored(of: Comparison) -> Iterator[Count]:
    """What of bronze counts (``stored``)."""
    if of.equal:
        return iter(of.equal.stored)
    return _counts(of, sql.SQL("'stored'"), counting(of), sql.SQL('true'))


def in_no_file(of: Comparison) -> Iterator[Count]:
    """What of bronze counts and no file holds (``in_no_file``)."""
    return _counts(of, sql.SQL("'in_no_file'"), counting(of), is_in_no_file(of))


def earlier(of: Comparison) -> Iterator[Count]:
    """What of bronze counts no longer: another version does (``replaced``), or none (``withdrawn``)."""
    if not of.is_corrected():
        return iter(())
    place = sql.SQL("case last_why when 'withdrawn' then 'withdrawn' else 'replaced' end")
    rows = sql.SQL('{} as stored inner join {} as gone using (_hashrow)').format(of.bronze, sql.SQL(gone(of.source)))
    return _counts(of, place, rows, sql.SQL("last_why <> 'completed'"))


def counting(of: Comparison) -> sql.Composable:
    """The rows and versions that count, as the relation ``stored``."""
    if not of.is_corrected():
        return sql.SQL('{} as stored').format(of.bronze)
    return sql.SQL(f'{counting_rows(of.source, of.bronze.as_string(of.cursor))} as stored')


def _counts(of: Comparison, place: sql.SQL, rows: sql.Composable, condition: sql.Composable) -> Iterator[Count]:
    sums = sql.SQL('').join(sql.SQL(', sum({})').format(of_table.per_row(measure)) for measure in of.measures)
    of.cursor.execute(
        sql.SQL('select _partition_date, {}, count(*){} from {} where {} and {} group by 1, 2').format(
            place, sums, rows, condition, of.days('_partition_date')
        )
    )
    for day, found, count, *amounts in of.cursor.fetchall():
        yield Count(day, found, count, tuple(amounts))
