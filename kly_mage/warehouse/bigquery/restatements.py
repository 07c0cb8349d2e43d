"""What was counted when: ``gold.changes`` by load, ``gold.restatements`` from what to what, ``gold.as_of`` at a moment.

And which days are final: ``gold.finality``. As ``warehouse/postgres/restatements_view.py`` and ``finality_view.py``; they
read all of bronze, and are for questions.
"""

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Finality, Source
from kly_mage.declared.marts import MARTS, NOT_SET, Mart
from kly_mage.warehouse.bigquery import counting
from kly_mage.warehouse.bigquery.text import identifier, literal
from kly_mage.warehouse.bigquery.truth import per_row


def views(timezone: str) -> list[str]:
    """The statements that make the views and the function."""
    sources = [(mart, SOURCES[mart.source]) for mart in MARTS]
    changes = '\nunion all\n'.join(part for mart, source in sources for part in _changes(mart, source))
    days = '\nunion all\n'.join(_days(mart, source) for mart, source in sources if source.finality)
    return [
        *(_counted(source) for _, source in sources),
        _CHANGES.format(changes=changes),
        _RESTATEMENTS,
        _AS_OF,
        _FINALITY.format(days=days or _NOTHING, timezone=literal(timezone)),
    ]


def final_on(finality: Finality, day: str) -> str:
    """As ``Finality.of`` says."""
    if finality.of_next_month is None:
        return f'date_add({day}, interval {finality.days + 1} day)'
    following = f'date_add(date_trunc({day}, month), interval 1 month)'
    return f'date_add({following}, interval {finality.of_next_month - 1} day)'


def _counted(source: Source) -> str:
    grain = f'One row per row of bronze.{source.name} that counts, in the version that does.'
    return (
        f'create or replace view bronze.{source.name}_counted options (description = {literal(grain)}) as\n'
        f'select * from {counting.counting(source)};'
    )


def _changes(mart: Mart, source: Source) -> list[str]:
    """The queries for what loads have changed of the numbers of a mart, and when."""
    names = ', '.join(map(identifier, source.names))
    rows = f'(select {names}, _partition_date, 1 as sign, _updated_at, _load_id from bronze.{source.name})'
    column = next((key.column for key in mart.by if key.name == 'content_id'), None)
    content = f"coalesce(nullif({identifier(column)}, ''), {literal(NOT_SET)})" if column else 'cast(null as string)'
    amounts = {measure.name: f'cast({per_row(measure)} as bignumeric)' for measure in mart.additive}
    measures = ', '.join(f'struct({literal(name)} as name, {amount} as amount)' for name, amount in amounts.items())
    return [
        f'    select {literal(source.name)} as source, _partition_date as day, {content} as content_id,\n'
        f'        measure.name as measure, _load_id as load_id, _updated_at as changed_at, {restated} as is_restated,\n'
        f'        measure.amount * sign as change\n'
        f'    from {relation} as stored cross join unnest([{measures}]) as measure'
        for relation, restated in ((rows, 'false'), (counting.changes(source), 'true'))
    ]


def _days(mart: Mart, source: Source) -> str:
    assert source.finality
    day, final = identifier(mart.day.name), final_on(source.finality, 'mart.day')
    return (
        f'    select {literal(source.name)} as source, mart.day as day, {final} as final_on,\n'
        f'        corrected.corrected_at as corrected_at\n'
        f'    from (select distinct {day} as day from {mart.table}) as mart\n'
        f'    left join (select _partition_date as day, max(_updated_at) as corrected_at from {counting.log(source)}'
        f' group by _partition_date) as corrected on mart.day = corrected.day'
    )


_NOTHING = (
    "    select '' as source, cast(null as date) as day, cast(null as date) as final_on,"
    ' cast(null as timestamp) as corrected_at from (select 1 as one) where false'
)
_CHANGES = """\
create or replace view gold.changes options (
    description = 'One row per day, content, measure and load: by how much the load changed it.'
) as
with changes as (
{changes}
)

select source, day, content_id, measure, load_id, max(changed_at) as changed_at,
    logical_or(is_restated and change <> 0) as is_restated, coalesce(sum(change), cast(0 as bignumeric)) as change
from changes
group by source, day, content_id, measure, load_id;"""
_RESTATEMENTS = """\
create or replace view gold.restatements options (
    description = 'One row per day, content, measure and load that corrected what had been counted: from what to what.'
) as
with steps as (
    select *, sum(change) over (partition by source, day, content_id, measure order by load_id) as after
    from gold.changes
)

select source, day, content_id, measure, load_id, changed_at as restated_at, after - change as before, after
from steps
where is_restated and change <> 0;"""
_AS_OF = """\
create or replace table function gold.as_of(moment timestamp) as (
    select source, day, content_id, measure, sum(change) as amount
    from gold.changes
    where changed_at <= moment
    group by source, day, content_id, measure
);"""
_FINALITY = """\
create or replace view gold.finality options (
    description = 'One row per source and day that gold has: whether its numbers are final.'
) as
with days as (
{days}
)

select source, day, if(final_on <= current_date({timezone}), 'final', 'provisional') as state, final_on, corrected_at
from days;"""
