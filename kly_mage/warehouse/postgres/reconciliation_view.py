"""The view ``gold.reconciliation``: what it says of each source and mart follows from the declarations.

Money is one column for all sources, ``revenue``: the measure of a mart that is in US dollars. Every other measure that adds
up has a column of its own name. Measures of marts beyond those that ``gold.daily_summary`` joins stand at the end: there
PostgreSQL adds a column to a view without dropping it.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Mart, Measure, Rows, Sum, mart_of
from kly_mage.warehouse.postgres.counting import counting
from kly_mage.warehouse.postgres.text import comment, identifier, literal

_NO_CONFLICTS = (  # where all sources are hashed over all their columns
    "    select '' as source, null::date as day, 0::bigint as conflicting, 0::bigint as superseded,"
    ' 0::numeric as revenue, 0::numeric as revenue_change where false'
)
_NO_DELIVERIES = "    select '' as source, null::date as day, 0::bigint as replaced, 0::bigint as withdrawn where false"
_CONTENT = 'content_id'  # by which gold.daily_summary joins marts, and the CMS knows an article


def view_ddl() -> str:
    """The statements that make the view and describe its columns."""
    return _filled()


def query_of_days(window: Window, rows: Mapping[str, str]) -> str:
    """The view's query for a few days: it looks at their rows alone, where the view would count all first.

    Args:
        rows: by source, the relation of the rows of these days.
    """
    _, _, query = _filled(window, rows).partition('create or replace view gold.reconciliation as\n')
    return query.partition('\nfrom counted;')[0] + f'\nfrom counted\nwhere coalesce(day {_between(window)}, true)'


def _filled(window: Window | None = None, rows: Mapping[str, str] | None = None) -> str:
    joined = [mart for mart in MARTS if mart.name in DAILY_SUMMARY.marts]
    first, everything = _columns(joined), _columns(MARTS)
    further = {column: measure for column, measure in everything.items() if column not in first}
    parts = {
        'stored': _union(_stored(source, everything, rows or {}) for source in SOURCES.values()),
        'conflicts': _union(_conflicts(source) for source in SOURCES.values() if source.version_columns) or _NO_CONFLICTS,
        'earlier': _union(_earlier(source) for source in SOURCES.values() if source.may_be_corrected) or _NO_DELIVERIES,
        'marts': _union(_mart(mart, [other for other in joined if other is not mart], everything, window) for mart in MARTS),
        'rejected money': _rejected_money(),
        'any day': _names(source.name for source in SOURCES.values() if source.any_day),
        'joined without money': _names(mart.source for mart in joined if not mart.money),
        'joined with money': _names(mart.source for mart in joined if mart.money),
        'joined measures': '\n'.join(f'    {line},' for line in _sums(first)),
        'further measures': ''.join(f',\n    {line}' for line in _sums(further)),
        'comments of measures': '\n'.join(_comments(everything)),
    }
    view = Path(__file__).with_name('reconciliation.sql.template').read_text('utf-8')
    for place, text in parts.items():
        view = view.replace(f'/* {place} */', text)
    return view


# --- columns ------------------------------------------------------------------------------------------------------------


def _columns(marts: Iterable[Mart]) -> dict[str, Measure]:
    """The measures of these marts by their column in the view; marts may share one."""
    columns: dict[str, Measure] = {}
    for mart in marts:
        for measure in mart.additive:
            columns.setdefault(_column(mart, measure), measure)
    return columns


def _column(mart: Mart, measure: Measure) -> str:
    return 'revenue' if measure.name == mart.money else measure.name


def _sums(columns: Iterable[str]) -> list[str]:
    return [
        f'({step}).{identifier(column)} as {identifier(f"{column}_in_{place}")}'
        for column in columns
        for step, place in (('stored', 'bronze'), ('marts', 'gold'))
    ]


def _comments(columns: dict[str, Measure]) -> Iterable[str]:
    for column, measure in columns.items():
        for place, where in (('bronze', 'bronze'), ('gold', 'the mart')):
            name = f'gold.reconciliation.{identifier(f"{column}_in_{place}")}'
            text = 'Revenue in US dollars' if column == 'revenue' else measure.description.removesuffix('.')
            yield comment('column', name, f'{text}, in {where}.')


# --- steps --------------------------------------------------------------------------------------------------------------


def _stored(source: Source, columns: dict[str, Measure], rows: Mapping[str, str]) -> str:
    """What bronze holds of a source, by day."""
    table, mart = rows.get(source.name, f'bronze.{identifier(source.name)}'), mart_of(source.name)
    if source.may_be_corrected:
        table = counting(source, table)
    own = {_column(mart, measure): measure for measure in mart.additive} if mart else {}
    content = next((key.column for key in mart.by if key.name == _CONTENT), None) if mart else None
    money = own.get('revenue')
    known = (
        f'\n    left join known_content\n        on stored.{identifier(content)} = known_content.content_id'
        if content
        else ''
    )
    facts = {
        'without_content': _empty([content]) if content else None,
        'unknown_content': f"stored.{identifier(content)} <> '' and known_content.content_id is null" if content else None,
        'without_session': _empty(mart.registries[0].columns) if mart and mart.registries else None,
    }
    amount = _amount(money) if money else None
    lines = [
        f'{literal(source.name)} as source',
        'stored._partition_date as day',
        'count(*) as in_bronze',
        *(f'{_total(own.get(column), measure)} as {identifier(column)}' for column, measure in columns.items()),
        *(f'{_count(condition)} as {name}' for name, condition in facts.items()),
        f'{_money(amount, facts["without_content"])} as revenue_without_content',
        f'{_money(amount, facts["unknown_content"])} as revenue_of_unknown_content',
        f'{_count(f"{amount} < 0" if amount else None)} as negative',
        f'{_money(amount, f"{amount} < 0")} as revenue_negative',
    ]
    return f'{_select(lines)}\n    from {table} as stored{known}\n    group by stored._partition_date'


def _earlier(source: Source) -> str:
    """Rows of bronze that count no longer, by day."""
    lines = [
        f'{literal(source.name)} as source',
        'gone._partition_date as day',
        "count(*) filter (where last_why not in ('withdrawn', 'completed')) as replaced",
        "count(*) filter (where last_why = 'withdrawn') as withdrawn",
    ]
    return (
        f'{_select(lines)}\n    from bronze.{identifier(f"{source.name}_gone")} as gone\n    group by gone._partition_date'
    )


def _conflicts(source: Source) -> str:
    """Further versions of rows of a source, by day."""
    mart = mart_of(source.name)
    column = mart.money_column if mart else None
    waits = 'filter (where is_restatement is not true)'
    revenue = f'sum({identifier(column)}) {waits}' if column else 'null::numeric'
    change = '0::numeric' if column else 'null::numeric'  # in the hash: versions of a row agree in it
    if column in {value.name for value in source.value_columns}:
        change = f'sum({identifier(column)} - {identifier(f"counted_{column}")}) {waits}'
    lines = [
        f'{literal(source.name)} as source',
        '_partition_date as day',
        f'count(*) {waits} as conflicting',
        # The version that counts is here too, where bronze has another one, which is then superseded instead.
        'count(*) filter (where is_restatement) as superseded',
        f'{revenue} as revenue',
        f'{change} as revenue_change',
    ]
    return f'{_select(lines)}\n    from bronze.{identifier(f"{source.name}_conflicts")}\n    group by _partition_date'


def _mart(mart: Mart, others: list[Mart], columns: dict[str, Measure], window: Window | None) -> str:
    """What a mart holds, by day; of a mart that ``gold.daily_summary`` joins, also the keys that stand on its side alone."""
    day = f'mart.{identifier(mart.day.name)}'
    own = {_column(mart, measure): measure.name for measure in mart.additive}
    alone, joins = '', ''
    for n, other in enumerate(others if mart.name in DAILY_SUMMARY.marts else ()):
        pairs = zip(mart.key, other.key, strict=True)
        joined = ' and '.join(f'mart.{identifier(here)} = other_{n}.{identifier(there)}' for here, there in pairs)
        joins += f'\n    left join {other.table} as other_{n}\n        on {joined}'
        alone += f'{" and " if alone else ""}other_{n}.{identifier(other.day.name)} is null'
    lines = [
        f'{literal(mart.source)} as source',
        f'{day} as day',
        *(
            f'{f"sum(mart.{identifier(own[column])})" if column in own else "null::numeric"} as {identifier(column)}'
            for column in columns
        ),
        f'{_count(alone)} as one_sided',
        f'{_money(f"mart.{identifier(mart.telling)}" if mart.telling else None, alone)} as one_sided_amount',
    ]
    days = f'\n    where {day} {_between(window)}' if window else ''
    return f'{_select(lines)}\n    from {mart.table} as mart{joins}{days}\n    group by {day}'


def _rejected_money() -> str:
    """What a rejected row would have brought, as far as its text is readable."""
    cases = [
        f'when {literal(mart.source)} then ops.readable_money(row ->> {literal(mart.money_column)})'
        for mart in MARTS
        if mart.money_column
    ]
    return f'case source {" ".join(cases)} end' if cases else 'null::numeric'


# --- spelling -----------------------------------------------------------------------------------------------------------


def _union(selects: Iterable[str]) -> str:
    return '\n    union all\n'.join(selects)


def _select(lines: list[str]) -> str:
    return '    select\n' + ',\n'.join(f'        {line}' for line in lines)


def _day(day: date) -> str:
    return f"date '{day}'"


def _between(window: Window) -> str:
    return f'between {_day(window.start)} and {_day(window.end)}'


def _names(sources: Iterable[str]) -> str:
    return ', '.join(map(literal, sources)) or 'null'


def _empty(columns: Iterable[str]) -> str:
    return ' or '.join(f"nullif(stored.{identifier(column)}, '') is null" for column in columns)


def _total(measure: Measure | None, of_column: Measure) -> str:
    """The sum over rows: rows are counted in bigint, columns summed up in numeric, also where a source lacks the measure."""
    if measure is None:
        return 'null::bigint' if isinstance(of_column.of, Rows) else 'null::numeric'
    if isinstance(measure.of, Rows):
        return f'count(*) filter (where stored.{identifier(measure.of.column)} = {literal(measure.of.value)})'
    return f'sum({_amount(measure)})'


def _amount(measure: Measure) -> str:
    if not isinstance(measure.of, Sum):
        raise TypeError(f'{measure.name} is no sum of a column')
    return f'stored.{identifier(measure.of.column)}'


def _count(condition: str | None) -> str:
    return f'count(*) filter (where {condition})' if condition else 'null::bigint'


def _money(amount: str | None, condition: str | None) -> str:
    return f'sum({amount}) filter (where {condition})' if amount and condition else 'null::numeric'
