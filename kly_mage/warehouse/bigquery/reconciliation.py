"""The view ``gold.reconciliation``: what ledger, bronze and gold say of each source and day beside the last reconciliation.

It has the columns of ``warehouse/postgres/reconciliation_view.py``.
"""

from collections.abc import Iterable

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart, Measure, Rows, Sum, mart_of
from kly_mage.landing.left_out import FILE_LINE
from kly_mage.warehouse.bigquery.counting import counted, earlier
from kly_mage.warehouse.bigquery.file_checks import FILE_CHECKS
from kly_mage.warehouse.bigquery.ledger import TAKEN_OUT
from kly_mage.warehouse.bigquery.text import identifier, literal

_CONTENT = 'content_id'  # by which gold.daily_summary joins marts, and the CMS knows an article


def view() -> str:
    """The statement that makes the view."""
    joined = [mart for mart in MARTS if mart.name in DAILY_SUMMARY.marts]
    columns = {_column(mart, measure): measure for mart in MARTS for measure in mart.additive}
    sums = [
        f'{table}.{identifier(column)} as {identifier(f"{column}_in_{place}")}'
        for column in columns
        for table, place in (('stored', 'bronze'), ('marts', 'gold'))
    ]
    return _VIEW.format(
        description=literal(
            'One row per source and day: rows read, where they are, what bronze and gold amount to; what only files know,'
            ' as the last reconcile found it.'
        ),
        stored=_union(_stored(source, columns) for source in SOURCES.values()),
        conflicts=_union([_NO_CONFLICTS, *(_conflicts(each) for each in SOURCES.values() if each.version_columns)]),
        earlier=_union([_NONE_EARLIER, *(_earlier(each) for each in SOURCES.values() if each.may_be_corrected)]),
        marts=_union(_mart(mart, [each for each in joined if each is not mart], columns) for mart in MARTS),
        rejected_money=_rejected_money(),
        file_line=FILE_LINE,
        taken_out=TAKEN_OUT,
        any_day=_names(source.name for source in SOURCES.values() if source.any_day),
        without_money=_names(mart.source for mart in joined if not mart.money),
        with_money=_names(mart.source for mart in joined if mart.money),
        sums=',\n    '.join(sums),
        checked=',\n    '.join(f'file_check.{name}' for name in _SHOWN),
    )


def _column(mart: Mart, measure: Measure) -> str:
    return 'revenue' if measure.name == mart.money else measure.name


def _stored(source: Source, columns: dict[str, Measure]) -> str:
    """What bronze holds of a source, by day."""
    mart = mart_of(source.name)
    own = {_column(mart, measure): measure for measure in mart.additive} if mart else {}
    content = next((key.column for key in mart.by if key.name == _CONTENT), None) if mart else None
    amount = f'stored.{identifier(mart.money_column)}' if mart and mart.money_column else None
    known = f' left join known_content on stored.{identifier(content)} = known_content.content_id' if content else ''
    without = _empty([content]) if content else None
    unknown = f"stored.{identifier(content)} <> '' and known_content.content_id is null" if content else None
    sessions = _empty(mart.registries[0].columns) if mart and mart.registries else None
    lines = [
        f'{literal(source.name)} as source',
        'stored._partition_date as day',
        'count(*) as in_bronze',
        *(f'{_total(own.get(column), measure)} as {identifier(column)}' for column, measure in columns.items()),
        f'{_count(without)} as without_content',
        f'{_count(unknown)} as unknown_content',
        f'{_count(sessions)} as without_session',
        f'{_money(amount, without)} as revenue_without_content',
        f'{_money(amount, unknown)} as revenue_of_unknown_content',
        f'{_count(f"{amount} < 0" if amount else None)} as negative',
        f'{_money(amount, f"{amount} < 0")} as revenue_negative',
    ]
    return f'select {", ".join(lines)} from {counted(source)} as stored{known} group by stored._partition_date'


def _conflicts(source: Source) -> str:
    """Further versions of rows of a source, by day."""
    mart = mart_of(source.name)
    column = mart.money_column if mart else None
    waits = 'is_restatement is not true'
    revenue = _money(identifier(column) if column else None, waits)
    change = f'cast({"0" if column else "null"} as bignumeric)'  # in the hash: versions of a row agree in it
    if column in {value.name for value in source.value_columns}:
        change = _money(f'{identifier(column or "")} - {identifier(f"counted_{column}")}', waits)
    return (
        # The version that counts is here too, where bronze has another one, which is then superseded instead.
        f'select {literal(source.name)}, _partition_date, countif({waits}), countif(is_restatement), {revenue}, {change}'
        f' from bronze.{source.name}_conflicts group by _partition_date'
    )


def _earlier(source: Source) -> str:
    return (
        f"select {literal(source.name)}, stored._partition_date, countif(gone.last_why <> 'withdrawn'),"
        f" countif(gone.last_why = 'withdrawn') from bronze.{source.name} as stored inner join {earlier(source)} as gone"
        ' on stored._hashrow = gone._hashrow group by stored._partition_date'
    )


def _mart(mart: Mart, others: list[Mart], columns: dict[str, Measure]) -> str:
    """What a mart holds, by day; of a mart that ``gold.daily_summary`` joins, also the keys that stand on its side alone."""
    day = f'mart.{identifier(mart.day.name)}'
    own = {_column(mart, measure): measure.name for measure in mart.additive}
    alone, joins = [], ''
    for number, other in enumerate(others if mart.name in DAILY_SUMMARY.marts else ()):
        pairs = zip(mart.key, other.key, strict=True)
        equal = ' and '.join(f'mart.{identifier(one)} = other_{number}.{identifier(two)}' for one, two in pairs)
        joins += f' left join {other.table} as other_{number} on {equal}'
        alone.append(f'other_{number}.{identifier(other.day.name)} is null')
    condition = ' and '.join(alone) or None
    telling = f'mart.{identifier(mart.telling)}' if mart.telling else None
    lines = [
        f'{literal(mart.source)} as source',
        f'{day} as day',
        *(
            f'{f"sum(mart.{identifier(own[column])})" if column in own else _null(measure)} as {identifier(column)}'
            for column, measure in columns.items()
        ),
        f'{_count(condition)} as one_sided',
        f'cast({_money(telling, condition)} as bignumeric) as one_sided_amount',
    ]
    return f'select {", ".join(lines)} from {mart.table} as mart{joins} group by {day}'


def _rejected_money() -> str:
    """What a rejected row would have brought, as far as its text is readable."""
    cases = [
        f"when {literal(mart.source)} then {readable(f'''json_value(raw, '$.{mart.money_column}')''')}"
        for mart in MARTS
        if mart.money_column
    ]
    return f'case source {" ".join(cases)} end' if cases else 'cast(null as bignumeric)'


def readable(text: str) -> str:
    """The amount a text spells, NULL if it spells none."""
    return f'if(regexp_contains({text}, {literal(_AMOUNT)}), safe_cast({text} as bignumeric), null)'


# --- spelling -----------------------------------------------------------------------------------------------------------


def _union(selects: Iterable[str]) -> str:
    return '\n    union all\n    '.join(selects)


def _names(sources: Iterable[str]) -> str:
    return ', '.join(map(literal, sources)) or "''"


def _empty(columns: Iterable[str]) -> str:
    return ' or '.join(f"nullif(stored.{identifier(column)}, '') is null" for column in columns)


def _null(measure: Measure) -> str:
    return f'cast(null as {"bignumeric" if measure.unit == "USD" else "int64"})'


def _total(measure: Measure | None, of_column: Measure) -> str:
    match measure and measure.of:
        case Rows(column, value):
            return f'countif(stored.{identifier(column)} = {literal(value)})'
        case Sum(column):
            return f'sum(stored.{identifier(column)})'
    return _null(of_column)


def _count(condition: str | None) -> str:
    return f'countif({condition})' if condition else 'cast(null as int64)'


def _money(amount: str | None, condition: str | None) -> str:
    return f'sum(if({condition}, {amount}, null))' if amount and condition else 'cast(null as bignumeric)'


_AMOUNT = r'^[+-]?([0-9]{1,40}([.][0-9]{0,40})?|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$'
_SHOWN = [name for name, _, _ in FILE_CHECKS if name not in ('source', 'day', 'rows_forgotten', 'checked_at')]
_NO_CONFLICTS = (
    "select '' as source, cast(null as date) as day, 0 as conflicting, 0 as superseded, cast(0 as bignumeric) as revenue,"
    ' cast(0 as bignumeric) as revenue_change from (select 1) where false'
)
_NONE_EARLIER = "select '' as source, cast(null as date) as day, 0 as replaced, 0 as withdrawn from (select 1) where false"
_VIEW = """\
create or replace view gold.reconciliation options (description = {description}) as
with known_content as (
    select distinct content_id from bronze.cms_articles
),

stored as (
    {stored}
),

conflicts as (
    {conflicts}
),

-- Rows of bronze that count no longer.
earlier as (
    {earlier}
),

-- A row without a readable day goes with the day of its file.
located_rejects as (
    select
        source,
        coalesce(day, file_day) as day,
        day is null as is_without_day,
        regexp_replace(reason, r'^[0-9]+ fields, the header has [0-9]+$', 'wrong number of fields') as reason,
        {rejected_money} as revenue
    from bronze.rejects
    where resolved_at is null and line > {file_line}
),

rejects_by_reason as (
    select
        source, day, reason, count(*) as rejected, countif(is_without_day) as without_day, sum(revenue) as revenue
    from located_rejects
    group by source, day, reason
),

rejects as (
    select
        source, day, sum(rejected) as rejected, sum(without_day) as without_day, sum(revenue) as revenue,
        concat(
            '{{', string_agg(concat(to_json_string(reason), ': ', cast(rejected as string)), ', ' order by reason), '}}'
        ) as reasons
    from rejects_by_reason
    group by source, day
),

-- The last load of a day saw most of it. Articles are spread over loads: for them only the files themselves tell.
read_by_loads as (
    select
        load_day.source, load_day.day, load_day.rows_read, load_day.rows_superseded, load_day.rows_forgotten,
        load.load_id, load.finished_at
    from ops.load_days as load_day
    inner join ops.loads as load on load_day.source = load.source and load_day.load_id = load.load_id
    left join {taken_out} as gone on load_day.source = gone.source and load_day.day = gone.day
    where load.status = 'done' and load.load_id > coalesce(gone.load_id, 0)
    qualify row_number() over (partition by load_day.source, load_day.day order by load.load_id desc) = 1
),

marts as (
    {marts}
),

days as (
    select source, day from stored
    union distinct
    select source, day from conflicts
    union distinct
    select source, day from earlier
    union distinct
    select source, day from rejects
    union distinct
    select source, day from read_by_loads
    union distinct
    select source, day from marts
    union distinct
    select source, day from ops.file_checks
),

counted as (
    select
        days.source,
        days.day,
        case
            when days.source in ({any_day}) then file_check.rows_in_files
            when reads.rows_read is not null or rejects.without_day is not null
                then coalesce(reads.rows_read, 0) + coalesce(rejects.without_day, 0)
        end as rows_read,
        coalesce(stored.in_bronze, 0) as rows_in_bronze,
        coalesce(conflicts.conflicting, 0) as rows_conflicting,
        coalesce(rejects.rejected, 0) as rows_rejected,
        coalesce(nullif(conflicts.superseded, 0), reads.rows_superseded, 0) as rows_superseded,
        coalesce(
            if(days.source in ({any_day}), file_check.rows_forgotten, reads.rows_forgotten), 0
        ) as rows_forgotten,
        coalesce(earlier.replaced, 0) as rows_replaced,
        coalesce(earlier.withdrawn, 0) as rows_withdrawn,
        coalesce(rejects.reasons, '{{}}') as rejects,
        {sums},
        coalesce(marts.revenue, 0) - coalesce(stored.revenue, 0) as revenue_difference,
        conflicts.revenue as revenue_in_conflicts,
        conflicts.revenue_change as revenue_change_in_conflicts,
        rejects.revenue as revenue_in_rejects,
        stored.without_content as rows_without_content,
        stored.revenue_without_content,
        stored.unknown_content as rows_of_unknown_content,
        stored.revenue_of_unknown_content,
        stored.without_session as rows_without_session,
        stored.negative as rows_of_negative_revenue,
        stored.revenue_negative,
        marts.one_sided as contents_on_one_side,
        if(days.source in ({without_money}), marts.one_sided_amount, null) as pageviews_without_ads,
        if(days.source in ({with_money}), marts.one_sided_amount, null) as revenue_without_events,
        {checked},
        file_check.checked_at as files_checked_at,
        reads.load_id as last_load_id,
        reads.finished_at as last_loaded_at
    from days
    left join stored on days.source = stored.source and days.day is not distinct from stored.day
    left join conflicts on days.source = conflicts.source and days.day is not distinct from conflicts.day
    left join rejects on days.source = rejects.source and days.day is not distinct from rejects.day
    left join earlier on days.source = earlier.source and days.day is not distinct from earlier.day
    left join read_by_loads as reads on days.source = reads.source and days.day is not distinct from reads.day
    left join marts on days.source = marts.source and days.day is not distinct from marts.day
    left join ops.file_checks as file_check
        on days.source = file_check.source and days.day is not distinct from file_check.day
)

select
    *,
    -- Of a day that nobody has read: none, as PostgreSQL's greatest, which passes NULL over, has it.
    coalesce(greatest(
        rows_read - rows_in_bronze - rows_conflicting - rows_rejected - rows_superseded - rows_forgotten, 0
    ), 0) as rows_duplicate,
    coalesce(greatest(
        rows_in_bronze + rows_conflicting + rows_rejected + rows_superseded + rows_forgotten - rows_read, 0
    ), 0) as rows_not_in_last_load
from counted;"""
