"""The view ``gold.restatements``: what was counted once and corrected since, from what to what, by day and content."""

from collections.abc import Iterable

from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import MARTS, NOT_SET, Mart, Measure, Sum
from kly_mage.warehouse.postgres.measures import per_row
from kly_mage.warehouse.postgres.text import comment, identifier, literal

VIEW = 'gold.restatements'
_COLUMNS = (
    ('source', 'The source.'),
    ('day', 'Local day of the rows.'),
    ('content_id', 'The article; (not set) for rows without one.'),
    ('measure', 'The number of the mart; of those that add up over rows.'),
    ('load_id', 'The load that changed it, see ops.loads.'),
    ('restated_at', 'When that was.'),
    ('before', 'What counted until then.'),
    ('after', 'What counted from then on.'),
)


def restatements_view() -> str:
    """The statements that make the view and describe it; safe to run again."""
    parts = [_changes(mart, SOURCES[mart.source]) for mart in MARTS if _is_restated(SOURCES[mart.source])]
    return _VIEW.format(
        changes='\n    union all\n'.join(parts) or _NOTHING,
        comments='\n'.join(
            [
                comment(
                    'view',
                    VIEW,
                    'One row per day, content, measure and load that corrected what had been counted: from what to what.',
                ),
                *(comment('column', f'{VIEW}.{name}', text) for name, text in _COLUMNS),
            ]
        ),
    )


def _is_restated(source: Source) -> bool:
    return bool(source.complete or source.value_columns)


def _changes(mart: Mart, source: Source) -> str:
    """By what each load has changed the numbers of a mart."""
    bronze, content = f'bronze.{identifier(source.name)}', next((k.column for k in mart.by if k.name == 'content_id'), None)
    own = [(measure.name, f'({_own(measure)})') for measure in mart.additive]
    parts = [_select(source, content, f'{bronze} as stored', 'stored', 'false', own)]
    if source.complete:
        rows = f'bronze.{identifier(f"{source.name}_corrections")} as corrected'
        rows += f'\n        inner join {bronze} as stored on corrected._hashrow = stored._hashrow'
        signed = [(name, f'{amount} * corrected.sign') for name, amount in own]
        parts.append(_select(source, content, rows, 'corrected', 'true', signed))
    if source.value_columns:
        rows = f'bronze.{identifier(f"{source.name}_restatements")} as stored'
        parts.append(_select(source, content, rows, 'stored', 'true', list(_differences(mart, source))))
    return '\n    union all\n'.join(parts)


def _own(measure: Measure) -> str:
    return str(per_row(measure).string)


def _differences(mart: Mart, source: Source) -> Iterable[tuple[str, str]]:
    values = {column.name for column in source.value_columns}
    for measure in mart.additive:
        if isinstance(measure.of, Sum) and measure.of.column in values:
            column = measure.of.column
            yield measure.name, f'(stored.{identifier(column)} - stored.{identifier(f"counted_{column}")})'


def _select(
    source: Source, content: str | None, rows: str, loaded: str, is_restated: str, amounts: list[tuple[str, str]]
) -> str:
    key = f"coalesce(nullif(stored.{identifier(content)}, ''), {literal(NOT_SET)})" if content else 'null::text'
    values = ', '.join(f'({literal(name)}, ({amount})::numeric)' for name, amount in amounts)
    return (
        f'    select {literal(source.name)} as source, stored._partition_date as day, {key} as content_id,\n'
        f'        measure.name as measure, {loaded}._load_id as load_id, {loaded}._updated_at as restated_at,\n'
        f'        {is_restated} as is_restated, measure.change\n'
        f'    from {rows}\n'
        f'    cross join lateral (values {values}) as measure (name, change)'
    )


_NOTHING = (
    "    select '' as source, null::date as day, '' as content_id, '' as measure, null::bigint as load_id,"
    ' null::timestamptz as restated_at, true as is_restated, null::numeric as change where false'
)
# Filters on source, day, content and measure reach the tables: a window is over each of them.
_VIEW = """\
create or replace view gold.restatements as
with changes as (
{changes}
),
by_load as (
    select source, day, content_id, measure, load_id, max(restated_at) as restated_at,
        bool_or(is_restated and change <> 0) as is_restated, coalesce(sum(change), 0) as change
    from changes
    group by source, day, content_id, measure, load_id
),
steps as (
    select *, sum(change) over (partition by source, day, content_id, measure order by load_id) as after
    from by_load
)
select source, day, content_id, measure, load_id, restated_at,
    trim_scale(after - change) as before, trim_scale(after) as after
from steps
where is_restated and change <> 0;
{comments}"""
