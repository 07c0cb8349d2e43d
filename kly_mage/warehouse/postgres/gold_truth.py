"""Is gold what bronze gives? Worked out from the declarations of the marts, in one picture of the database, without a lock.

A second way beside the SQL blocks: what a block adds up refresh by refresh is summed up here at once, over the rows behind
the mart's watermark. Nothing is written, nobody waits.
"""

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, GAM_DAILY_SUMMARY, MARTS, NOT_SET, Distinct, Mart
from kly_mage.warehouse.postgres import ads_sums, rollups
from kly_mage.warehouse.postgres.counting import counting
from kly_mage.warehouse.postgres.differences import compare, count
from kly_mage.warehouse.postgres.gold_checks import gold
from kly_mage.warehouse.postgres.measures import UNITS, per_row
from kly_mage.warehouse.postgres.tables import moving_tables
from kly_mage.warehouse.postgres.text import literal
from kly_mage.warehouse.report import Report


def check_gold(cursor: Cursor, report: Report) -> None:
    """Take the differences between gold and bronze into the report, and what waits for its refresh."""
    for mart in MARTS:
        if _waits(cursor, mart):
            report.waiting.append(f'{mart.table} has rows of bronze.{mart.source} to count')
        found = gold(mart.name)
        values = tuple(measure.name for measure in mart.measures)
        report.add(mart.table, compare(cursor, found, truth(mart), mart.key, values), in_gold=True)
        report.checked[mart.table] = count(cursor, found)
        for counted in mart.registries:
            found, key = gold(counted.registry), (mart.day.name, counted.key)
            report.add(f'gold.{counted.registry}', compare(cursor, found, keys(mart, counted), key, ()), in_gold=True)
            report.checked[f'gold.{counted.registry}'] = count(cursor, found)
        if mart == GAM_DAILY_SUMMARY:
            for table, of_key, of_values, given in ads_sums.truths(mart, _behind_watermark(mart).string):
                kept = sql.SQL('(select * from {} where count_rows <> 0) as kept').format(sql.SQL(table))
                report.add(table, compare(cursor, kept, sql.SQL(given), of_key, of_values), in_gold=True)
                report.checked[table] = count(cursor, sql.SQL(table))
    cursor.execute("select relkind = 'v' from pg_class where oid = to_regclass('gold.daily_summary')")
    (is_view,) = cursor.fetchone() or (None,)
    if is_view is None:
        if any(report.checked.values()):  # a load that failed has made none, and nothing is lacking
            report.add(DAILY_SUMMARY.table, iter(['does not exist']), in_gold=True)
    elif not is_view:
        report.add(DAILY_SUMMARY.table, iter(['is no view: drop it']), in_gold=True)
    else:
        _check_daily_summary(cursor, report)


def _check_daily_summary(cursor: Cursor, report: Report) -> None:
    """The stored rows against the definition they follow, over what the marts should hold."""
    cursor.execute("select built_from from ops.watermarks where mart = 'gold.daily_summary'")
    (definition,) = cursor.fetchone() or (None,)
    cursor.execute('select exists (select from gold.daily_summary_changes)')
    if definition is None or cursor.fetchone()[0]:
        report.waiting.append(f'{DAILY_SUMMARY.table} has changes of its inputs to take in')
        return
    marts = [mart for mart in MARTS if DAILY_SUMMARY.by[0].name in mart.key]
    truths = [
        sql.SQL('{} as (select *, null::timestamptz as _updated_at from {})').format(sql.Identifier(mart.name), truth(mart))
        for mart in marts
    ]
    of_both = sql.SQL(' union ').join(
        sql.SQL('select {} as date, content_id from {}').format(sql.Identifier(mart.day.name), sql.Identifier(mart.name))
        for mart in marts
    )
    defined = sql.SQL(
        '(with {}, daily_summary_keys as ({}), daily_summary_articles as (table gold.articles)'
        ' select * from ({}) as defined) as definition'
    ).format(sql.SQL(', ').join(truths), of_both, sql.SQL(definition.strip().rstrip(';')))
    # The definition is kept without the names of schemas: its marts and its keys are those of the WITH before it.
    cursor.execute('set local search_path to gold, public')
    cursor.execute("select attname from pg_attribute where attrelid = 'gold.daily_summary_rows'::regclass and attnum > 0")
    key = DAILY_SUMMARY.key
    values = tuple(name for (name,) in cursor.fetchall() if name not in key)
    report.add(DAILY_SUMMARY.table, compare(cursor, gold(DAILY_SUMMARY.name), defined, key, values), in_gold=True)
    cursor.execute('set local search_path to default')
    report.checked[DAILY_SUMMARY.table] = count(cursor, gold(DAILY_SUMMARY.name))
    if not set(values) >= rollups.NEEDED:  # a definition of somebody's own, of which nothing is added up
        return
    for table, kept, key, values, given in rollups.truths():
        report.add(table, compare(cursor, kept, given, key, values, of=DAILY_SUMMARY.table), in_gold=True)
        report.checked[table] = count(cursor, kept)


def _waits(cursor: Cursor, mart: Mart) -> bool:
    """Whether rows came in that no refresh has counted."""
    queries = [
        sql.SQL('select exists (select from {} where _updated_at > {})').format(table, sql.SQL(_watermark(mart)))
        for table in moving_tables(SOURCES[mart.source])
    ]
    cursor.execute(sql.SQL(' union ').join(queries))
    return any(found for (found,) in cursor.fetchall())


def truth(mart: Mart, rows: sql.Composable | None = None) -> sql.Composed:
    """What the mart should hold, as a relation.

    Args:
        rows: the relation of the rows that count; None for all behind the mart's watermark.
    """
    columns = [sql.Identifier(name) for name in mart.key]
    for measure in mart.measures:
        if isinstance(measure.of, Distinct):
            total = sql.SQL('count(distinct {})').format(sql.Identifier(measure.of.key))
        else:
            total = sql.SQL('coalesce(sum({}), 0)').format(sql.Identifier(measure.name))
        if measure.unit == 'USD':
            total = sql.SQL('trim_scale({})').format(total)
        columns.append(sql.SQL('{}::{} as {}').format(total, sql.SQL(UNITS[measure.unit]), sql.Identifier(measure.name)))
    return sql.SQL('(select {} from ({}) as counted group by {}) as mart').format(
        sql.SQL(', ').join(columns), _rows(mart, rows), sql.SQL(', ').join(map(sql.Identifier, mart.key))
    )


def keys(mart: Mart, counted: Distinct, rows: sql.Composable | None = None) -> sql.Composed:
    """What a registry should hold, as a relation; ``rows`` as above."""
    return sql.SQL('(select distinct {day}, {key} from ({rows}) as counted where {key} is not null) as registry').format(
        day=sql.Identifier(mart.day.name), key=sql.Identifier(counted.key), rows=_rows(mart, rows)
    )


def _rows(mart: Mart, rows: sql.Composable | None) -> sql.Composed:
    """What each row that counts contributes."""
    keys = [sql.SQL('_partition_date as {}').format(sql.Identifier(mart.day.name))]
    keys += [sql.SQL('{} as {}').format(_key(key.column), sql.Identifier(key.name)) for key in mart.by]
    contributions = [
        *(sql.SQL('{} as {}').format(per_row(measure), sql.Identifier(measure.name)) for measure in mart.additive),
        *(sql.SQL('{} as {}').format(_distinct(mart, of), sql.Identifier(of.key)) for of in mart.registries),
    ]
    return sql.SQL('select {} from {} as counting').format(
        sql.SQL(', ').join([*keys, *contributions]), rows or _behind_watermark(mart)
    )


def _behind_watermark(mart: Mart) -> sql.SQL:
    behind = f'_updated_at <= {_watermark(mart)}'
    return sql.SQL(f'(select * from {counting(SOURCES[mart.source], condition=behind)} as counting where {behind})')


def _key(column: str | None) -> sql.Composed:
    return sql.SQL("coalesce(nullif({}, ''), {})").format(sql.Identifier(column or ''), sql.Literal(NOT_SET))


def _distinct(mart: Mart, of: Distinct) -> sql.Composable:
    """The hash of a key: each part seeded with the hash of the next, so that NULL stays NULL."""
    seed: sql.Composable = sql.SQL('0')
    parts = [
        *(_key(key.column) for key in mart.by),
        *(sql.SQL("nullif({}, '')").format(sql.Identifier(c)) for c in of.columns),
    ]
    for part in reversed(parts):
        seed = sql.SQL('hashtextextended({}, {})').format(part, seed)
    return seed


def _watermark(mart: Mart) -> str:
    return f'(select watermark from ops.watermarks where mart = {literal(mart.table)})'
